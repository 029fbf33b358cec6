"""What a model costs: its parameters, bytes and operations, which follow from the config, and its measured latency."""

import time
from collections.abc import Callable, Iterable, Mapping
from statistics import median
from typing import Any

import torch
from torch import nn

from automl.training.throughput import operations

ROUNDS_S = 0.1
"""Seconds of predictions that a latency is the median of."""
LEAST_ROUNDS = 5
"""Predictions that it is the median of at least; as many are made before, to warm up."""
LATENCIES = {"latency_ms": 1, "latency_64_ms": 64}
"""Rows of a prediction."""


def measure(
    names: Iterable[str],
    build: Callable[..., nn.Module],
    config: Mapping[str, Any],
    inputs: Any,
    outputs: Any,
    device: str,
) -> dict[str, float]:
    """The costs of these `names` (see `metrics.COSTS`) of the model of a config, before any training.

    Args:
        names: which ones; others are left out.
        build: makes the model: `build(config, inputs, outputs)`.
        config, inputs, outputs: of the trial, for `build`.
        device: where latencies are measured, as torch names it; in the number format of the weights, without
            compiling. On a CPU with as many threads as torch has.

    Returns:
        {name: value}. `parameters` counts what is learned; `bytes` parameters and buffers as they are in memory;
        `flops` a forward pass for one sample, where a multiplication and an addition are two; `latency_ms` and
        `latency_64_ms` are milliseconds of a forward pass for 1 and for 64 rows: the median of at least
        `LEAST_ROUNDS` of them.

    Raises:
        ValueError: operations cannot be counted, as for a user's model that needs the values of its input.
    """
    wanted = list(names)
    found: dict[str, float] = {}
    if {"parameters", "bytes"} & set(wanted):
        model = weightless(build, config, inputs, outputs)
        parts = [*model.parameters(), *model.buffers()]
        found["parameters"] = float(sum(p.numel() for p in model.parameters() if p.requires_grad))
        found["bytes"] = float(sum(p.numel() * p.element_size() for p in parts))
    if "flops" in wanted:
        training = operations(build, config, inputs, outputs)
        if training is None:
            raise ValueError("flops: the operations of this model cannot be counted")
        found["flops"] = training / 3.0  # a backward pass counts twice as much
    for name in LATENCIES.keys() & set(wanted):
        found[name] = latency_ms(build(dict(config), inputs, outputs), inputs, LATENCIES[name], device)
    return {name: found[name] for name in wanted if name in found}


def latency_ms(model: nn.Module, inputs: Any, rows: int, device: str) -> float:
    """Milliseconds of a forward pass of `model` for `rows` rows of zeros on `device`, to three digits."""
    kind = torch.long if inputs.kind == "tokens" else torch.float32
    x = torch.zeros(rows, *inputs.shape, dtype=kind, device=device)
    model = model.to(device).eval()
    seconds: list[float] = []
    with torch.inference_mode():
        for _ in range(LEAST_ROUNDS):
            model(x)
        end_s = time.perf_counter() + ROUNDS_S
        while len(seconds) < LEAST_ROUNDS or time.perf_counter() < end_s:
            _wait(device)
            begun_s = time.perf_counter()
            model(x)
            _wait(device)
            seconds.append(time.perf_counter() - begun_s)
    return float(f"{1000 * median(seconds):.3g}")


def _wait(device: str) -> None:
    """Wait until a GPU has done what it was given."""
    if device.startswith("cuda"):
        torch.cuda.synchronize(device)


def weightless(build: Callable[..., nn.Module], config: Mapping[str, Any], inputs: Any, outputs: Any) -> nn.Module:
    """The model without memory for its weights, where it can be built so."""
    try:
        with torch.device("meta"):
            return build(dict(config), inputs, outputs)
    except Exception:  # user code, which may need the values that meta tensors lack
        return build(dict(config), inputs, outputs)
