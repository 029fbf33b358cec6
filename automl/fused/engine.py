"""The fused engine: trials in, one report per epoch out. What uses it does not know of cohorts.

Example:
    engine = Engine(Problem(build, inputs, outputs, "classification", train, val), Options())
    engine.admit([Entry(trial=0, config=..., seed=..., epochs=20), ...])
    while engine.trials:
        report = engine.run_epoch()            # one epoch of every lane, one copy from the device to the host
        engine.release(report.ended())         # and whatever else shall stop
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from automl.errors import NoRoom, out_of_memory, text_of
from automl.fused.lane import LaneState
from automl.fused.lane_group import GroupRunner
from automl.fused.mixed.cohort import MixedCohort, NotMixable
from automl.fused.mixed.runner import MixedRunner
from automl.fused.modules.blueprint import Blueprint
from automl.fused.problem import Entry, Options, Problem
from automl.fused.report import EpochReport, merged
from automl.fused.sizing.policy import FusionPolicy
from automl.fused.uniform.cohort import UniformCohort
from automl.fused.uniform.runner import UniformRunner
from automl.training import gpu


@dataclass
class Engine:
    """Groups of lanes on one device, by signature. Not thread-safe; one engine per worker process.

    Raises:
        EnvironmentProblem: the data do not fit into the memory of the GPU.
    """

    problem: Problem
    options: Options = field(default_factory=Options)

    def __post_init__(self) -> None:
        device = torch.device(self.options.device)
        gpu.require_room(device, self.problem.train, self.problem.val)
        self.problem = self.problem.to(device)
        p = self.problem
        o = self.options
        self.blueprint = Blueprint(
            p.build, p.inputs, p.outputs, device, o.dtype, p.augment, torch.bfloat16 if o.bf16 else None, o.tf32,
            p.own_factory,
        )  # fmt: skip
        self.policy = FusionPolicy(p, self.options, self.blueprint)
        self.runners: dict[str, list[GroupRunner]] = {}

    # -- what trains together ------------------------------------------------------------------------------------------

    def signature(self, config: Mapping[str, Any]) -> str:
        """Equal for configs whose trials may train together, see `FusionPolicy.signature`."""
        return self.policy.signature(config)

    @property
    def joins_subgroups(self) -> bool:
        """Whether trials of one group but different subgroups (see `signature.group`) train together here."""
        return self.policy.joins_subgroups

    def reason_to_run_alone(self, configs: Sequence[Mapping[str, Any]], lanes: int | None = None) -> str | None:
        """Why trials like `configs` had better run one by one; None if together, "" if there are just too few of them.

        `lanes`: how many there will be; None: as many as `configs`. See `FusionPolicy.reason_to_run_alone`.
        """
        return self.policy.reason_to_run_alone(configs, len(configs) if lanes is None else lanes)

    def target_lanes(self, config: Mapping[str, Any]) -> int:
        """How many lanes like `config` there should be now, those that are running included."""
        return self.policy.target_lanes(config)

    def runs_together(self, config: Mapping[str, Any]) -> bool:
        """Whether lanes like `config` are running together now."""
        runner = self._shared(self.signature(config))
        return runner is not None and bool(runner.group.lanes)

    # -- trials that are in --------------------------------------------------------------------------------------------

    @property
    def trials(self) -> list[int]:
        """Trials that are in, group by group."""
        return [lane.trial for runner in self._all() for lane in runner.group.lanes]

    def num_lanes(self, trial: int) -> int:
        """How many trials train in the group of `trial`, itself included. Raises KeyError where it is not in."""
        return len(self._home(trial).group.lanes)

    def slot(self, trial: int) -> int:
        """The slot of its group that `trial` has. Raises KeyError where it is not in."""
        return self._home(trial).group.find(trial)

    def snapshot(self, trials: Iterable[int]) -> dict[int, LaneState]:
        """Copies on the CPU from which `admit` continues, here or in another process, together or alone."""
        return {trial: self._home(trial).group.snapshot(trial) for trial in trials}

    def weights(self, trial: int) -> dict[str, Tensor]:
        """The `state_dict` of a plain `build(config, inputs, outputs)` module with this trial's present weights."""
        return self.weights_of([trial])[trial]

    def weights_of(self, trials: Iterable[int]) -> dict[int, dict[str, Tensor]]:
        """The weights of many trials at once, which takes few copies from a GPU."""
        wanted = set(trials)
        found: dict[int, dict[str, Tensor]] = {}
        for runner in self._all():
            own = [lane.trial for lane in runner.group.lanes if lane.trial in wanted]
            found |= runner.group.weights(own) if own else {}
        if missing := wanted - found.keys():
            raise KeyError(f"trial {min(missing)} is not running here")
        return found

    # -- in and out ----------------------------------------------------------------------------------------------------

    def admit(self, entries: Sequence[Entry], together: bool | None = None) -> None:
        """Put trials into slots, free ones first; they train from the next epoch on.

        Args:
            entries: the trials.
            together: one group for each signature (True), each trial alone (False), or as `reason_to_run_alone` says.

        Raises:
            SpecError: a hyperparameter of training is out of range.
            ValueError: a trial is in already, its model does not fit in with the running ones, or there are too many.
            NoRoom: memory ran out; trials that were in before are as they were.
        """
        by_signature: dict[str, list[Entry]] = {}
        for entry in entries:
            if entry.trial in self.trials:
                raise ValueError(f"trial {entry.trial} is already running here")
            by_signature.setdefault(self.signature(entry.config), []).append(entry)
        for runner in list(self._all()):
            if not runner.group.lanes and self.signature(runner.group.config) not in by_signature:
                self._forget(runner)
        for key, group in by_signature.items():
            if self._together(key, group) if together is None else together:
                with self._noting_memory(key):
                    self._join(key, group)
            else:
                for entry in group:
                    with self._noting_memory(None):
                        self._admit_alone(key, entry)

    @contextmanager
    def _noting_memory(self, key: str | None) -> Iterator[None]:
        """Where memory runs out, the group called `key` gets no more lanes than it has; None: of a trial alone."""
        try:
            yield
        except Exception as error:
            if not out_of_memory(error):
                raise
            if key is not None:
                running = self._shared(key)
                self.policy.no_room(key, len(running.group.lanes) if running else 0)
            raise NoRoom(text_of(error)) from error

    def _together(self, key: str, entries: Sequence[Entry]) -> bool:
        running = self._shared(key)
        if running is not None:
            return True
        return self.reason_to_run_alone([entry.config for entry in entries]) is None

    def _join(self, key: str, entries: Sequence[Entry]) -> None:
        runner = self._shared(key) or self._new_runner(key, entries[0], shared=True)
        lanes = len(runner.group.lanes)
        if lanes + len(entries) > self.options.max_parallel:
            free = self.options.max_parallel - lanes
            raise ValueError(f"{len(entries)} trials do not fit into the {free} free lanes of their group")
        self._place(runner, entries)

    def _admit_alone(self, key: str, entry: Entry) -> None:
        """One trial in a group of its own: mixed, as its companions would be, where its model allows it."""
        if self.policy.mixes:
            try:
                self._place(self._new_runner(key, entry, shared=False), [entry])
            except NotMixable:
                pass
            else:
                return
        self._place(self._new_uniform(key, entry, shared=False), [entry])

    def _new_runner(self, key: str, entry: Entry, *, shared: bool) -> GroupRunner:
        if not self.policy.mixes:
            return self._new_uniform(key, entry, shared=shared)
        runner = MixedRunner(MixedCohort(self.blueprint, dict(entry.config)), self.problem, shared)
        self.runners.setdefault(key, []).append(runner)
        return runner

    def _new_uniform(self, key: str, entry: Entry, *, shared: bool) -> GroupRunner:
        cohort = UniformCohort(self.blueprint, dict(entry.config), ema=bool(entry.config.get("ema")))
        runner = UniformRunner(cohort, self.problem, shared, self.options.fixed_bucket)
        self.runners.setdefault(key, []).append(runner)
        return runner

    def _place(self, runner: GroupRunner, entries: Sequence[Entry]) -> None:
        group, before = runner.group, {lane.trial for lane in runner.group.lanes}
        try:
            runner.reserve(len(group.lanes) + len(entries))
            for e in entries:
                slot = group.admit(e.trial, e.config, e.seed, e.epochs, e.state)
                if (lane := group.slots[slot]) is not None:
                    lane.fold = e.fold
        except BaseException:
            for lane in group.lanes:
                if lane.trial not in before:
                    group.release(lane.trial)
            if not group.lanes:
                self._forget(runner)
            raise

    def release(self, trials: Iterable[int]) -> None:
        """Free the slots of `trials` (stopped, done, diverged, or paused after a snapshot)."""
        for trial in list(trials):
            runner = self._home(trial)
            runner.group.release(trial)
            if not runner.group.lanes and not runner.shared:
                self._forget(runner)

    def free(self) -> None:
        """Let go of groups without lanes, and give cached memory of the GPU back."""
        for runner in list(self._all()):
            if not runner.group.lanes:
                self._forget(runner)
        gpu.free()

    def split_small_groups(self) -> None:
        """Let the last lanes of groups that have become too small to pay go on one by one."""
        for key in list(self.runners):
            runner = self._shared(key)
            if runner is None or not runner.splits_when_small:
                continue
            lanes = [lane for lane in runner.group.lanes if lane.status == "running"]
            if len(lanes) < len(runner.group.lanes) or self.policy.pays(key, len(lanes)):
                continue
            states = self.snapshot([lane.trial for lane in lanes])
            self._forget(runner)
            alone = [Entry(x.trial, x.config, x.seed, x.epochs, states[x.trial], x.fold) for x in lanes]
            self.admit(alone, together=False)

    # -- training ------------------------------------------------------------------------------------------------------

    def run_epoch(self) -> EpochReport:
        """Train every running lane for one epoch and evaluate it. Lanes that have ended just wait for their release."""
        reports = []
        for runner in list(self._all()):
            group = runner.group
            if not any(lane.status == "running" for lane in group.lanes):
                continue
            report, cost = runner.run_epoch(auroc_every_epoch=self.options.auroc_every_epoch)
            if runner.shared:
                self.policy.record(self.signature(group.config), cost)
            reports.append(report)
        return merged(reports)

    # -- groups --------------------------------------------------------------------------------------------------------

    def _all(self) -> Iterator[GroupRunner]:
        return (runner for runners in self.runners.values() for runner in runners)

    def _shared(self, key: str) -> GroupRunner | None:
        """The signature's group of several lanes, where there is one."""
        return next((runner for runner in self.runners.get(key, []) if runner.shared), None)

    def _home(self, trial: int) -> GroupRunner:
        for runner in self._all():
            if any(lane.trial == trial for lane in runner.group.lanes):
                return runner
        raise KeyError(f"trial {trial} is not running here")

    def _forget(self, runner: GroupRunner) -> None:
        for runners in self.runners.values():
            runners[:] = [other for other in runners if other is not runner]
