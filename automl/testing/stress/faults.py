"""Fault injection: the n-th write, flush or rename of a small search fails, for n = 1, 2, 3, ... until none is left.

    python -m automl.testing.stress.faults

Whatever fails, the search must end as it should or with one of our own errors (a full disk, a ledger that cannot be
written); and once nothing fails any more, going on must lead to the leaderboard of the undisturbed search.
"""

import errno
import functools
import os
import sqlite3
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from automl.api import doors
from automl.core.space import Float
from automl.errors import AutoMLError
from automl.study.ledger.ledger import Ledger
from automl.testing.stress.chaos import board
from automl.worker.trial import Trial

ERRORS = (errno.ENOSPC, errno.EIO, errno.EDQUOT)
LEDGER_ERRORS = ("database or disk is full", "disk I/O error")


def train(trial: Trial) -> None:
    """A training function that saves a checkpoint at every step."""
    state = trial.load() or {"sum": 0.0}
    for step in trial.steps(3):
        state["sum"] = state["sum"] / 2 + trial["x"] / step
        trial.report(loss=state["sum"])
        trial.save(state)


def search(path: Path) -> None:
    """Run the small search whose writes are made to fail; `path` is the folder of its study."""
    doors.search(
        train, space={"x": Float(0, 1)}, metric="loss", trials=4, seed=3, executor="inline", path=path,
        stopper={"name": "asha", "eta": 2}, finalists=None,
    )  # fmt: skip


@dataclass
class Fault:
    """Fails call number `at` (counted from 1) of all calls that pass through it; 0 never fails, but counts."""

    at: int
    code: int = errno.ENOSPC
    calls: int = 0

    def __call__(self) -> None:
        self.calls += 1
        if self.calls == self.at:
            raise OSError(self.code, os.strerror(self.code))

    def around(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function, with the fault counted before each of its calls."""

        @functools.wraps(function)
        def failing(*args: Any, **options: Any) -> Any:
            self()
            return function(*args, **options)

        return failing


class _Database:
    """A connection to the ledger whose writing statements pass through a fault."""

    def __init__(self, inner: sqlite3.Connection, fault: Fault) -> None:
        self._inner, self._fault = inner, fault

    def execute(self, statement: str, *values: Any) -> Any:
        if statement.split()[0] in ("INSERT", "UPDATE", "COMMIT"):
            try:
                self._fault()
            except OSError as error:
                raise sqlite3.OperationalError(LEDGER_ERRORS[error.errno == errno.EIO]) from None
        return self._inner.execute(statement, *values)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


@contextmanager
def injected(fault: Fault) -> Iterator[None]:
    """Every fsync, rename, mkdir and write of ours, and every writing statement of the ledger, asks `fault` first."""
    patched: dict[str, Callable[..., Any]] = {name: getattr(os, name) for name in ("fsync", "rename", "replace")}
    opened, made, low = Path.open, Ledger.__init__, os.open

    def open_(file: Path, mode: str = "r", *args: Any, **options: Any) -> Any:
        if "w" in mode:
            fault()
        return opened(file, mode, *args, **options)

    def low_open(file: Any, flags: int, *args: Any, **options: Any) -> int:
        if flags & os.O_EXCL:
            fault()
        return low(file, flags, *args, **options)

    def init(ledger: Ledger, db: sqlite3.Connection, *args: Any) -> None:
        made(ledger, _Database(db, fault), *args)  # type: ignore[arg-type]

    for name, function in patched.items():
        setattr(os, name, fault.around(function))
    Path.open, Ledger.__init__ = open_, init  # type: ignore[method-assign, assignment]
    os.open = low_open  # type: ignore[assignment]
    try:
        yield
    finally:
        Path.open, Ledger.__init__ = opened, made  # type: ignore[method-assign]
        os.open = low
        for name, function in patched.items():
            setattr(os, name, function)


def wrong(folder: Path, fault: Fault, whole: list[tuple[Any, ...]]) -> str:
    """What is wrong after one search with this fault; empty when all is as promised."""
    path = folder / f"{fault.code}-{fault.at}"
    try:
        with injected(fault):
            search(path)
    except AutoMLError as error:
        if error.exit_code not in (3, 5):
            return f"call {fault.at} fails: exit code {error.exit_code}: {error}"
    except Exception as error:  # what this looks for
        return f"call {fault.at} fails: {type(error).__name__}: {error}"
    try:
        search(path)
        found = board(path)
    except Exception as error:
        return f"call {fault.at} failed, then going on: {type(error).__name__}: {error}"
    return "" if found == whole else f"call {fault.at} failed: another leaderboard: {found}"


def run(codes: tuple[int, ...] = ERRORS, every: int = 1) -> tuple[int, list[str]]:
    """Fail each `every`-th call of the search with each error; how many searches that were, and what was wrong."""
    problems: list[str] = []
    tried = 0
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        counter = Fault(0)
        with injected(counter):
            search(folder / "whole")
        whole = board(folder / "whole")
        for code in codes:
            for at in range(1, counter.calls + 1, every):
                tried += 1
                if found := wrong(folder, Fault(at, code), whole):
                    problems.append(found)
    return tried, problems


if __name__ == "__main__":
    searches, found = run()
    print("\n".join(found))
    print(f"{searches} searches, each with one failing write, flush, rename or commit: {len(found)} problems")
    sys.exit(1 if found else 0)
