"""Which devices this machine has, found without loading torch."""

import math
import os
from collections.abc import Sequence
from pathlib import Path

from automl.errors import SpecError


def gpus() -> list[str]:
    """Indices or ids of the NVIDIA GPUs this process may use, as `CUDA_VISIBLE_DEVICES` takes them."""
    import pynvml

    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    try:
        pynvml.nvmlInit()
        count = pynvml.nvmlDeviceGetCount()
        pynvml.nvmlShutdown()
    except pynvml.NVMLError:
        return []
    if visible is None:
        return [str(k) for k in range(count)]
    return [name.strip() for name in visible.split(",") if name.strip() and name.strip() != "-1"][:count]


def shares(gpus: Sequence[str], each: float) -> list[tuple[str, ...]]:
    """The GPUs of each worker, where one has `each` of them; below 1, several workers share one.

    Raises:
        SpecError: `each` is no number of GPUs, or none of this machine's GPUs would be used.
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
    """Processor cores this process may run on (a container's share, not the machine's)."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def oom_kills() -> int:
    """How many processes of this process's control group the system has killed because memory ran out."""
    try:
        group = Path("/proc/self/cgroup").read_text().splitlines()[-1].rpartition(":")[2].lstrip("/")
        lines = Path("/sys/fs/cgroup", group, "memory.events").read_text().splitlines()
    except (OSError, IndexError):
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("oom_kill ")), 0)
