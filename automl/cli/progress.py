"""The first line of a command that takes seconds, on stderr: it is there before anything heavy is imported."""

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime

LATE_S = 0.7
"""A command that is usually quicker than this says what it does only when it is not."""


def say(text: str, *, quiet: bool = False) -> None:
    """Say what begins, at once; in a log with the time of day, as its other lines."""
    if quiet or sys.stderr is None:
        return
    clean = "".join(c if c.isprintable() else "?" for c in text)
    with suppress(OSError, ValueError):  # the terminal is gone, which ends no search
        line = clean if sys.stderr.isatty() else f"{datetime.now():%H:%M:%S} begin  {clean}"
        print(line, file=sys.stderr, flush=True)


@contextmanager
def saying_if_late(text: str) -> Iterator[None]:
    """Say what the block does if it takes more than `LATE_S`."""
    timer = threading.Timer(LATE_S, say, (text,))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
