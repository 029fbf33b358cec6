"""Processes that outlive the worker they came from: background children, daemons, pools nobody closed.

Every worker starts with a mark in its environment, which all its descendants inherit, whatever session or process
group they move to. By that mark they are found again: when their worker has died, when the search ends, and when
another driver takes over a study whose driver was killed.
"""

import os
import uuid
from contextlib import suppress
from pathlib import Path

import psutil

MARK = "AUTOML_WORKER"


def mark_of(folder: Path | None) -> str:
    """The mark of all workers of a study: its folder, or something unique if it has none."""
    return f"{folder.absolute()}/" if folder else f"{uuid.uuid4()}/"


def sweep(mark: str) -> int:
    """Kill all processes whose mark begins with `mark`, except this one and its ancestors.

    Returns:
        how many were killed.
    """
    spared = {os.getpid(), *(p.pid for p in psutil.Process().parents())}
    killed = 0
    for process in psutil.process_iter():
        if process.pid in spared:
            continue
        with suppress(psutil.Error, OSError):
            if process.environ().get(MARK, "").startswith(mark) and process.status() != psutil.STATUS_ZOMBIE:
                process.kill()
                killed += 1
    return killed
