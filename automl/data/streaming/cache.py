"""Where prepared tables lie, under which key, and who may write there.

A table is found again by its content: size, time of the last change and a sample of the bytes of each file, or what its
store says of it. A file that was moved, or a study with another name, finds what was prepared before.
"""

import hashlib
import json
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import astuple
from pathlib import Path

from automl.data.reading.many.files import File
from automl.data.streaming.request import Request
from automl.errors import EnvironmentProblem

UNUSED_S = 30 * 86400.0
"""Seconds without use after which a prepared table is deleted."""
VERSION = 4
"""Of the format of the files, and of how cells are read."""
SAMPLES, SAMPLE = 16, 2**12
"""How many samples of how many bytes are read from a file to make its key."""


def cache_folder() -> Path:
    """Where prepared tables lie: `AUTOML_CACHE`, else `automl` in the user's cache folder."""
    given = os.environ.get("AUTOML_CACHE")
    return Path(given) if given else Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser() / "automl"


def home_of(request: Request, cache: Path | None = None) -> Path:
    """The folder of the prepared table."""
    name = request.files[0].name.partition(".")[0] or "table"
    return (cache or cache_folder()) / f"{name}-{key(request)}"


def key(request: Request) -> str:
    """The same for the same content, request and sizes."""
    asked = [VERSION, [identity(file) for file in request.files], request.target, dict(request.rules),
             {name: value for name, value in request.options.items() if name != "memory"}, request.seed,
             astuple(request.sizes)]  # fmt: skip
    text = json.dumps(asked, sort_keys=True, default=str)
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def identity(file: File) -> list[object]:
    """What tells a version of a file from others, and not where it lies."""
    if file.remote:
        return [file.path, file.size, file.stamp, file.partition]
    digest = hashlib.blake2b(digest_size=16)
    with file.open() as opened:
        for k in range(SAMPLES):
            opened.seek(k * max(file.size - SAMPLE, 0) // (SAMPLES - 1))
            digest.update(opened.read(SAMPLE))
    return [file.size, file.stamp, digest.hexdigest(), file.partition]


@contextmanager
def lock(file: Path, wait: bool = True) -> Iterator[int]:
    """Hold an exclusive lock on `file`; yields its number. Raises BlockingIOError where it is taken and not `wait`."""
    try:
        import fcntl
    except ImportError as error:
        raise EnvironmentProblem("tables larger than memory can be streamed on Linux and macOS only") from error
    with open(file, "w") as opened:
        fcntl.flock(opened, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield opened.fileno()


def delete_unused(cache: Path) -> None:
    """Delete tables, finished or not, that were not opened for UNUSED_S, except those being written now."""
    for folder in cache.iterdir():
        if not folder.is_dir():
            continue
        meta = folder / "meta.json"
        used = meta.stat().st_mtime if meta.is_file() else folder.stat().st_mtime
        if time.time() - used >= UNUSED_S:
            own = folder.with_name(folder.name.removeprefix(".").removesuffix(".partial")).with_suffix(".lock")
            with suppress(BlockingIOError), lock(own, wait=False):
                shutil.rmtree(folder, ignore_errors=True)
