"""The fused engine: trials in, one report per round out. Nothing above it knows about cohorts.

engine = Engine(Problem(build, inputs, outputs, "classification", train, val), Options())
engine.admit([Entry(trial=0, config=..., seed=..., epochs=20), ...])
while engine.trials:
    report = engine.run_round()            # one epoch of every lane, one device-to-host copy
    engine.release(report.ended())         # and whatever the stopper ends
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from automl.fused.lane import LaneState
from automl.fused.mixed.cohort import MixedCohort, NotMixable
from automl.fused.mixed.epoch import MixedEpoch, evaluate_mixed
from automl.fused.modules.blueprint import Blueprint
from automl.fused.problem import Entry, Options, Problem
from automl.fused.report import Round, merged, summary, told
from automl.fused.sizing import timing as cap
from automl.fused.sizing.policy import Configs, Judge
from automl.fused.uniform.cohort import Cohort
from automl.fused.uniform.epoch import Epoch, evaluate
from automl.fused.uniform.memory import train_within_memory
from automl.fused.uniform.stepper import Stepper, stepper

AnyCohort = Cohort | MixedCohort


@dataclass
class Engine:
    """Cohorts by signature on one device. Not thread-safe; one engine per worker process."""

    problem: Problem
    options: Options = field(default_factory=Options)

    def __post_init__(self) -> None:
        p, o = self.problem, self.options
        device = torch.device(o.device)
        self.blueprint = Blueprint(p.build, p.inputs, p.outputs, device, o.dtype)
        self.train, self.val = p.train.to(device), p.val.to(device)
        self.judge = Judge(p, o, self.blueprint, self.train)
        self.cohorts: dict[str, list[AnyCohort]] = {}
        self.steppers: dict[int, Stepper] = {}
        self.scale = None if p.scale is None else p.scale.to(device)

    def signature(self, config: Mapping[str, Any]) -> str:
        """Equal for configs whose trials may share a cohort; computed without torch."""
        return self.judge.signature(config)

    @property
    def mixing(self) -> bool:
        """Whether models of different shapes train side by side here."""
        return bool(self.judge.mixes)

    def alone(self, configs: Configs, lanes: int | None = None) -> str | None:
        """Why trials like `configs` had better run one after the other, see `Judge.alone`; `lanes`: how many."""
        return self.judge.alone(configs, len(configs) if lanes is None else lanes)

    def room(self, config: Mapping[str, Any]) -> int:
        """How many lanes like `config` to hold just now, those that are running included."""
        return self.judge.room(config)

    @property
    def trials(self) -> list[int]:
        """Trials that are in, in the order of their cohorts."""
        return [lane.trial for cohort in self._all() for lane in cohort.lanes]

    def _all(self) -> list[AnyCohort]:
        return [cohort for group in self.cohorts.values() for cohort in group]

    def admit(self, entries: Sequence[Entry], together: bool | None = None) -> None:
        """Put trials into slots, freed ones first; takes effect at the next round.

        `together`: in one cohort for each signature, or each alone; None: whatever `alone` says.

        Raises SpecError for a training value out of range and ValueError for a trial that is already in.
        """
        groups: dict[str, list[Entry]] = {}
        for entry in entries:
            if entry.trial in self.trials:
                raise ValueError(f"trial {entry.trial} is already running here")
            groups.setdefault(self.signature(entry.config), []).append(entry)
        for cohort in [c for c in self._all() if not c.lanes and self.signature(c.config) not in groups]:
            self._forget(cohort)
        for key, group in groups.items():
            running = self._fused(key)
            if together is None:
                lanes = len(group) + (len(running.lanes) if running else 0)
                fused = running is not None or self.alone([entry.config for entry in group], lanes) is None
            else:
                fused = together
            if fused:
                self._join(running or self._new_cohort(key, group[0], shared=True), group)
            else:
                for entry in group:
                    self._alone(key, entry)

    def _fused(self, key: str) -> AnyCohort | None:
        """The signature's cohort of several lanes, where there is one."""
        return next((cohort for cohort in self.cohorts.get(key, []) if cohort.shared), None)

    def fused(self, config: Mapping[str, Any]) -> bool:
        """Whether lanes like `config` run together just now."""
        cohort = self._fused(self.signature(config))
        return cohort is not None and bool(cohort.lanes)

    def beside(self, trial: int) -> int:
        """How many trials train in one with `trial`, itself included."""
        return len(self._home(trial).lanes)

    def slot(self, trial: int) -> int:
        """The row of its cohort that `trial` has."""
        return self._home(trial).find(trial)

    def _join(self, cohort: AnyCohort, group: list[Entry]) -> None:
        room = self.options.max_parallel - len(cohort.lanes)
        if len(group) > room:
            raise ValueError(f"{len(group)} trials do not fit into the {room} free lanes of their cohort")
        bucket = self.options.fixed_bucket or max(2, cohort.bucket, _power(len(cohort.lanes) + len(group)))
        self._place(cohort, group, bucket)

    def _alone(self, key: str, entry: Entry) -> None:
        """Place one trial in a cohort of its own: mixed, as its companions would be, where the model allows it."""
        if self.mixing:
            try:
                self._place(self._new_cohort(key, entry, shared=False), [entry], 1)
            except NotMixable:
                pass
            else:
                return
        self._place(self._plain_cohort(key, entry), [entry], 1)

    def part(self) -> None:
        """Let the last lanes of cohorts that became too small to pay go on one by one."""
        for key, group in list(self.cohorts.items()):
            cohort, growth = self._fused(key), self.judge.growths.get(key)
            if self.options.fuse != "auto" or growth is None or not isinstance(cohort, Cohort):
                continue  # in a mixed cohort even a single lane costs what it would cost alone
            lanes = [lane for lane in cohort.lanes if lane.fate == "running"]
            if len(lanes) < len(cohort.lanes) or growth.pays(len(lanes)):
                continue
            states = self.snapshot([lane.trial for lane in lanes])
            group.remove(cohort)
            self.steppers.pop(id(cohort), None)
            alone = [Entry(x.trial, x.config, x.seed, x.epochs, states[x.trial]) for x in lanes]
            self.admit(alone, together=False)

    def _new_cohort(self, key: str, entry: Entry, *, shared: bool) -> AnyCohort:
        if not self.mixing:
            return self._plain_cohort(key, entry)
        cohort = MixedCohort(self.blueprint, dict(entry.config), shared)
        self.cohorts.setdefault(key, []).append(cohort)
        return cohort

    def _plain_cohort(self, key: str, entry: Entry) -> Cohort:
        cohort = Cohort(self.blueprint, dict(entry.config), ema=bool(entry.config.get("ema")))
        self.cohorts.setdefault(key, []).append(cohort)
        return cohort

    def _place(self, cohort: AnyCohort, entries: Sequence[Entry], bucket: int) -> None:
        try:
            if isinstance(cohort, Cohort) and bucket != cohort.bucket:
                cohort.resize(bucket)
            for e in entries:
                cohort.admit(e.trial, e.config, e.seed, e.epochs, e.state)
        except BaseException:
            if not cohort.lanes:
                self._forget(cohort)
            raise

    def run_round(self) -> Round:
        """Train every lane for one epoch and evaluate it. Lanes that ended before just wait."""
        rounds = [self._run(cohort) for cohort in self._all() if any(lane.fate == "running" for lane in cohort.lanes)]
        return merged(rounds)

    def _run(self, cohort: AnyCohort) -> Round:
        return self._run_mixed(cohort) if isinstance(cohort, MixedCohort) else self._run_alike(cohort)

    def _run_alike(self, cohort: Cohort) -> Round:
        """The round of lanes of one shape."""
        begun = cap.clock(self.blueprint.device)
        self._shrink(cohort)
        epoch = train_within_memory(cohort, lambda: self._stepper(cohort),
                                    lambda held: Epoch(cohort, held, self.problem.kind, self.train))  # fmt: skip
        values = evaluate(cohort, self._stepper(cohort), self.problem.kind, self.val, self.scale, self._ranked(cohort))
        steps = [epoch.steps] * cohort.bucket
        found = told(cohort.slots, epoch.live, steps, *summary(epoch.log), values, cohort.bucket)
        if cohort.shared:
            seconds = cap.clock(self.blueprint.device) - begun
            self.judge.saw(self.signature(cohort.config), cohort.bucket, len(epoch.live), seconds, found.lane_steps)
        return found

    def _run_mixed(self, cohort: MixedCohort) -> Round:
        """The round of lanes of different shapes."""
        begun = cap.clock(self.blueprint.device)
        epoch = MixedEpoch(cohort, self.problem.kind, self.train)
        epoch.train()
        values = evaluate_mixed(cohort, epoch.live, self.problem.kind, self.val, self.scale, self._ranked(cohort))
        found = told(cohort.slots, epoch.live, epoch.steps, epoch.bad, epoch.loss, values, len(epoch.live))
        key, growth = self.signature(cohort.config), self.judge.growths.get(self.signature(cohort.config))
        if cohort.shared and growth is not None:
            seconds, lanes = cap.clock(self.blueprint.device) - begun, len(epoch.live)
            work = growth.work([epoch.steps[k] for k in epoch.live], cohort.sizes(epoch.live))
            self.judge.saw(key, _power(lanes), lanes, seconds, work)
        return found

    def _ranked(self, cohort: AnyCohort) -> Tensor | None:
        """The slots whose auroc is wanted after this epoch; None where there are none."""
        last = [k for k, x in enumerate(cohort.slots) if x and (self.options.ranks or x.epoch + 1 >= x.epochs)]
        return torch.tensor(last, device=self.blueprint.device) if last else None

    def _stepper(self, cohort: Cohort) -> Stepper:
        held = self.steppers.get(id(cohort))
        if held is None or held.version != cohort.version:
            held = self.steppers[id(cohort)] = stepper(cohort)
        return held

    def _shrink(self, cohort: Cohort) -> None:
        """Halve the bucket when half of its rows would compute for nobody."""
        wanted = max(2, _power(len(cohort.lanes)))
        if self.options.fixed_bucket is None and cohort.bucket > 2 and wanted <= cohort.bucket // 2:
            cohort.resize(wanted)

    def release(self, trials: Iterable[int]) -> None:
        """Free the slots of `trials` (stopped, done, paused after a snapshot, diverged)."""
        for trial in list(trials):
            cohort = self._home(trial)
            cohort.release(trial)
            if not cohort.lanes and not cohort.shared:
                self._forget(cohort)

    def _forget(self, cohort: AnyCohort) -> None:
        for group in self.cohorts.values():
            if cohort in group:
                group.remove(cohort)
        self.steppers.pop(id(cohort), None)

    def snapshot(self, trials: Iterable[int]) -> dict[int, LaneState]:
        """Copies on the CPU from which `admit` continues, here or in another process, fused or alone."""
        return {trial: self._home(trial).snapshot(trial) for trial in trials}

    def weights(self, trial: int) -> dict[str, Tensor]:
        """The `state_dict` of a plain `build(config, inputs, outputs)` module with this trial's present weights."""
        return self._home(trial).weights(trial)

    def _home(self, trial: int) -> AnyCohort:
        for cohort in self._all():
            if any(lane.trial == trial for lane in cohort.lanes):
                return cohort
        raise KeyError(f"trial {trial} is not running here")


def _power(n: int) -> int:
    """The least power of two that is at least `n`."""
    return 1 << max(0, n - 1).bit_length()

