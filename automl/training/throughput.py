"""How fast a trial trained: samples a second, operations a second, and their share of what the device can do at most.

The most it can do is measured, with one big matrix product in the trial's number format: data sheets count what no
program reaches. A multiplication and an addition are two operations, as in torch's counter.
"""

import time
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

import torch
from torch import nn

RATED_S = 10.0  # of training, from which on operations are counted: that takes a tenth of a second or two
SIDE = {"cpu": 1024, "cuda": 8192}  # of the matrices


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
) -> dict[str, float]:
    """`samples_per_s` of a trial that trained on `samples` in `seconds`, evaluation included.

    Of one that trained for RATED_S and more also `tflops` (10^12 operations a second) and `peak_share`, of the measured
    most of `devices` like `device`. A model of the user's own that torch's meta device cannot build is not counted.
    """
    if seconds <= 0 or samples <= 0:
        return {}
    found = {"samples_per_s": float(f"{samples / seconds:.4g}")}
    if seconds < RATED_S or (each := operations(build, config, inputs, outputs)) is None:
        return found
    speed = each * samples / seconds
    share = speed / (devices * peak(device, format))
    return {**found, "tflops": float(f"{speed / 1e12:.4g}"), "peak_share": float(f"{share:.3g}")}


def operations(build: Callable[..., nn.Module], config: Mapping[str, Any], inputs: Any, outputs: Any) -> float | None:
    """Of training on one sample: forward once, and backward twice as many. None: the model does not say.

    Counted on the meta device, where nothing is computed and torch's counter sees recurrent layers too.
    """
    from torch.utils.flop_counter import FlopCounterMode  # imports triton, where that is installed

    try:
        with torch.device("meta"):
            model = build(dict(config), inputs, outputs)
            x = torch.zeros(2, *inputs.shape, dtype=torch.long if inputs.kind == "tokens" else torch.float32)
        with torch.no_grad(), FlopCounterMode(display=False) as counted:
            model(x)
    except Exception:  # user code, which knows nothing of meta tensors
        return None
    return float(1.5 * counted.get_total_flops())  # three passes for two samples


@lru_cache
def peak(device: str, format: torch.dtype) -> float:
    """Operations a second of a big square matrix product on `device`; measured once in a process."""
    kind = torch.device(device).type
    side = SIDE.get(kind, 1024)
    a, b = (torch.randn(side, side, device=device).to(format) for _ in range(2))
    best = float("inf")
    for attempt in range(5):
        begun = time.perf_counter()
        torch.mm(a, b)
        if kind == "cuda":
            torch.cuda.synchronize(device)
        best = min(best, time.perf_counter() - begun) if attempt else best
    return 2.0 * side**3 / best
