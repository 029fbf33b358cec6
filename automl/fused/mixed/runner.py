"""Trains a mixed cohort, an epoch of all its lanes at a time."""

from collections.abc import Sequence
from dataclasses import dataclass

from automl.fused.clock import clock
from automl.fused.lane_group import auroc_slots, power_of_two
from automl.fused.measuring import measured
from automl.fused.mixed.cohort import MixedCohort
from automl.fused.mixed.epoch import CACHE_BYTES, MixedEpoch, evaluate_mixed, held_out_mixed
from automl.fused.problem import Problem
from automl.fused.report import EpochCost, EpochReport, epoch_report

HEAVY = 25_000
"""Parameters whose arithmetic takes about as long as the calls of a step (measured: digits, batches of 32 to 128)."""


@dataclass
class MixedRunner:
    """See `GroupRunner`. `cache_bytes`: of the rows that train together."""

    group: MixedCohort
    problem: Problem
    shared: bool
    cache_bytes: int = CACHE_BYTES

    @property
    def splits_when_small(self) -> bool:
        """False: a lane costs the same in a small group as alone, so there is nothing to gain."""
        return False

    def reserve(self, lanes: int) -> None:
        """Nothing to do: each lane brings its own storage."""

    def run_epoch(self, *, auroc_every_epoch: bool) -> tuple[EpochReport, EpochCost]:
        """See `GroupRunner.run_epoch`."""
        cohort, problem = self.group, self.problem
        device = cohort.blueprint.device
        began = clock(device)
        epoch = MixedEpoch(cohort, problem.kind, problem.rows, self.cache_bytes)
        epoch.train()
        wanted = auroc_slots(cohort.slots, every_epoch=auroc_every_epoch)
        held, lanes = None, len(epoch.live)
        if (folds := problem.train.folds) is None:
            metrics = measured(cohort.slots, problem, lambda part: evaluate_mixed(
                cohort, epoch.live, problem.kind, part, problem.scale, wanted, self.cache_bytes))  # fmt: skip
        else:
            metrics, held = {}, held_out_mixed(cohort, epoch.live, problem.val, folds, self.cache_bytes)
        report = epoch_report(cohort.slots, epoch.live, epoch.steps, epoch.bad, epoch.loss, metrics, lanes, held)
        work = work_of([epoch.steps[k] for k in epoch.live], cohort.sizes(epoch.live))
        return report, EpochCost(power_of_two(lanes), lanes, clock(device) - began, work)


def work_of(steps: Sequence[int], sizes: Sequence[int]) -> float:
    """Updates of lanes with `sizes` parameters, roughly in updates of the smallest: to compare groups of any lanes."""
    return sum(s * (1.0 + p / HEAVY) for s, p in zip(steps, sizes, strict=True))
