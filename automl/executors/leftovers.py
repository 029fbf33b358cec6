"""Processes that outlive the worker they came from: background children, daemons, pools nobody closed.

Every worker starts with a mark in its environment, which all its descendants inherit, whatever session or process
group they move to. By that mark they are found again: when their worker has died, when the search ends, and when
another driver takes over a study whose driver was killed.

A program may begin with an emptied environment. So on Linux a worker adopts its descendants whose parents have ended,
and kills all of them when it ends; those of a worker that was killed are adopted by the driver.
"""

import ctypes
import os
import sys
import time
import uuid
from collections.abc import Container, Sequence
from contextlib import suppress
from pathlib import Path

import psutil

MARK = "AUTOML_WORKER"


def mark_of(folder: Path | None) -> str:
    """The mark of all workers of a study: its folder, or something unique if it has none."""
    return f"{folder.absolute()}/" if folder else f"{uuid.uuid4()}/"


PLAIN = frozenset({"PATH", "HOME", "PWD", "OLDPWD", "SHLVL", "LANG", "LC_ALL", "LC_CTYPE", "TERM", "USER", "_"})
"""A process without any other variable has begun with an emptied environment."""


def adopt(yes: bool = True) -> None:
    """Whether this process becomes the parent of descendants whose own parent has ended (Linux)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(36, int(yes), 0, 0, 0)  # PR_SET_CHILD_SUBREAPER


def kill_descendants(pid: int | None = None) -> None:
    """Kill all descendants of a process (None: of this one), also those that they start meanwhile."""
    for _ in range(10):
        with suppress(psutil.Error):
            found = [p for p in psutil.Process(pid).children(recursive=True) if p.status() != psutil.STATUS_ZOMBIE]
            for process in found:
                with suppress(psutil.Error):
                    process.kill()
            if found:
                continue
        return


def kill_adopted(known: Container[int]) -> None:
    """Kill children of this process that it has adopted: those which began with an emptied environment.

    Args:
        known: ids of processes that this one has started; its other children have an environment like its own.
    """
    for process in psutil.Process().children():
        with suppress(psutil.Error, OSError):
            if (
                process.pid not in known
                and process.status() != psutil.STATUS_ZOMBIE
                and process.environ().keys() <= PLAIN
            ):
                below = process.children(recursive=True)
                kill_descendants(process.pid)
                process.kill()
                reap([process, *below])


def end_all() -> None:
    """Kill all descendants of this process, which is about to end, so that none is left to its parent."""
    kill_descendants()
    deadline = time.monotonic() + 1.0
    with suppress(ChildProcessError):  # there are no more
        while time.monotonic() < deadline:
            if not os.waitpid(-1, os.WNOHANG)[0]:
                time.sleep(0.002)


def reap(killed: Sequence[psutil.Process], patience_s: float = 1.0) -> None:
    """Wait for the end of those processes that are children of this one, or become that: or they stay as zombies."""
    deadline = time.monotonic() + patience_s
    for process in killed:
        while process.is_running() and time.monotonic() < deadline:
            with suppress(ChildProcessError):  # it is not ours, or not yet
                if os.waitpid(process.pid, os.WNOHANG)[0]:
                    break
            time.sleep(0.002)


def sweep(mark: str) -> int:
    """Kill all processes whose mark begins with `mark`, except this one and its ancestors.

    Returns:
        how many were killed.
    """
    spared = {os.getpid(), *(p.pid for p in psutil.Process().parents())}
    killed = []
    for process in psutil.process_iter():
        if process.pid in spared:
            continue
        with suppress(psutil.Error, OSError):
            if process.environ().get(MARK, "").startswith(mark) and process.status() != psutil.STATUS_ZOMBIE:
                process.kill()
                killed.append(process)
    reap(killed)
    return len(killed)
