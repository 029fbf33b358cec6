"""Work that several processes share: each takes the next item that is not done. They see the same files only.

A helper is a command of its own (`python -m` this module, a folder and a stage): it reads numbers of items from its
standard input and answers each with a line, and ends when the input does, so with the process that started it.
"""

import errno
import json
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

from automl import errors
from automl.data.streaming.passes.scan import Scan, write_whole
from automl.data.streaming.passes.write import Writing
from automl.errors import AutoMLError, DataError, EnvironmentProblem

STAGES: Mapping[str, Callable[[Mapping[str, Any], Path], "Work"]] = {"scan": Scan.from_json, "write": Writing.from_json}
FULL = (errno.ENOSPC, errno.EDQUOT)
"""The errors that a disk or a quota is full."""


class Work(Protocol):
    """Work in items, each of which writes files of its own and can be done again."""

    def __len__(self) -> int:
        """How many items there are."""
        ...

    def done(self, folder: Path, k: int) -> bool:
        """Whether item k is done."""
        ...

    def work(self, folder: Path, k: int) -> None:
        """Do item k."""
        ...

    def to_json(self) -> dict[str, Any]:
        """What `STAGES` makes the same work of."""
        ...


def run(stage: str, work: Work, folder: Path, processes: int, lock: int) -> None:
    """Do all items that are not done yet.

    Args:
        stage: one of `STAGES`.
        work: what is to be done.
        folder: where it is done.
        processes: how many share it, this one among them.
        lock: a file that helpers keep open, so that a lock on it is held until the last of them has ended.

    Raises:
        DataError: the table cannot be read.
        EnvironmentProblem: the disk is full, a store does not answer, or a helper was killed.
    """
    todo: queue.SimpleQueue[int] = queue.SimpleQueue()
    left = [k for k in range(len(work)) if not work.done(folder, k)]
    for k in left:
        todo.put(k)
    helpers = [_Helper(stage, folder, todo, lock) for _ in range(min(processes, len(left)) - 1)]
    if helpers:
        write_whole(folder / f"{stage}.json", json.dumps(work.to_json()).encode())
    for helper in helpers:
        helper.start()
    try:
        while (item := _next(todo)) is not None and not any(helper.error for helper in helpers):
            attempt(work, folder, item)
    except BaseException:
        while _next(todo) is not None:
            pass
        raise
    finally:
        for helper in helpers:
            helper.join()
    for helper in helpers:
        if helper.error is not None:
            raise helper.error


def _next(todo: "queue.SimpleQueue[int]") -> int | None:
    try:
        return todo.get_nowait()
    except queue.Empty:
        return None


def attempt(work: Work, folder: Path, k: int) -> None:
    """Do item k.

    Raises:
        DataError, EnvironmentProblem: see `run`.
    """
    try:
        work.work(folder, k)
    except OSError as error:
        if error.errno in FULL:
            raise EnvironmentProblem(f"the disk is full: no room in {folder.parent} for the table") from error
        raise EnvironmentProblem(f"{error}; start again, what is done stays done") from error


class _Helper(threading.Thread):
    """A helper process, fed by a thread of this one."""

    def __init__(self, stage: str, folder: Path, todo: "queue.SimpleQueue[int]", lock: int) -> None:
        super().__init__(name="helper", daemon=True)
        self.error: AutoMLError | None = None
        self._todo, self._lock = todo, lock
        self._command = [sys.executable, "-m", __name__, str(folder), stage]

    def run(self) -> None:
        """Give items to the process until there are no more, or one has failed."""
        variables = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "OMP_NUM_THREADS": "1"}
        with subprocess.Popen(
            self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=variables,
            pass_fds=[self._lock],
        ) as process:  # fmt: skip
            assert process.stdin is not None
            assert process.stdout is not None
            while self.error is None and (k := _next(self._todo)) is not None:
                try:
                    process.stdin.write(f"{k}\n")
                    process.stdin.flush()
                    answer = json.loads(process.stdout.readline() or '["killed", ""]')
                except OSError:
                    answer = ["killed", ""]
                self.error = _as_error(*answer) if answer else None


def _as_error(name: str, message: str) -> AutoMLError:
    if name == "killed":
        return EnvironmentProblem("a process that prepares the table was killed; start again, what is done stays done")
    kind = getattr(errors, name, None)
    made = kind if isinstance(kind, type) and issubclass(kind, AutoMLError) else DataError
    return made(message)


def main(folder: Path, stage: str) -> None:
    """A helper: do the items whose numbers are read from standard input."""
    work = STAGES[stage](json.loads((folder / f"{stage}.json").read_bytes()), folder)
    for line in sys.stdin:
        answer: list[str] = []
        try:
            attempt(work, folder, int(line))
        except AutoMLError as error:
            answer = [type(error).__name__, str(error)]
        except Exception as error:
            answer = ["EnvironmentProblem", f"{type(error).__name__}: {error}"]
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
