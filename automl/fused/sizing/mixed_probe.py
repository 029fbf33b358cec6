"""Is a mixed cohort right? Some lanes, one real batch: outputs, gradients and buffers against the plain modules."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from automl.data.prepared import Part
from automl.fused.mixed.cohort import MixedCohort, NotMixable
from automl.fused.mixed.epoch import MixedPiece
from automl.fused.modules.blueprint import Blueprint
from automl.fused.sizing.probe import Fusion, Step, difference, plain_step
from automl.fused.tensors import losses
from automl.fused.tensors.batches import gather

LANES = 3


def probe_mixed(
    blueprint: Blueprint, configs: Sequence[Mapping[str, Any]], kind: str, data: Part, batch: int = 16
) -> Fusion:
    """Compare some lanes with plain modules, without dropout. Raises what a config at fault raises when built."""
    few = data.head(batch)
    silent = [{**config, "label_smoothing": 0.0, "clip": 0.0} for config in configs[:LANES]]
    cohort = MixedCohort(blueprint, dict(silent[0]))
    try:
        for j, config in enumerate(silent):
            cohort.admit(j, config, 1000 + j, 1, None)
    except NotMixable as error:
        return Fusion(False, str(error), "nothing is lost but speed")
    for lane in cohort.lanes:
        lane.drops = dict.fromkeys(lane.drops, 0.0)
    for j, step in enumerate(_steps(cohort, kind, few)):
        plain = plain_step(blueprint, silent[j], kind, few, 1000 + j, step.chosen)
        if complaint := difference(step, plain, 0):
            return Fusion(False, complaint, "nothing is lost but speed")
    return Fusion(True)


@torch.no_grad()
def _steps(cohort: MixedCohort, kind: str, data: Part) -> list[Step]:
    """What one forward and backward pass left, lane by lane."""
    slots = tuple(range(cohort.bucket))
    piece = MixedPiece(cohort, slots, kind, data, 1)
    chosen, program = piece.order[:, : len(data)], piece.program
    x, y, weight = gather(data, chosen)
    out = program.outputs(x, 0).clone()
    program.backward(losses.gradient(kind, out, y, weight, None)[1])
    program.store(1)
    return [
        Step(
            out[k : k + 1],
            {name: g.unsqueeze(0) for name, g in program.slopes[k].items()},
            {name: b.unsqueeze(0) for name, b in body.buffers.items()},
            chosen[k : k + 1],
        )
        for k, body in enumerate(program.bodies)
    ]
