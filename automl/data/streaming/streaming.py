"""Tables that do not fit into memory: prepared once into a file, which training reads shard by shard.

The file lies in a folder below `AUTOML_CACHE` (else `~/.cache/automl`) and is found again by every process that asks
for the same data, split and preparation. Folders that were not opened for 30 days are deleted when another one is
written; a study that is resumed later writes its own again.
"""

import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import astuple
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch

from automl.data.prepared import Prepared
from automl.data.shapes import Inputs, Outputs
from automl.data.streaming.shards import Streamed, mapped
from automl.data.streaming.writer import Request, Sizes, write
from automl.errors import EnvironmentProblem

UNUSED_S = 30 * 86400.0
"""A prepared table that was not opened for so long is deleted."""
VERSION = 2
"""Of the format of the files, and of how cells are read."""


def load(request: Request, *, cache: Path | None = None, sizes: Sizes | None = None) -> Prepared:
    """Load a table whose inputs stay on disk; it is split as it would be in memory.

    Args:
        request: the arguments of `automl.data.load`.
        cache: where prepared tables lie; default: `cache_folder()`.
        sizes: of shards and chunks.

    Raises:
        DataError: the table cannot be read or learned from.
        EnvironmentProblem: the disk has no room, or the system cannot lock files.
    """
    home = (cache or cache_folder()) / f"{request.path.name.partition('.')[0]}-{_key(request, sizes)}"
    home.parent.mkdir(parents=True, exist_ok=True)
    with _lock(home.with_suffix(".lock")):  # workers start together: one prepares, the others wait
        if not (home / "meta.json").is_file():
            _delete_unused(home.parent)
            work = Path(tempfile.mkdtemp(prefix=f".{home.name}-", dir=home.parent))
            try:
                write(request, work, sizes or Sizes())
                shutil.rmtree(home, ignore_errors=True)
                os.replace(work, home)
            finally:
                shutil.rmtree(work, ignore_errors=True)
    return _open(home, request.seed)


def cache_folder() -> Path:
    """Where prepared tables lie: `AUTOML_CACHE`, else `automl` in the user's cache folder."""
    given = os.environ.get("AUTOML_CACHE")
    return Path(given) if given else Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser() / "automl"


@contextmanager
def _lock(file: Path, wait: bool = True) -> Iterator[None]:
    """Hold an exclusive lock on `file`. Raises BlockingIOError where it is taken and `wait` is False."""
    try:
        import fcntl
    except ImportError as error:
        raise EnvironmentProblem("tables larger than memory can be streamed on Linux and macOS only") from error
    with open(file, "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield


def _delete_unused(cache: Path) -> None:
    """Delete prepared tables that were not opened for UNUSED_S, except those being written now."""
    for meta in cache.glob("*/meta.json"):
        if time.time() - meta.stat().st_mtime >= UNUSED_S:
            with suppress(BlockingIOError), _lock(meta.parent.with_suffix(".lock"), wait=False):
                shutil.rmtree(meta.parent, ignore_errors=True)


def _key(request: Request, sizes: Sizes | None) -> str:
    """The same for the same file, request and sizes."""
    path, stat = request.path, request.path.stat()
    asked = [VERSION, str(path.resolve()), stat.st_size, stat.st_mtime_ns, request.target, request.rules,
             request.options, request.seed, *([astuple(sizes)] if sizes else [])]  # fmt: skip
    text = json.dumps(asked, sort_keys=True, default=str)
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def _open(home: Path, seed: int) -> Prepared:
    meta = json.loads((home / "meta.json").read_text())
    with suppress(OSError):  # the folder belongs to another user
        os.utime(home / "meta.json")
    inputs, outputs = Inputs.from_json(meta["inputs"]), Outputs.from_json(meta["outputs"])
    y = torch.from_numpy(np.load(home / "y.npy"))
    weight = torch.from_numpy(np.load(home / "weight.npy")) if (home / "weight.npy").is_file() else None
    parts = []
    for (first, end), edges in zip(pairwise(meta["ends"]), meta["edges"], strict=True):
        x = mapped(home / "x.bin", first, end - first, int(inputs))
        own_weight = None if weight is None else weight[first:end]
        parts.append(Streamed(x, y[first:end], own_weight, home / "x.bin", first, tuple(edges), seed))
    return Prepared(
        inputs, outputs, meta["kind"], parts[0], parts[1], parts[2], meta["classes"], meta["columns"],
        meta["preparation"], meta["fingerprint"], meta["notes"], meta["sample"],
    )  # fmt: skip
