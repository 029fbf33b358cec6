"""Which devices this machine has, found out without loading torch."""

import math
import os
from collections.abc import Sequence
from pathlib import Path

from automl.core.machine import gpus as found
from automl.core.machine.memory import SharedMemory
from automl.errors import SpecError


def gpus() -> list[str]:
    """Names of the NVIDIA GPUs that this process may use, as `CUDA_VISIBLE_DEVICES` takes them."""
    return [gpu.name for gpu in found.visible()]


def shared_memory() -> SharedMemory:
    """How full the memory of these GPUs and of this machine is, compared with now."""
    import pynvml

    return SharedMemory(found.visible(pynvml), pynvml)


def count() -> int:
    """How many NVIDIA GPUs this process may use."""
    return len(gpus())


def shares(gpus: Sequence[str], each: float) -> list[tuple[str, ...]]:
    """The GPUs of each worker.

    Args:
        gpus: those of this machine.
        each: how many a worker has; below 1, several workers share one.

    Raises:
        SpecError: `each` is above 1 and not a whole number, or more than this machine has.
    """
    if each <= 0 or (each > 1 and each != int(each)):
        raise SpecError(f"gpus is a share of one GPU or a whole number of them, got {each:g}")
    if each <= 1:
        return [(gpu,) for _ in range(math.floor(1 / each + 1e-9)) for gpu in gpus]
    if 0 < len(gpus) < each:
        raise SpecError(f"gpus: a trial needs {each:g}, this machine has {len(gpus)}")
    n = int(each)
    return [tuple(gpus[k : k + n]) for k in range(0, len(gpus) - n + 1, n)]


def cores() -> int:
    """How many processor cores this process may use (those of its container, not of the machine)."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def threads() -> int:
    """How many threads the user wants for each process, by the variable OMP_NUM_THREADS; 0: it is not said."""
    first = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0].strip()  # the rest is for nested levels
    return int(first) if first.isdecimal() else 0


def oom_kills() -> int:
    """How many processes of this control group the system has killed because memory ran out; 0: not known."""
    try:
        group = Path("/proc/self/cgroup").read_text().splitlines()[-1].rpartition(":")[2].lstrip("/")
        lines = Path("/sys/fs/cgroup", group, "memory.events").read_text().splitlines()
    except (OSError, IndexError):
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("oom_kill ")), 0)
