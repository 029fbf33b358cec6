"""A GPU and its memory: whether torch can train there, whether the data fit, and letting go of memory."""

import gc
from collections.abc import Iterator

import torch

from automl.data.prepared import Part
from automl.data.streaming.shards import Streamed
from automl.errors import EnvironmentProblem

ON_THE_CPU = "set CUDA_VISIBLE_DEVICES='' to train on the CPU"
ROOM = 1.25
"""Bytes of a GPU that must be free for each byte of data: a model and its batches need some, too."""
CAUSES = {
    "driver version is insufficient": "its driver is too old for this torch: update the driver, or install a torch "
    "build for an older CUDA",
    "driver on your system is too old": "its driver is too old for this torch: update the driver, or install a torch "
    "build for an older CUDA",
    "busy or unavailable": "another program holds it (exclusive compute mode): end that program, or have an "
    "administrator run nvidia-smi -c DEFAULT",
    "out of memory": "its memory is full: nvidia-smi lists the programs that use it; end one, or choose other GPUs "
    "with CUDA_VISIBLE_DEVICES",
    "no kernel image": "this torch is not built for its architecture: install a build that lists it in "
    "torch.cuda.get_arch_list()",
    "no CUDA-capable device": "CUDA finds no such GPU: compare CUDA_VISIBLE_DEVICES with nvidia-smi -L",
    "No CUDA GPUs are available": "CUDA finds no such GPU: compare CUDA_VISIBLE_DEVICES with nvidia-smi -L",
    "invalid device ordinal": "CUDA finds no such GPU: compare CUDA_VISIBLE_DEVICES with nvidia-smi -L",
}
"""Part of torch's message -> what is wrong, and what to do."""


def problem(device: str) -> str:
    """Why torch cannot train on `device` ("cuda:0") in this process, as a sentence; empty where it can.

    It starts CUDA and computes on the device, so it is for a process that is going to train there.
    """
    if not device.startswith("cuda"):
        return ""
    if torch.version.cuda is None and torch.version.hip is None:
        return (
            f"the NVIDIA driver lists a GPU, but torch {torch.__version__} is a CPU build: install a CUDA build of "
            f"torch (pytorch.org says how); or {ON_THE_CPU}"
        )
    try:
        torch.ones(8, device=device).sum().item()
    except (RuntimeError, AssertionError) as error:
        text = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        cause = next((words for part, words in CAUSES.items() if part in str(error)), text)
        return f"torch {torch.__version__} cannot use {device}: {cause}; or {ON_THE_CPU}"
    return ""


def model(device: torch.device) -> str:
    """What kind of device it is, for what is measured on it: "cpu", or a GPU's name such as "NVIDIA H100 80GB HBM3"."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


def require(device: str) -> None:
    """Raises EnvironmentProblem where torch cannot train on `device`."""
    if found := problem(device):
        raise EnvironmentProblem(found)


def require_room(device: torch.device, *parts: Part) -> None:
    """Raises EnvironmentProblem where these parts of the data do not fit into what is free of a GPU's memory.

    What is streamed from disk does not go there as a whole.
    """
    if device.type != "cuda":
        return
    whole = [part for part in parts if not isinstance(part, Streamed)]
    needed = sum(tensor.nbytes for tensor in _tensors(*whole) if tensor.device.type != "cuda")
    free = torch.cuda.mem_get_info(device)[0] + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    if needed * ROOM > free:
        raise EnvironmentProblem(
            f"the prepared data need {needed / 2**30:.1f} GiB, but {device} has {free / 2**30:.1f} GiB free: have the "
            f"table streamed with prepare: {{memory: 1GB}}, use fewer rows, or {ON_THE_CPU}"
        )


def _tensors(*parts: Part) -> Iterator[torch.Tensor]:
    for part in parts:
        yield from (tensor for tensor in (part.x, part.y, part.weight) if tensor is not None)


def free() -> None:
    """Give cached memory of the GPU back, so that what comes next finds it. Call it outside of `except` blocks.

    An error holds the tensors of all functions it came through, until its `except` block is left.
    """
    gc.collect()
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        torch.cuda.empty_cache()
