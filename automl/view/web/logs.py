"""The last lines of what a trial has printed, and of its traceback: files that anybody may have put there."""

import os
import re
import stat
from pathlib import Path

from automl.leaderboard import words
from automl.study import paths

MOST_BYTES = 64 * 2**10
"""Of one file, from its end."""
READ = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|.)")
"""Colours, moves of the cursor, and titles of a terminal."""


def printed(study: Path, trial: int) -> str:
    """The end of what the trial has printed; empty where there is nothing."""
    return _shown(study, study / paths.LOGS / paths.log_name(trial))


def traceback(study: Path, trial: int, attempt: int) -> str:
    """The end of the traceback of the trial's attempt; empty where there is none."""
    return _shown(study, paths.trial(study, trial) / f"traceback-{attempt}.txt")


def _shown(study: Path, file: Path) -> str:
    content, cut = _end(study, file)
    lines = content.decode(errors="replace").split("\n")
    shown = "\n".join(words.clean(_last(ESCAPES.sub("", line).replace("\t", "    "))) for line in lines)
    return f"... (the last {words.size(len(content))})\n{shown}" if cut else shown


def _last(line: str) -> str:
    """What is left to see of a line that was written over by carriage returns."""
    return line.rstrip("\r").rpartition("\r")[2]


def _end(study: Path, file: Path) -> tuple[bytes, bool]:
    """The end of a file, and whether something stands before it. No link is followed, no pipe waited for."""
    try:
        if file.resolve() != study.resolve() / file.relative_to(study):  # a folder on the way is a link
            return b"", False
        with open(os.open(file, READ), "rb") as stream:
            status = os.fstat(stream.fileno())
            if not stat.S_ISREG(status.st_mode):
                return b"", False
            stream.seek(max(status.st_size - MOST_BYTES, 0))
            return stream.read(MOST_BYTES), status.st_size > MOST_BYTES
    except (OSError, ValueError):
        return b"", False
