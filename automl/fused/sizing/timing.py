"""How many lanes: memory from two small dry runs, then buckets upward while lanes per second grow; below 1.2 x solo: 1.

Measured once per signature on throw-away cohorts with real data, in CPU seconds on a CPU and in synchronized wall
seconds on a GPU.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from automl.data.prepared import Part
from automl.fused.modules.blueprint import Blueprint
from automl.fused.uniform.cohort import Cohort
from automl.fused.uniform.epoch import PieceEpoch
from automl.fused.uniform.stepper import mode, stepper

KNEE, WORTH, FILL = 1.15, 1.2, 0.85
START = {"cpu": 8, "cuda": 16}
STEPS = 3


@dataclass(frozen=True)
class Capacity:
    """`lanes`: 1 means solo. `speedup` over solo, `reason` when it is 1; `bytes_per_lane` where it was measured."""

    lanes: int
    speedup: float
    reason: str = ""
    bytes_per_lane: float = 0.0


def clock(device: torch.device) -> float:
    """CPU seconds of this process on a CPU, else wall seconds when the device has done all it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        return time.perf_counter()
    return time.process_time()


def lane_seconds(blueprint: Blueprint, config: Mapping[str, Any], kind: str, data: Part, bucket: int) -> float:
    """Seconds per lane and training step in a full bucket: the least of three short runs after one to warm up."""
    cohort = Cohort(blueprint, dict(config), ema=bool(config.get("ema")))
    cohort.resize(bucket)
    held = stepper(cohort)
    for j in range(held.pieces[0].size):  # further pieces cost the same
        cohort.admit(j, config, j, 1, None)
    run = PieceEpoch(cohort, held.pieces[0], kind, data, STEPS)
    best = float("inf")
    with mode(held, True):
        for attempt in range(4):
            begin = clock(blueprint.device)
            run.train()
            spent = clock(blueprint.device) - begin
            best = min(best, spent) if attempt else best
    return best / (run.steps * held.pieces[0].size)


def memory_limit(blueprint: Blueprint, config: Mapping[str, Any], kind: str, data: Part) -> tuple[int, float]:
    """Lanes that fit and bytes per lane, from the peaks of two and four lanes; unlimited on a CPU (swap is the user's).

    Memory is `constant + lanes * slope`; FILL of what is free may be used.
    """
    device = blueprint.device
    if device.type != "cuda":
        return 1 << 20, 0.0
    peaks = []
    for bucket in (2, 4):
        torch.cuda.reset_peak_memory_stats(device)
        lane_seconds(blueprint, config, kind, data, bucket)
        peaks.append(torch.cuda.max_memory_allocated(device))
    slope = max(1.0, (peaks[1] - peaks[0]) / 2)
    free, _ = torch.cuda.mem_get_info(device)
    return int(FILL * free / slope), slope


def search(blueprint: Blueprint, config: Mapping[str, Any], kind: str, data: Part, most: int) -> Capacity:
    """The knee of lane-steps per second over power-of-two buckets up to `most`; out of memory ends the climb."""
    solo = lane_seconds(blueprint, config, kind, data, 1)
    limit, slope = memory_limit(blueprint, config, kind, data)
    most = min(most, limit)
    best, at = solo, 1
    bucket = min(START.get(blueprint.device.type, 8), 1 << max(1, most).bit_length() - 1)
    while 2 <= bucket <= most:
        try:
            cost = lane_seconds(blueprint, config, kind, data, bucket)
        except torch.cuda.OutOfMemoryError:
            torch.cuda.empty_cache()
            break
        if at > 1 and best / cost < KNEE:
            break
        if cost < best:
            best, at = cost, bucket
        elif at == 1:
            break
        bucket *= 2
    if at == 1 or solo / best < WORTH:
        return Capacity(1, 1.0, f"fused lanes gain {solo / best:.2f}x on this device, less than {WORTH}x", slope)
    return Capacity(at, solo / best, "", slope)
