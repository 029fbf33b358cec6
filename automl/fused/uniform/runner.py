"""Trains a uniform cohort: keeps its stepper and recorded steps, its bucket and its memory in order."""

from dataclasses import dataclass, field

import torch

from automl.fused.clock import clock
from automl.fused.lane_group import auroc_slots, power_of_two
from automl.fused.measuring import measured
from automl.fused.problem import Problem
from automl.fused.report import EpochCost, EpochReport, epoch_report, loss_summary
from automl.fused.uniform.cohort import UniformCohort
from automl.fused.uniform.cohort_stepper import CohortStepper, MakeStepper, cohort_stepper
from automl.fused.uniform.cuda_graph import StepGraphs
from automl.fused.uniform.epoch import Epoch, evaluate, held_out, step_graphs
from automl.fused.uniform.memory import train_within_memory


@dataclass
class UniformRunner:
    """See `GroupRunner`. A cohort that is not `shared` has a bucket of one row.

    `problem`: with its data on the cohort's device. `fixed_bucket`: compute that many rows, whatever the number of
    lanes. `make_stepper`: how a cohort's stepper is made.
    """

    group: UniformCohort
    problem: Problem
    shared: bool
    fixed_bucket: int | None = None
    make_stepper: MakeStepper = cohort_stepper
    _stepper: CohortStepper | None = field(default=None, init=False, repr=False)
    _graphs: StepGraphs | None = field(default=None, init=False, repr=False)

    @property
    def splits_when_small(self) -> bool:
        """True: a bucket costs about the same however few of its rows hold a lane."""
        return True

    def reserve(self, lanes: int) -> None:
        """Make the bucket large enough for `lanes` lanes."""
        bucket = 1
        if self.shared:
            bucket = self.fixed_bucket or max(2, self.group.bucket, power_of_two(lanes))
        if bucket != self.group.bucket:
            self._stepper = self._graphs = None
            self.group.resize(bucket)

    def run_epoch(self, *, auroc_every_epoch: bool) -> tuple[EpochReport, EpochCost]:
        """See `GroupRunner.run_epoch`."""
        cohort, problem = self.group, self.problem
        device = cohort.blueprint.device
        began = clock(device)
        self._shrink()
        epoch = train_within_memory(cohort, self._new_epoch)
        wanted = auroc_slots(cohort.slots, every_epoch=auroc_every_epoch)
        ranks = torch.tensor(wanted, device=device) if wanted else None
        held = None
        if (folds := problem.train.folds) is None:
            metrics = measured(cohort.slots, problem, lambda part: evaluate(
                self.stepper(), problem.kind, part, problem.scale, ranks))  # fmt: skip
        else:
            metrics, held = {}, held_out(self.stepper(), problem.val, folds)
        steps = [epoch.steps] * cohort.bucket
        report = epoch_report(cohort.slots, epoch.live, steps, *loss_summary(epoch.log), metrics, cohort.bucket, held)
        return report, EpochCost(cohort.bucket, len(epoch.live), clock(device) - began, report.lane_steps)

    def stepper(self) -> CohortStepper:
        """The stepper of the present bucket, made again when the cohort's storage has changed."""
        if self._stepper is None or self._stepper.version != self.group.version:
            self._stepper = self._graphs = None  # lets go of their storage
            self._stepper, self._graphs = self.make_stepper(self.group), step_graphs(self.group)
        return self._stepper

    def _new_epoch(self) -> Epoch:
        stepper = self.stepper()
        return Epoch(stepper, self.problem.kind, self.problem.rows, graphs=self._graphs)

    def _shrink(self) -> None:
        """Halve the bucket when at least half of its rows are empty."""
        wanted = max(2, power_of_two(len(self.group.lanes)))
        if self.fixed_bucket is None and self.group.bucket > 2 and wanted <= self.group.bucket // 2:
            self.group.resize(wanted)
