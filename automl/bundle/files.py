"""The files of a bundle: how they are read and written, hashed, verified and replaced as a whole."""

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from automl.core import files as plain
from automl.errors import BundleError

FORMAT = "automl-bundle"
VERSION = 2
COMPRESSED = "automl-compressed"
"""The format of a compressed model's bundle."""
COMPRESSED_VERSION = 1
MANIFEST = "manifest.json"
WEIGHTS = "model.safetensors"
NETWORK = "model.onnx"
"""In the place of the weights, in a compressed model's bundle."""
FILES = ("model.json", WEIGHTS, "preparation.json", "schema.json", "sample.json")
"""What a bundle must hold besides its manifest; `README.md`, the model card, may be edited or deleted."""


LARGEST_JSON = 2**29
"""A JSON file of more bytes is not read."""


def find(folder: Path) -> Path:
    """The bundle in `folder`: `folder` itself, or the winner of a study: `folder/best`, of a pack `folder/ensemble`.

    Raises:
        BundleError: there is none.
    """
    for place in (folder, *([folder / "ensemble"] if _won_together(folder) else []), folder / "best"):
        if (place / MANIFEST).is_file():
            return place
    reason = f"has no winner yet (no best/{MANIFEST})" if folder.is_dir() else "does not exist"
    raise BundleError(f"{folder} {reason}")


def _won_together(study: Path) -> bool:
    """Whether the winner of a study is its ensemble, see `automl.evaluation.pack`; best/ is the best single model."""
    try:
        winner = json.loads((study / "best" / "winner.json").read_bytes())
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(winner, dict) and winner.get("pack") is True


def verify(folder: Path, manifest: Mapping[str, Any]) -> None:
    """Check that all files of the bundle are there and have the content that was saved.

    Raises:
        BundleError: a file is missing or was changed; says which one.
    """
    hashes = manifest.get("files")
    if not isinstance(hashes, dict):
        raise BundleError(f"{folder / MANIFEST}: it has no list of files with their hashes (files)")
    onnx = manifest.get("format") == COMPRESSED and NETWORK in hashes
    for name in FILES:
        path = folder / (NETWORK if onnx and name == WEIGHTS else name)
        if not path.is_file():
            raise BundleError(f"{path} is missing")
        if sha256(path) != hashes.get(path.name):
            raise BundleError(f"{path} is not the file that was saved (its sha256 differs from the manifest's)")


def sha256(path: Path) -> str:
    """SHA-256 of a file's content, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sha256_of_tree(tree: Mapping[str, Any]) -> str:
    """SHA-256 of a JSON-able tree, whatever the order of its keys."""
    return hashlib.sha256(json.dumps(tree, sort_keys=True, default=_jsonable).encode()).hexdigest()


def read_json(path: Path) -> Any:
    """The content of a JSON file.

    Raises:
        BundleError: it is missing or damaged.
    """
    try:
        if not path.is_file() or path.stat().st_size > LARGEST_JSON:
            raise BundleError(f"{path} cannot be read: it is missing, no file, or larger than {LARGEST_JSON >> 20} MiB")
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError, MemoryError) as error:
        raise BundleError(f"{path} cannot be read: {error}") from error


def write_json(path: Path, data: Any) -> None:
    """Write `data` as JSON; numpy and torch scalars become numbers, anything else unknown becomes text."""
    plain.write(path, json.dumps(data, indent=1, default=_jsonable).encode())


def replace_folder(new: Path, folder: Path) -> None:
    """Rename `new` to `folder`; a folder that has that name already is deleted afterwards."""
    old = folder.with_name(folder.name + ".old")
    _delete_flat(old)
    if folder.exists() or folder.is_symlink():
        os.replace(folder, old)
    os.replace(new, folder)
    _delete_flat(old)


def _delete_flat(folder: Path) -> None:
    """Delete a folder that holds files only: it fails, and deletes nothing below, where somebody put a folder in."""
    if folder.is_symlink():
        folder.unlink()
    elif folder.is_dir():
        for path in folder.iterdir():
            path.unlink()
        folder.rmdir()


def _jsonable(value: Any) -> Any:
    if isinstance(value, np.generic | Tensor):
        return value.item()
    return str(value)
