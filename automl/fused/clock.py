"""The clock by which training is timed."""

import time

import torch


def clock(device: torch.device) -> float:
    """Seconds: CPU time of this process on a CPU; on a GPU wall time, once the device has done all its work."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        return time.perf_counter()
    return time.process_time()
