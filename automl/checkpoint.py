"""Checkpoints: what a trial needs to go on where it was, written so that a kill at any instant leaves a whole one.

A trial's folder holds `00000012.ckpt` (the step it was saved at) and `manifest.json` (step, SHA-256 and curve of the
last two). Written to a temporary file, flushed, renamed, and only then named in the manifest.
"""

import hashlib
import io
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

MANIFEST = "manifest.json"
KEPT = 2


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """`state` as it was given to `save`, at `step`; `curve` is every report up to there."""

    step: int
    state: Any
    curve: tuple[tuple[int, Mapping[str, float]], ...] = ()


def write(file: Path, content: bytes) -> None:
    """Write a whole file or none: temporary file, flush to the disk, rename, flush the folder."""
    temporary = file.with_name(f".{file.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as out:
            out.write(content)
            out.flush()
            os.fsync(out.fileno())
        temporary.rename(file)
    finally:
        temporary.unlink(missing_ok=True)
    folder = os.open(file.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def save(folder: Path, step: int, state: Any, curve: list[tuple[int, Mapping[str, float]]]) -> None:
    """Keep `state` (tensors and plain values, as `torch.save` takes them) in `folder`, and the one before it."""
    import torch

    folder.mkdir(parents=True, exist_ok=True)
    buffer = io.BytesIO()
    torch.save(state, buffer)
    content = buffer.getvalue()
    file = f"{step:08d}.ckpt"
    write(folder / file, content)
    entry = {"step": step, "file": file, "sha256": hashlib.sha256(content).hexdigest(), "curve": curve}
    kept = [*[e for e in _manifest(folder) if e["file"] != file][-(KEPT - 1) :], entry]
    write(folder / MANIFEST, json.dumps(kept).encode())
    for old in folder.glob("*.ckpt"):
        if old.name not in {e["file"] for e in kept}:
            old.unlink(missing_ok=True)


def load(folder: Path) -> Checkpoint | None:
    """The newest whole checkpoint in `folder`; a damaged one is passed over, None when there is none."""
    for entry in reversed(_manifest(folder)):
        file = folder / entry["file"]
        content = file.read_bytes() if file.exists() else b""
        if hashlib.sha256(content).hexdigest() == entry["sha256"]:
            import torch

            state = torch.load(io.BytesIO(content), weights_only=True, map_location="cpu")
            return Checkpoint(entry["step"], state, tuple((s, m) for s, m in entry["curve"]))
    return None


def _manifest(folder: Path) -> list[dict[str, Any]]:
    try:
        entries = json.loads((folder / MANIFEST).read_bytes())
    except (FileNotFoundError, ValueError):
        return []
    return entries if isinstance(entries, list) else []
