"""Checkpoints: what a trial needs to go on where it was, written so that a kill at any instant leaves a whole one.

A trial's folder holds `00000012.ckpt` (the step it was saved at) and `manifest.json` (step, SHA-256 and curve of the
last two). Written to a temporary file, flushed, renamed, and only then named in the manifest. Plain values are kept
as JSON, anything with tensors as `torch.save` writes it; neither runs code when it is read.
"""

import hashlib
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from automl.core.files import write

MANIFEST = "manifest.json"
KEPT = 2


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """`state` as it was given to `save`, at `step`; `curve` is every report up to there."""

    step: int
    state: Any
    curve: tuple[tuple[int, Mapping[str, float]], ...] = ()


def save(
    folder: Path, step: int, state: Any, curve: list[tuple[int, Mapping[str, float]]], *, identity: str = ""
) -> None:
    """Keep `state` (tensors and plain values, as `torch.save` takes them) in `folder`, and the one before it.

    `identity` says whose state it is (see `load`).
    """
    folder.mkdir(parents=True, exist_ok=True)
    content = _packed(state)
    file = f"{step:08d}.ckpt"
    write(folder / file, content)
    digest = hashlib.sha256(content).hexdigest()
    entry = {"step": step, "file": file, "sha256": digest, "identity": identity, "curve": curve}
    kept = [*[e for e in _manifest(folder) if e["file"] != file][-(KEPT - 1) :], entry]
    write(folder / MANIFEST, json.dumps(kept, default=lambda value: None).encode())
    for old in [*folder.glob("*.ckpt"), *folder.glob(".*.tmp")]:
        if old.name not in {e["file"] for e in kept}:
            old.unlink(missing_ok=True)


def load(folder: Path, *, identity: str = "") -> Checkpoint | None:
    """The newest whole checkpoint of `identity` in `folder`; a damaged one is passed over, None when there is none."""
    for entry in reversed(_manifest(folder)):
        file = folder / entry["file"]
        try:
            content = file.read_bytes()
        except OSError:
            continue
        if hashlib.sha256(content).hexdigest() == entry["sha256"] and entry.get("identity", "") == identity:
            return Checkpoint(entry["step"], _unpacked(content), tuple((s, m) for s, m in entry["curve"]))
    return None


def clear(folder: Path) -> None:
    """Delete all checkpoints in `folder`."""
    for file in [*folder.glob("*.ckpt"), *folder.glob(".*.tmp"), folder / MANIFEST]:
        file.unlink(missing_ok=True)


def _packed(state: Any) -> bytes:
    if _plain(state):
        return json.dumps(state).encode()
    import torch

    buffer = io.BytesIO()
    torch.save(state, buffer)
    return buffer.getvalue()


def _unpacked(content: bytes) -> Any:
    if not content.startswith(b"PK"):
        return json.loads(content)
    import torch

    return torch.load(io.BytesIO(content), weights_only=True, map_location="cpu")


def _plain(state: Any) -> bool:
    """Whether JSON gives `state` back just as it was: no tuples, no keys but texts, no subclasses."""
    if type(state) is dict:
        return all(type(key) is str and _plain(value) for key, value in state.items())
    if type(state) is list:
        return all(_plain(value) for value in state)
    return state is None or type(state) in (str, int, float, bool)


def _manifest(folder: Path) -> list[dict[str, Any]]:
    """The manifest's entries, oldest first; none where it is damaged."""
    try:
        entries = json.loads((folder / MANIFEST).read_bytes())
    except (FileNotFoundError, ValueError):
        return []
    needed = {"step", "file", "sha256", "curve"}
    return [e for e in entries if isinstance(e, dict) and needed <= e.keys()] if isinstance(entries, list) else []
