"""Runs a shell command and prints the CPU time of all its processes: `python -m tests.support.cpu_time "make lint"`.

Unlike the wall time it hardly depends on what else the machine does. On Linux it includes processes whose parent ended
before them, such as the fork server and its workers; elsewhere these are missing.
"""

import ctypes
import os
import resource
import signal
import subprocess
import sys
import time

PR_SET_CHILD_SUBREAPER = 36  # of prctl(2): a process without a parent becomes a child of this one
PATIENCE_S = 10.0


def run(command: str) -> int:
    """Run `command`, wait for the processes it leaves behind, print the CPU time; returns its exit code."""
    signal.signal(signal.SIGINT, lambda *_: None)  # the command gets it too, and ends
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    begun = time.monotonic()
    process = subprocess.Popen(["sh", "-c", command])
    code = None
    while code is None:
        pid, status = os.waitpid(-1, 0)
        if pid == process.pid:
            code = os.waitstatus_to_exitcode(status)
    process.returncode = code
    left = _wait_for_orphans(time.monotonic() + PATIENCE_S)
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    print(
        f"CPU time: {used.ru_utime:.0f} s user + {used.ru_stime:.0f} s system = "
        f"{(used.ru_utime + used.ru_stime) / 60:.1f} min; wall time: {(time.monotonic() - begun) / 60:.1f} min"
        + (" (without processes that still run)" if left else ""),
        flush=True,
    )
    return code if code >= 0 else 128 - code


def _wait_for_orphans(until: float) -> bool:
    """Whether some still run at the time `until`."""
    while time.monotonic() < until:
        try:
            pid, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return False
        if pid == 0:
            time.sleep(0.05)
    return True


if __name__ == "__main__":
    sys.exit(run(sys.argv[1]))
