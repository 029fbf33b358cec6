"""Processes that outlive the worker they came from: background children, daemons, pools nobody closed.

Every worker begins with a mark in its environment, which all its descendants inherit, whatever session or process
group they moved to. By that mark they are found again: when their worker died, when the search ends, and when another
driver takes over a study whose driver was killed.
"""

import os
import uuid
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import psutil

MARK = "AUTOML_WORKER"


def mark_of(folder: Path | None) -> str:
    """What marks all workers of a study: its folder, or something unique where there is none."""
    return f"{folder.absolute()}/" if folder else f"{uuid.uuid4()}/"


def sweep(mark: str, spare: Iterable[int] = ()) -> int:
    """Kill all processes whose mark begins with `mark`, but never this one, its ancestors and `spare`; how many."""
    spared = {os.getpid(), *(p.pid for p in psutil.Process().parents()), *spare}
    killed = 0
    for process in psutil.process_iter():
        if process.pid in spared:
            continue
        with suppress(psutil.Error, OSError):
            if process.environ().get(MARK, "").startswith(mark) and process.status() != psutil.STATUS_ZOMBIE:
                process.kill()
                killed += 1
    return killed


def children() -> frozenset[int]:
    """Processes this one has started and that still run; empty where the kernel does not tell."""
    found: set[int] = set()
    with suppress(OSError):
        for task in Path("/proc/self/task").iterdir():
            found.update(int(pid) for pid in (task / "children").read_text().split())
    return frozenset(found)
