"""What user code prints goes into files below `logs/` in the study's folder, never to the screen."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO, cast

from automl.study.paths import log_name

LIMIT_BYTES = 10 * 2**20  # of one log


@dataclass
class _LazyFile:
    """A text stream that opens its file at the first write, so that silent trials leave none; cut at `LIMIT_BYTES`."""

    path: Path
    written: int = 0
    file: TextIO | None = None

    def write(self, text: str) -> int:
        if self.file is None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.file = self.path.open("a", errors="replace")
        if self.written < LIMIT_BYTES:
            self.file.write(text)
        self.written += len(text)
        return len(text)

    def flush(self) -> None:
        if self.file is not None:
            self.file.flush()

    def isatty(self) -> bool:
        return False

    def close(self) -> None:
        if self.file is not None:
            if self.written > LIMIT_BYTES:
                self.file.write(f"\n[{self.written - LIMIT_BYTES} more characters were not kept]\n")
            self.file.close()


@dataclass(frozen=True)
class StreamCapture:
    """Redirects `sys.stdout` and `sys.stderr`, for a worker in this process; but `breakpoint()` uses the terminal."""

    folder: Path

    @contextmanager
    def __call__(self, trial: int | None) -> Iterator[None]:
        file = _LazyFile(self.folder / log_name(trial))
        stream = cast(TextIO, file)
        terminal, hook = (sys.stdout, sys.stderr), sys.breakpointhook

        def debug(*args: Any, **options: Any) -> Any:
            sys.stdout, sys.stderr = terminal
            return hook(*args, **options)

        sys.breakpointhook = debug
        try:
            with redirect_stdout(stream), redirect_stderr(stream):
                yield
        finally:
            sys.breakpointhook = hook
            file.close()


@dataclass(frozen=True)
class DescriptorCapture:
    """Redirects file descriptors 1 and 2 of a worker process, so that of C libraries and child processes, too."""

    folder: Path
    worker: int

    @contextmanager
    def __call__(self, trial: int | None) -> Iterator[None]:
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / log_name(trial, self.worker)
        self._point_at(path)
        try:
            yield
        finally:
            self._point_at(self.folder / log_name(None, self.worker))
            with suppress(FileNotFoundError):  # another attempt that ended meanwhile has deleted it
                if path.stat().st_size == 0:
                    path.unlink()
                else:
                    shorten(path)

    def _point_at(self, path: Path) -> None:
        """Have both descriptors write to the end of `path`."""
        sys.stdout.flush()
        sys.stderr.flush()
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        os.dup2(descriptor, 1)
        os.dup2(descriptor, 2)
        os.close(descriptor)


def shorten(path: Path) -> None:
    """Keep the first and the last `LIMIT_BYTES / 2` of a log that has grown larger than `LIMIT_BYTES`."""
    size = path.stat().st_size
    if size <= LIMIT_BYTES:
        return
    half = LIMIT_BYTES // 2
    with path.open("rb+") as file:
        file.seek(size - half)
        tail = file.read()
        file.seek(half)
        file.write(f"\n[... {size - 2 * half} bytes were not kept ...]\n".encode() + tail)
        file.truncate()
