"""How much more anonymous memory a process takes at its peak: of a program that says when it has begun.

In the program:

    from tests.support.peak_memory import Peak
    peak = Peak()                    # all is imported and loaded
    ...
    print(rows, peak.growth())
"""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

STATUS = Path("/proc/self/status")
"""Where Linux says it; tests are skipped where this file is missing."""


def anonymous() -> float:
    """Anonymous memory of this process in MiB: what no file holds."""
    return int(next(line for line in STATUS.read_text().splitlines() if line.startswith("RssAnon")).split()[1]) / 1024


class Peak:
    """The most that this process has from now on, above what it has now."""

    def __init__(self) -> None:
        self.before = self.most = anonymous()
        threading.Thread(target=self._watch, daemon=True).start()

    def _watch(self) -> None:
        while True:
            self.most = max(self.most, anonymous())
            time.sleep(0.002)

    def growth(self) -> float:
        """In MiB."""
        return self.most - self.before


def printed(program: str, arguments: Sequence[object], folder: Path) -> tuple[float, ...]:
    """The numbers that a program prints, which runs in `folder` in a process of its own with one thread."""
    variables = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, "-c", program, *map(str, arguments)]
    done = subprocess.run(command, cwd=folder, env=variables, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    return tuple(map(float, done.stdout.split()))
