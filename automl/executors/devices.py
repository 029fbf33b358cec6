"""Which devices this machine has, found without loading torch."""

import os


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
