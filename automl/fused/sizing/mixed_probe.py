"""Is the mixed program right for these models? Some lanes, one real batch, compared with the plain modules."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from automl.data.prepared import Part
from automl.fused.mixed.cohort import MixedCohort, NotMixable
from automl.fused.mixed.epoch import MixedPiece
from automl.fused.modules.blueprint import Blueprint
from automl.fused.sizing.probe import FIRST_SEED, LANES, OTHER, ProbeResult, StepResult, difference, plain_step
from automl.fused.tensors import losses
from automl.fused.tensors.batches import gather

NewCohort = Callable[[Blueprint, dict[str, Any]], MixedCohort]


def probe_mixed(blueprint: Blueprint, configs: Sequence[Mapping[str, Any]], kind: str, data: Part, batch: int = 16,
                new_cohort: NewCohort = MixedCohort) -> ProbeResult:  # fmt: skip
    """Compare outputs, gradients and buffers of some lanes with plain modules, without dropout.

    Args:
        blueprint: of the modules.
        configs: of the trials; the first few are tried.
        kind, data: see `Problem`; the first `batch` samples are used.
        new_cohort: makes the cohort.

    Raises:
        Exception: whatever building a module from a wrong config raises.
    """
    few = data.head(batch)
    simple = [{**config, "label_smoothing": 0.0, "clip": 0.0} for config in configs[:LANES]]
    cohort = new_cohort(blueprint, dict(simple[0]))
    try:
        for j, config in enumerate(simple):
            cohort.admit(j, config, FIRST_SEED + j, 1, None)
    except NotMixable as error:
        return ProbeResult(False, str(error), OTHER)
    for lane in cohort.lanes:
        lane.drops = dict.fromkeys(lane.drops, 0.0)
    for j, step in enumerate(_lane_steps(cohort, kind, few)):
        plain = plain_step(blueprint, simple[j], kind, few, FIRST_SEED + j, step.chosen)
        if complaint := difference(step, plain, 0):
            return ProbeResult(False, complaint, OTHER)
    return ProbeResult(True)


@torch.no_grad()
def _lane_steps(cohort: MixedCohort, kind: str, data: Part) -> list[StepResult]:
    """What one forward and backward pass gave, for each lane (with a lane axis of 1)."""
    piece = MixedPiece(cohort, tuple(range(len(cohort.members))), kind, data, 1)
    chosen, program = piece.batches.gathered.order[:, : len(data)], piece.program
    x, y, weight = gather(data, chosen)
    out = program.outputs(x, 0).clone()
    program.backward(losses.gradient(kind, out, y, weight, None)[1])
    program.store(1)
    return [
        StepResult(
            out[k : k + 1],
            {name: g.unsqueeze(0) for name, g in program.named_gradients[k].items()},
            {name: b.unsqueeze(0) for name, b in model.buffers.items()},
            chosen[k : k + 1],
        )
        for k, model in enumerate(program.models)
    ]
