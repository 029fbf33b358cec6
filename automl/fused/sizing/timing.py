"""How long a training step of a lane takes in a bucket: measured on a cohort of its own, with real data."""

from collections.abc import Mapping
from typing import Any

from automl.data.prepared import Part
from automl.fused.clock import clock
from automl.fused.modules.blueprint import Blueprint
from automl.fused.uniform.cohort import UniformCohort
from automl.fused.uniform.cohort_stepper import cohort_stepper, module_mode
from automl.fused.uniform.epoch import step_graphs
from automl.fused.uniform.piece import PieceEpoch

STEPS = 3  # of a run that is timed


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
