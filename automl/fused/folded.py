"""Folds as lanes: a trial is as many lanes as there are folds, and is scored by what they say of rows they hold out.

All lanes of a trial have its config; each has its own initial weights, and rows of its own to train on. Seen from
outside a `FoldedEngine` is an `Engine` of trials: one report, one state and one set of weights for each.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from automl.core import seeds
from automl.data.folds import Folds
from automl.fused.engine import Engine
from automl.fused.lane import LaneState
from automl.fused.problem import Entry
from automl.fused.report import EpochReport
from automl.metrics.batched import Meter
from automl.models.combined import bagged


@dataclass
class FoldedEngine:
    """Trials on folds; `lanes`: the engine of their lanes, whose problem has folds. See `Engine` for the methods."""

    lanes: Engine

    @property
    def folds(self) -> Folds:
        """The folds of the training part."""
        folds = self.lanes.problem.train.folds
        assert folds is not None
        return folds

    def _lanes_of(self, trial: int) -> list[int]:
        """What the lanes of a trial are called in the engine of lanes."""
        return [trial * self.folds.count + fold for fold in range(self.folds.count)]

    # -- what trains together ------------------------------------------------------------------------------------------

    def signature(self, config: Mapping[str, Any]) -> str:
        """See `Engine.signature`."""
        return self.lanes.signature(config)

    @property
    def joins_subgroups(self) -> bool:
        """See `Engine.joins_subgroups`."""
        return self.lanes.joins_subgroups

    def reason_to_run_alone(self, configs: Sequence[Mapping[str, Any]], lanes: int | None = None) -> str | None:
        """Why the lanes of trials like `configs` had better run one by one; `lanes`: how many trials there will be."""
        return self.lanes.reason_to_run_alone(configs, (lanes or len(configs)) * self.folds.count)

    def target_lanes(self, config: Mapping[str, Any]) -> int:
        """How many trials like `config` there should be now; at least one."""
        return max(1, self.lanes.target_lanes(config) // self.folds.count)

    def runs_together(self, config: Mapping[str, Any]) -> bool:
        """See `Engine.runs_together`."""
        return self.lanes.runs_together(config)

    # -- trials that are in --------------------------------------------------------------------------------------------

    @property
    def trials(self) -> list[int]:
        """Trials that are in."""
        return list(dict.fromkeys(lane // self.folds.count for lane in self.lanes.trials))

    def num_lanes(self, trial: int) -> int:
        """How many lanes train in the group of `trial`, of all trials and folds."""
        return self.lanes.num_lanes(self._lanes_of(trial)[0])

    def slot(self, trial: int) -> int:
        """The slot of the lane of the trial's first fold."""
        return self.lanes.slot(self._lanes_of(trial)[0])

    def snapshot(self, trials: Iterable[int]) -> dict[int, LaneState]:
        """The states of all lanes of a trial as one."""
        found = {}
        for trial in trials:
            names = self._lanes_of(trial)
            states = self.lanes.snapshot(names)
            own = [states[name] for name in names]
            rows, buffers = bagged.joined([one.rows for one in own]), bagged.joined([one.buffers for one in own])
            found[trial] = LaneState(own[0].epoch, own[0].step, rows, buffers)
        return found

    def weights(self, trial: int) -> dict[str, Tensor]:
        """The weights of a `Bagged` with a member for each fold."""
        return self.weights_of([trial])[trial]

    def weights_of(self, trials: Iterable[int]) -> dict[int, dict[str, Tensor]]:
        """The weights of many trials at once."""
        wanted = list(trials)
        found = self.lanes.weights_of(lane for trial in wanted for lane in self._lanes_of(trial))
        return {trial: bagged.joined([found[lane] for lane in self._lanes_of(trial)]) for trial in wanted}

    # -- in and out ----------------------------------------------------------------------------------------------------

    def admit(self, entries: Sequence[Entry], together: bool | None = None) -> None:
        """Put the lanes of trials into slots, or none of a trial; see `Engine.admit`."""
        for entry in entries:
            try:
                self.lanes.admit(self._entries(entry), together)
            except BaseException:
                self.lanes.release(lane for lane in self._lanes_of(entry.trial) if lane in self.lanes.trials)
                raise

    def _entries(self, entry: Entry) -> list[Entry]:
        states: list[LaneState | None] = [None] * self.folds.count
        if (state := entry.state) is not None:
            rows, buffers = (bagged.separate(one, self.folds.count) for one in (state.rows, state.buffers))
            states = [replace(state, rows=a, buffers=b) for a, b in zip(rows, buffers, strict=True)]
        return [
            Entry(lane, entry.config, seeds.derive(entry.seed, "fold", fold), entry.epochs, states[fold], fold)
            for fold, lane in enumerate(self._lanes_of(entry.trial))
        ]

    def release(self, trials: Iterable[int]) -> None:
        """Free the slots of all lanes of `trials`."""
        self.lanes.release([lane for trial in trials for lane in self._lanes_of(trial)])

    def free(self) -> None:
        """See `Engine.free`."""
        self.lanes.free()

    def split_small_groups(self) -> None:
        """See `Engine.split_small_groups`."""
        self.lanes.split_small_groups()

    # -- training ------------------------------------------------------------------------------------------------------

    def run_epoch(self) -> EpochReport:
        """One epoch of all lanes; a report of each trial, on all rows that are held out once."""
        report, count = self.lanes.run_epoch(), self.folds.count
        at = {lane: k for k, lane in enumerate(report.trials)}
        trials = list(dict.fromkeys(lane // count for lane in report.trials))
        lanes = {trial: [lane for lane in self._lanes_of(trial) if lane in at] for trial in trials}
        status, messages = [], {}
        for trial in trials:
            states = {report.status[at[lane]] for lane in lanes[trial]}
            status.append("diverged" if "diverged" in states else report.status[at[lanes[trial][0]]])
            if (bad := next((lane for lane in lanes[trial] if lane in report.messages), None)) is not None:
                what = report.messages[bad].partition(": ")[2] or report.messages[bad]
                messages[trial] = f"trial {trial} (fold {bad % count + 1} of {count}): {what}"
        loss = report.metrics["train_loss"] if trials else np.zeros(0)
        metrics = {"train_loss": np.array([np.mean([loss[at[lane]] for lane in lanes[t]]) for t in trials])}
        scored = [self._scored(trial, report, done=one == "done") for trial, one in zip(trials, status, strict=True)]
        if scored:
            table = torch.stack([torch.stack(list(one.values())) for one in scored]).cpu().numpy()
            metrics |= {f"val_{name}": table[:, k] for k, name in enumerate(scored[0])}
        epochs = tuple(report.epochs[at[lanes[trial][0]]] for trial in trials)
        return EpochReport(tuple(trials), epochs, metrics, tuple(status), messages, report.lanes, report.lane_steps)

    def _scored(self, trial: int, report: EpochReport, *, done: bool) -> dict[str, Tensor]:
        """The metrics of a trial's out-of-fold outputs, a number each."""
        problem = self.lanes.problem
        outputs = self.folds.joined([report.held[lane] for lane in self._lanes_of(trial)])
        device = outputs.device
        ranks = torch.zeros(1, dtype=torch.int64, device=device)
        ranked = done or self.lanes.options.auroc_every_epoch
        meter = Meter(problem.kind, 1, device, problem.scale, ranks if ranked else None)
        meter.add(outputs.unsqueeze(0), problem.val.y, problem.val.weight)
        return {name: values[0].double() for name, values in meter.result().items()}
