"""Keys: made at random, kept as hashes, compared in constant time, and changed while the server runs."""

import base64
import binascii
import hashlib
import hmac
import json
import os
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from automl.core import files
from automl.errors import SpecError, did_you_mean
from automl.serving.json_file import JsonFile
from automl.serving.problem import Refused

SCOPES = ("predict", "read", "admin")
"""predict: ask and give feedback; read: models, numbers and pages; admin: change which version answers."""
PREFIX = "automl"


@dataclass(frozen=True)
class Identity:
    """Who asks: the id of a key (`local` where none is needed), and what it may do."""

    id: str
    scopes: frozenset[str]

    def need(self, scope: str) -> None:
        """Check a scope.

        Raises:
            Refused: the key has it not (403).
        """
        if scope not in self.scopes:
            raise Refused(403, "forbidden", f"this key may not do that: it lacks the scope {scope!r}")


LOCAL = Identity("local", frozenset(SCOPES))


class Keys:
    """The file of keys. It is read again when it changes, so new and revoked keys hold at once.

    A key is `automl_ID_SECRET`, 256 random bits; the file has its SHA-256 only.
    """

    def __init__(self, file: Path) -> None:
        self.file = file
        self.known = JsonFile(file)

    def new(self, scopes: tuple[str, ...] = ("predict", "read"), note: str = "") -> str:
        """Make a key and return it; it cannot be read again.

        Raises:
            SpecError: a scope is not known.
        """
        for scope in scopes:
            if scope not in SCOPES:
                raise SpecError(f"no scope {scope!r}{did_you_mean(scope, SCOPES)}; there are {', '.join(SCOPES)}")
        identity = secrets.token_hex(4)
        key = f"{PREFIX}_{identity}_{secrets.token_urlsafe(32)}"
        created = datetime.now(UTC).isoformat(timespec="seconds")
        entry = {"hash": _hash(key), "scopes": list(scopes), "note": note, "created": created}
        self._write({**self.known.read(), identity: entry})
        return key

    def revoke(self, identity: str) -> None:
        """Delete a key by its id (the second part of the key).

        Raises:
            SpecError: there is none.
        """
        known = self.known.read()
        if identity not in known:
            raise SpecError(f"no key {identity!r}{did_you_mean(identity, known)}")
        self._write({k: v for k, v in known.items() if k != identity})

    def __len__(self) -> int:
        return len(self.known.read())

    def identify(self, authorization: str | None) -> Identity:
        """Whose key the header `Authorization` has: `Bearer KEY`, or `Basic` with the key as password.

        Raises:
            Refused: there is none, or it is not known (401); the answer is the same for both.
        """
        key = _key_in(authorization or "")
        identity = key.split("_", 2)[1] if key.count("_") >= 2 else ""
        entry = self.known.read().get(identity)
        expected = entry["hash"] if entry else "0" * 64
        if not hmac.compare_digest(_hash(key), str(expected)) or entry is None:
            raise Refused(401, "no_valid_key", "send a valid key: Authorization: Bearer KEY", "authorization")
        return Identity(identity, frozenset(entry["scopes"]))

    def _write(self, known: dict[str, dict[str, Any]]) -> None:
        self.file.parent.mkdir(parents=True, exist_ok=True)
        before = os.umask(0o077)
        try:
            files.write(self.file, json.dumps(known, indent=1).encode())
        finally:
            os.umask(before)
        self.known.forget()


def _hash(key: str) -> str:
    return hashlib.sha256(key.encode("utf-8", errors="surrogatepass")).hexdigest()


def _key_in(authorization: str) -> str:
    kind, _, value = authorization.partition(" ")
    if kind.lower() == "bearer":
        return value.strip()
    if kind.lower() == "basic":
        try:
            return base64.b64decode(value, validate=True).decode("utf-8").partition(":")[2]
        except (binascii.Error, ValueError):
            return ""
    return ""
