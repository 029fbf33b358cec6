"""How fast a trial trained: samples a second, operations a second, and their share of the device's measured peak.

The peak is measured with one large matrix product in the trial's number format, as no program reaches the figures of
data sheets. A multiplication and an addition count as two operations, as in torch's own counter.
"""

import time
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

import torch
from torch import nn

from automl.errors import out_of_memory
from automl.training.precision import products

RATED_S = 10.0
"""Seconds of training from which operations are counted, which takes a tenth of a second or two."""
SIDE = {"cpu": 1024, "cuda": 8192}
"""Device type -> rows and columns of the matrices that the peak is measured with."""


def rates(
    build: Callable[..., nn.Module],
    config: Mapping[str, Any],
    inputs: Any,
    outputs: Any,
    *,
    samples: int,
    seconds: float,
    device: str,
    format: torch.dtype = torch.float32,
    devices: int = 1,
    tf32: bool = False,
) -> dict[str, float]:
    """The speed of a trial that trained on `samples` samples in `seconds`, evaluation included.

    Args:
        build: makes the model: `build(config, inputs, outputs)`.
        config, inputs, outputs: of the trial, for `build`.
        samples: on which the model was trained, counted once for each epoch.
        seconds: of training and evaluation.
        device: on which it ran.
        format: number format of the forward passes.
        devices: how many devices like `device` it ran on.
        tf32: whether its products in float32 were rounded to TF32.

    Returns:
        `samples_per_s`, and for a trial of RATED_S seconds and more also `tflops` (10^12 operations a second) and
        `peak_share` (0..1, of the measured peak of all its devices). Empty if nothing was trained; without operations
        if the model cannot be built on torch's meta device, without a share if there is no memory to measure the peak.
    """
    if seconds <= 0 or samples <= 0:
        return {}
    speed = {"samples_per_s": float(f"{samples / seconds:.4g}")}
    if seconds < RATED_S or (per_sample := operations(build, config, inputs, outputs)) is None:
        return speed
    per_s = per_sample * samples / seconds
    speed["tflops"] = float(f"{per_s / 1e12:.4g}")
    try:
        highest = peak(device, format, tf32)
    except Exception as error:  # the trial has ended well, whether or not its share of the peak is known
        if not out_of_memory(error):
            raise
        return speed
    return {**speed, "peak_share": float(f"{per_s / (devices * highest):.3g}")}


def operations(build: Callable[..., nn.Module], config: Mapping[str, Any], inputs: Any, outputs: Any) -> float | None:
    """Operations of training on one sample: a forward pass, and a backward pass that counts twice as much.

    They are counted on the meta device, where nothing is computed, and where torch's counter sees recurrent layers too.

    Returns:
        The number, or None if the model cannot be built or called there, or multiplies nothing, as trees.
    """
    from torch.utils.flop_counter import FlopCounterMode  # imports triton, where that is installed

    try:
        with torch.device("meta"):
            model = build(dict(config), inputs, outputs)
            x = torch.zeros(2, *inputs.shape, dtype=torch.long if inputs.kind == "tokens" else torch.float32)
        with torch.no_grad(), FlopCounterMode(display=False) as counted:
            model(x)
    except Exception:  # user code, which may need the values that meta tensors lack
        return None
    return float(1.5 * counted.get_total_flops()) or None  # three passes, counted for two samples


@lru_cache
def peak(device: str, format: torch.dtype, tf32: bool) -> float:
    """Operations a second of a large square matrix product on `device`, best of four; measured once in a process."""
    kind = torch.device(device).type
    side = SIDE.get(kind, 1024)
    a, b = (torch.randn(side, side, device=device).to(format) for _ in range(2))
    best = float("inf")
    with products(torch.device(device), tf32=tf32):
        for attempt in range(5):  # the first one warms up
            begun = time.perf_counter()
            torch.mm(a, b)
            if kind == "cuda":
                torch.cuda.synchronize(device)
            best = min(best, time.perf_counter() - begun) if attempt else best
    return 2.0 * side**3 / best
