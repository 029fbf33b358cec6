"""Checkpoints: the state from which a trial continues. A kill at any moment leaves a complete one.

A trial's folder holds `00000012.ckpt` (12: the step at which it was saved) and `manifest.json` (step, SHA-256 and
curve of the last two checkpoints). A checkpoint is written to a temporary file, flushed to the disk, renamed, and only
then listed in the manifest. Plain values are stored as JSON, anything with tensors as by `torch.save`; reading either
of them runs no code.
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
    """A checkpoint that was read."""

    step: int  # at which it was saved
    state: Any  # as it was given to `save`
    curve: tuple[tuple[int, Mapping[str, float]], ...] = ()  # (step, metrics) of every report up to there


def save(
    folder: Path, step: int, state: Any, curve: list[tuple[int, Mapping[str, float]]], *, identity: str = ""
) -> None:
    """Write a checkpoint; the one before it is kept too, older ones are deleted.

    Args:
        folder: of the trial; it is made if it does not exist.
        step: the trial's last step.
        state: tensors and plain values, as `torch.save` takes them.
        curve: (step, metrics) of every report so far.
        identity: says whose state it is; `load` returns only a checkpoint with the same identity.
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
    """The newest intact checkpoint with this identity in `folder`; None where there is none."""
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
    """Whether `state` comes back from JSON exactly as it was: only text keys, no tuples, no subclasses."""
    if type(state) is dict:
        return all(type(key) is str and _plain(value) for key, value in state.items())
    if type(state) is list:
        return all(_plain(value) for value in state)
    return state is None or type(state) in (str, int, float, bool)


def _manifest(folder: Path) -> list[dict[str, Any]]:
    """The entries of the manifest, oldest first; none where it is missing or damaged."""
    try:
        entries = json.loads((folder / MANIFEST).read_bytes())
    except (FileNotFoundError, ValueError):
        return []
    needed = {"step", "file", "sha256", "curve"}
    return [e for e in entries if isinstance(e, dict) and needed <= e.keys()] if isinstance(entries, list) else []
