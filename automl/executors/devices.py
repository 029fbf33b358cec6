"""Which devices this machine has, found without loading torch."""

import os
from pathlib import Path


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
