"""Which studies were begun on this machine, and what of another one's would run code when it goes on.

A study's ledger keeps a random token and, for each machine that has driven it, a proof: an HMAC-SHA256, with the
machine's key, of the token and what the specification names (`NAMED`). The key is a file in the user's state directory
(`$XDG_STATE_HOME/automl/key`, usually `~/.local/state/automl/key`), which no study contains. So nobody else can make a
proof, and a specification in which somebody else has named other code has none. Machines that share a home directory
count as one.
"""

import hashlib
import hmac
import json
import os
import secrets
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from automl.errors import SpecError

if TYPE_CHECKING:
    from automl.specfile import Spec

FACT = "origin"
"""The name of token and proofs in the ledger."""
NAMED = ("train", "command", "model", "data", "executor")
"""The keys of a specification that can name code, or another machine."""
MOST = 20
"""So many proofs are kept, the newest last."""
HERE = ("local", "inline")
"""Executors that connect to no other machine."""


def check(path: Path, facts: Mapping[str, Any], read: "Spec") -> None:
    """Check that a study which runs code of its own was begun on this machine.

    Args:
        path: the study's folder.
        facts: of its ledger.
        read: the specification that would be run.

    Raises:
        SpecError: it was not; says what would run, and how to allow it.
    """
    named = runs(read)
    if named and not is_own(facts):
        raise SpecError(
            f"{path}: this study was not begun on this machine, and to go on runs what its specification names: "
            f"{'; '.join(named)}. If you trust who made it, say so once: automl resume --trust, in Python trust=True"
        )


def runs(read: "Spec") -> list[str]:
    """What a specification names that runs code of its author, or connects to another machine."""
    named = [("train", read.train), ("command", " ".join(read.command or ()))]
    named += [(key, value) for key, value in (("model", read.model), ("data", read.data)) if ":" in (value or "")]
    executor = str((read.executor or {}).get("name", HERE[0]))
    named += [("executor", "" if executor in HERE else executor)]
    return [f"{key}: {_shown(value)}" for key, value in named if value]


def is_own(facts: Mapping[str, Any]) -> bool:
    """Whether this machine has driven the study before, with the specification that its ledger has now."""
    origin, spec = facts.get(FACT), facts.get("spec")
    key = _key(make=False)
    if key is None or not isinstance(origin, dict) or not isinstance(spec, dict):
        return False
    mine = _proof(key, origin.get("token"), spec.get("tree"))
    proofs = origin.get("proofs")
    return isinstance(proofs, list) and any(
        isinstance(proof, str) and hmac.compare_digest(proof.encode(errors="replace"), mine.encode())
        for proof in proofs
    )


def origin(before: object, tree: Mapping[str, Any]) -> dict[str, Any]:
    """Token and proofs of a study that this machine begins or continues.

    Args:
        before: what its ledger had; None for a new study.
        tree: the specification, as the ledger is going to have it.
    """
    known = before if isinstance(before, dict) else {}
    token, proofs = known.get("token"), known.get("proofs")
    token = token if isinstance(token, str) and len(token) < 100 else secrets.token_hex(16)
    others = [proof for proof in proofs if isinstance(proof, str)] if isinstance(proofs, list) else []
    key = _key(make=True)
    mine = [_proof(key, token, tree)] if key else []
    return {"token": token, "proofs": [*(proof for proof in others if proof not in mine), *mine][-MOST:]}


def _proof(key: bytes, token: object, tree: object) -> str:
    named = {key: tree[key] for key in NAMED if key in tree} if isinstance(tree, dict) else None
    same = json.dumps([token, json.loads(json.dumps(named))], sort_keys=True)
    return hmac.new(key, same.encode(), hashlib.sha256).hexdigest()


def _key(*, make: bool) -> bytes | None:
    """This machine's key, which is made if it is not there; None where there is none, or it cannot be written."""
    with suppress(OSError, RuntimeError):  # RuntimeError: there is no home directory
        file = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "automl" / "key"
        if make and not file.exists():
            _write(file, secrets.token_bytes(32))
        content = file.read_bytes()
        return content if len(content) >= 32 else None
    return None


def _write(file: Path, content: bytes) -> None:
    """Write the file, for this user's eyes; where two processes do, the first one's stays."""
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    temporary = file.with_name(f".key.{os.getpid()}.{secrets.token_hex(4)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with open(descriptor, "wb") as out:
            out.write(content)
        with suppress(FileExistsError):
            os.link(temporary, file)
    finally:
        temporary.unlink()


def _shown(text: str) -> str:
    kept = "".join(c if c.isprintable() else "?" for c in text)
    return kept if len(kept) <= 100 else f"{kept[:100]}..."
