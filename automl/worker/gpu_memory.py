"""A worker's share of its GPU's memory, where several workers have one GPU."""

import sys

from automl.worker.link import Place

_capped: dict[str, float] = {}


def cap_memory(place: Place) -> None:
    """Have torch's memory of this process end at its share of the GPU, so that one worker cannot crowd out the others.

    Does nothing as long as torch is not imported: a task without torch has no such limit.
    """
    torch = sys.modules.get("torch")
    if place.gpu_share >= 1 or torch is None or not hasattr(torch, "cuda"):
        return
    for device in place.devices:
        if device.startswith("cuda") and device not in _capped and torch.cuda.is_available():
            torch.cuda.set_per_process_memory_fraction(place.gpu_share, device)
            _capped[device] = place.gpu_share
