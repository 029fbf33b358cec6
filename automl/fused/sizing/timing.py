"""How long a training step of a lane takes in a bucket, and how many lanes fit into a GPU's memory.

Measured on cohorts of their own with real data.
"""

from collections.abc import Mapping
from typing import Any

import torch

from automl.data.prepared import Part
from automl.fused.clock import clock
from automl.fused.modules.blueprint import Blueprint
from automl.fused.uniform.cohort import UniformCohort
from automl.fused.uniform.cohort_stepper import cohort_stepper, module_mode
from automl.fused.uniform.epoch import step_graphs
from automl.fused.uniform.piece import PieceEpoch

STEPS = 3  # of a run that is timed
FILL = 0.85  # share of a GPU's free memory that lanes may take


def lane_seconds(blueprint: Blueprint, config: Mapping[str, Any], kind: str, data: Part, bucket: int) -> float:
    """Seconds (see `clock`) for one training step of one lane in a full bucket of `bucket` lanes.

    The least of three short runs, after one to warm up.
    """
    cohort = UniformCohort(blueprint, dict(config), ema=bool(config.get("ema")))
    cohort.resize(bucket)
    stepper = cohort_stepper(cohort)
    first = stepper.pieces[0]  # the other pieces take as long
    for j in range(first.size):
        cohort.admit(j, config, j, 1, None)
    graphs = step_graphs(cohort) if stepper.batched else None
    piece = PieceEpoch(first, kind, data, STEPS, recordable=graphs is not None)
    best = float("inf")
    with module_mode(cohort, batched=stepper.batched, training=True):
        for attempt in range(4):
            began = clock(blueprint.device)
            piece.train(None if graphs is None else graphs.steps_of(piece))
            seconds = clock(blueprint.device) - began
            best = min(best, seconds) if attempt else best
    return best / (piece.steps * first.size)


def memory_limit(blueprint: Blueprint, config: Mapping[str, Any], kind: str, data: Part) -> tuple[int, float]:
    """Lanes that fit into a GPU's memory, and bytes per lane; on a CPU practically unlimited, and 0.

    From the peaks of two and of four lanes: memory = constant + lanes x slope; FILL of what is free may be used.
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
