"""Checkpoints: the state from which a trial continues. A kill at any moment leaves a complete one.

A trial's folder holds `00000012.ckpt` (12: the step at which it was saved) and `manifest.json` (step, SHA-256 and
curve of the last two checkpoints). A checkpoint is written to a temporary file, flushed to the disk, renamed, and only
then listed in the manifest. Long curves are kept in pieces, `curve-HASH.json`, each of which is written once: so saving
at each step costs the same at every step. What a state may be is said in `packing`; reading one runs no code.
"""

import hashlib
import json
import math
import os
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from automl.core.files import write
from automl.study.packing.known import NO_CLASSES, Classes
from automl.study.packing.pack import packed
from automl.study.packing.unpack import Unreadable, unpacked

MANIFEST = "manifest.json"
KEPT = 2
PIECE = 1000  # points in one piece of a curve
OURS = ("*.ckpt", "curve-*.json", ".*.tmp")  # files that are deleted when they are not needed

Point = tuple[int, Mapping[str, Any]]  # (step, metrics)


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A checkpoint that was read."""

    step: int  # at which it was saved
    state: Any  # as it was given to `save`
    curve: tuple[Point, ...] = ()  # every report up to there
    random: Any = None  # where the random numbers were, if that was saved


class Curve:
    """The reports of an attempt, of which full pieces are written only once."""

    def __init__(self, points: Iterable[Point] = ()) -> None:
        self.points = list(points)
        self.pieces: list[str] = []  # files that are written already

    def add(self, step: int, metrics: Mapping[str, Any]) -> None:
        """Add a report."""
        self.points.append((step, metrics))

    def write(self, folder: Path) -> dict[str, Any]:
        """Write full pieces that are new to `folder`; returns what the manifest says about the curve."""
        while (len(self.pieces) + 1) * PIECE <= len(self.points):
            start = len(self.pieces) * PIECE
            content = json.dumps(_points(self.points[start : start + PIECE])).encode()
            name = f"curve-{hashlib.sha256(content).hexdigest()[:32]}.json"
            write(folder / name, content)
            self.pieces.append(name)
        return {"curve": _points(self.points[len(self.pieces) * PIECE :]), "pieces": self.pieces}


def save(
    folder: Path,
    step: int,
    state: Any,
    curve: Curve | Iterable[Point],
    *,
    identity: str = "",
    classes: Classes = NO_CLASSES,
    random: Any = None,
) -> None:
    """Write a checkpoint; the one before it is kept too, older ones are deleted.

    Args:
        folder: of the trial; it is made if it does not exist.
        step: the trial's last step.
        state: what `packing` takes: tensors, arrays, plain values and collections of them.
        curve: every report so far.
        identity: says whose state it is; `load` returns only a checkpoint with the same identity.
        classes: the user's own classes that are in no module, see `packing.known`.
        random: where the random numbers are; None: not saved.

    Raises:
        TaskError: something in the state cannot be saved; nothing was written.
    """
    content = packed(state, classes, random)
    folder.mkdir(parents=True, exist_ok=True)
    file = f"{step:08d}.ckpt"
    write(folder / file, content)
    digest = hashlib.sha256(content).hexdigest()
    reports = (curve if isinstance(curve, Curve) else Curve(curve)).write(folder)
    entry = {
        "step": step,
        "file": file,
        "sha256": digest,
        "identity": identity,
        "random": random is not None,
        **reports,
    }
    kept = [*[e for e in _manifest(folder) if e["file"] != file][-(KEPT - 1) :], entry]
    write(folder / MANIFEST, json.dumps(kept).encode())
    needed = {name for e in kept for name in (e["file"], *e.get("pieces", ()))}
    for old in _files(folder):
        if old.name not in needed:
            old.unlink(missing_ok=True)


def inherit(source: Path, target: Path, step: int, *, or_before: bool = False) -> bool:
    """Put the checkpoint that a trial has saved at `step` into the folder of its heir too, without its curve.

    Args:
        source, target: the folders of the trial and of its heir.
        step: at which it was saved.
        or_before: the last one before that will do.

    Returns:
        whether it is there; a folder that has checkpoints already is left as it is.
    """
    if _manifest(target):
        return True
    entry = next(
        (e for e in reversed(_manifest(source)) if e["step"] == step or (or_before and e["step"] < step)), None
    )
    if entry is None or not (source / entry["file"]).is_file():
        return False
    target.mkdir(parents=True, exist_ok=True)
    new = target / entry["file"]
    new.unlink(missing_ok=True)
    try:
        os.link(source / entry["file"], new)
    except OSError:  # another file system, or none that has links
        shutil.copyfile(source / entry["file"], new)
    write(target / MANIFEST, json.dumps([{**entry, "curve": [], "pieces": []}]).encode())
    return True


def load(folder: Path, *, identity: str = "", classes: Classes = NO_CLASSES) -> Checkpoint | None:
    """The newest intact checkpoint with this identity in `folder`; None where there is none.

    Raises:
        TaskError: it holds a value of a class of the user's own that is not there.
    """
    for entry in reversed(_manifest(folder)):
        if entry.get("identity", "") != identity:
            continue
        try:
            state = unpacked(_intact(folder / entry["file"], entry["sha256"]), classes)
            curve = [point for name in entry.get("pieces", ()) for point in _piece(folder, name)] + entry["curve"]
            state, random = state if entry.get("random") else (state, None)
            return Checkpoint(entry["step"], state, tuple((s, m) for s, m in curve), random)
        except (OSError, ValueError, TypeError, Unreadable):
            continue
    return None


def clear(folder: Path) -> None:
    """Delete all checkpoints in `folder`."""
    for file in [*_files(folder), folder / MANIFEST]:
        file.unlink(missing_ok=True)


def _files(folder: Path) -> list[Path]:
    return [file for pattern in OURS for file in folder.glob(pattern)]


def _intact(file: Path, digest: str) -> bytes:
    """The content of a file.

    Raises:
        Unreadable: it is not what was written.
    """
    content = file.read_bytes()
    if not hashlib.sha256(content).hexdigest().startswith(digest):
        raise Unreadable(f"{file.name} is damaged")
    return content


def _piece(folder: Path, name: str) -> Any:
    """The points of one piece of a curve, whose name has the hash of its content."""
    return json.loads(_intact(folder / name, name.removeprefix("curve-").removesuffix(".json")))


def _points(points: Iterable[Point]) -> list[Any]:
    """The points as JSON has them: of metrics, only numbers that are finite, texts and truth values."""
    return [[step, {name: value if _is_json(value) else None for name, value in m.items()}] for step, m in points]


def _is_json(value: Any) -> bool:
    return isinstance(value, str | bool | int) or (isinstance(value, float) and math.isfinite(value))


def _manifest(folder: Path) -> list[dict[str, Any]]:
    """The entries of the manifest, oldest first; none where it is missing or damaged."""
    try:
        entries = json.loads((folder / MANIFEST).read_bytes())
    except (OSError, ValueError):
        return []
    return [entry for entry in entries if _is_entry(entry)] if isinstance(entries, list) else []


def _is_entry(entry: Any) -> bool:
    """Whether an entry has what is needed, and names only files of this folder."""
    if not isinstance(entry, dict) or not {"step", "file", "sha256", "curve"} <= entry.keys():
        return False
    names = [entry["file"], entry["sha256"], *entry.get("pieces", ())]
    return isinstance(entry["step"], int) and all(isinstance(name, str) and Path(name).name == name for name in names)
