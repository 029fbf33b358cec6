"""Commands as a user types them, each in a process of its own."""

import os
import random
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

TYPED = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
"""The environment, with the commands of this installation."""
LIMIT_S = 600.0


def run(command: str | Sequence[str | Path], folder: Path) -> str:
    """What a command prints; a text is a line for the shell. Fails where it ends with another code than 0."""
    words = ["bash", "-ec", command] if isinstance(command, str) else command
    with on_one_core():
        done = subprocess.run(
            words, cwd=folder, env=TYPED, capture_output=True, text=True, timeout=LIMIT_S, check=False
        )
    assert done.returncode == 0, f"{command} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}"
    return done.stdout


@contextmanager
def on_one_core() -> Iterator[None]:
    """What is started here may use one core: a search that is not told otherwise starts one worker (Linux)."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {random.choice(sorted(allowed))})
    try:
        yield
    finally:
        os.sched_setaffinity(0, allowed)
