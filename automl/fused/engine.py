"""The fused engine: trials in, one report per round out. Nothing above it knows about cohorts.

engine = Engine(Problem(build, inputs, outputs, "classification", train, val), Options())
engine.admit([Entry(trial=0, config=..., seed=..., epochs=20), ...])
while engine.trials:
    report = engine.run_round()            # one epoch of every lane, one device-to-host copy
    engine.release(report.ended())         # and whatever the stopper ends
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from automl.errors import EnvironmentProblem, SpecError

from . import capacity as cap
from .cohort import Blueprint, Build, Cohort, Lane, LaneState, state_dict
from .growth import FEWEST, Growth
from .loop import Epoch, Part, evaluate
from .memory import train_within_memory
from .probe import Fusion, probe
from .signature import signature
from .stepper import Stepper, stepper

Fuse = Literal["auto", "never", "require"]


@dataclass(frozen=True)
class Problem:
    """What is trained: the factory `build(config, inputs, outputs)`, the kind of loss, and the data.

    `scale` `[outputs]`: the unit of a regression target, in which rmse and mae are told.
    """

    build: Build
    inputs: Any
    outputs: Any
    kind: str
    train: Part
    val: Part
    scale: Tensor | None = None


@dataclass(frozen=True)
class Options:
    """How: `fuse`, the most lanes (`max_parallel`: stale suggestions weaken model-based search), device, dtype.

    `ranks`: measure auroc after every epoch; otherwise, as all scores must be sorted for it, after a trial's last one
    (nan before). `fixed_bucket` always computes that many rows, so that results do not depend in the last bit on how
    many trials happen to run.
    """

    fuse: Fuse = "auto"
    max_parallel: int = 128
    device: str = "cpu"
    dtype: torch.dtype | None = None
    fixed_bucket: int | None = None
    ranks: bool = False


@dataclass(frozen=True)
class Entry:
    """A trial to admit. `epochs` is its whole horizon; `state` continues it from a snapshot."""

    trial: int
    config: Mapping[str, Any]
    seed: int
    epochs: int
    state: LaneState | None = None


@dataclass(frozen=True)
class Round:
    """One epoch of every lane: row i is about `trials[i]`.

    `epochs`: epochs done; `metrics`: name -> float64 `[K]` (train_loss, val_...); `status`: running, done or diverged;
    `messages`: a sentence for each diverged trial; `lanes`: rows that computed, `lane_steps`: updates of all trials.
    """

    trials: tuple[int, ...]
    epochs: tuple[int, ...]
    metrics: dict[str, npt.NDArray[np.float64]]
    status: tuple[str, ...]
    messages: dict[int, str]
    lanes: int = 0
    lane_steps: int = 0

    def ended(self) -> list[int]:
        """Trials that are done or diverged."""
        return [t for t, s in zip(self.trials, self.status, strict=True) if s != "running"]


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
        self.cohorts: dict[str, list[Cohort]] = {}
        self.steppers: dict[int, Stepper] = {}
        self.fusions: dict[str, Fusion] = {}
        self.growths: dict[str, Growth] = {}
        self.scale = None if p.scale is None else p.scale.to(device)

    def signature(self, config: Mapping[str, Any]) -> str:
        """Equal for configs whose trials may share a cohort; computed without torch."""
        return signature(config)

    def fusion(self, config: Mapping[str, Any]) -> Fusion:
        """Whether trials like `config` can be fused, and why not; probed once per signature."""
        key = signature(config)
        if key not in self.fusions:
            self.fusions[key] = probe(self.blueprint, config, self.problem.kind, self.train)
        return self.fusions[key]

    def alone(self, config: Mapping[str, Any], lanes: int) -> str | None:
        """Why `lanes` trials like `config` had better run one after the other; None: they are faster together.

        An empty text: there are too few of them. What is measured for this is measured once per signature.

        Raises EnvironmentProblem under `fuse: require` for a model that cannot be fused.
        """
        if self.options.fuse == "never":
            return ""
        required = self.options.fuse == "require"
        if lanes < FEWEST and not required:
            return ""
        fusion = self.fusion(config)
        if not fusion.ok:
            if required:
                raise EnvironmentProblem(f"fuse: require, but {fusion.sentence()}")
            return fusion.sentence()
        growth = self.growth(config)
        if required or growth.pays(lanes):
            return None
        if growth.hopeless:
            return f"trials run one at a time: together they would be no faster on {self.options.device} (measured)"
        return ""

    def growth(self, config: Mapping[str, Any]) -> Growth:
        """What is known of how fast lanes like `config` are together."""
        key = signature(config)
        if key not in self.growths:
            most, p = self.options.max_parallel, self.problem
            required = self.options.fuse == "require"
            measured = Growth(most) if required else Growth.measured(self.blueprint, config, p.kind, self.train, most)
            self.growths[key] = measured
        return self.growths[key]

    def room(self, config: Mapping[str, Any]) -> int:
        """How many lanes like `config` to hold just now, those that are running included."""
        if self.options.fuse == "require":
            return self.options.max_parallel
        return self.growth(config).target

    @property
    def trials(self) -> list[int]:
        """Trials that are in, in the order of their cohorts."""
        return [lane.trial for cohort in self._all() for lane in cohort.lanes]

    def _all(self) -> list[Cohort]:
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
            groups.setdefault(signature(entry.config), []).append(entry)
        for cohort in [c for c in self._all() if not c.lanes and signature(c.config) not in groups]:
            self._forget(cohort)
        for key, group in groups.items():
            running = self._fused(key)
            if together is None:
                lanes = len(group) + (len(running.lanes) if running else 0)
                fused = running is not None or self.alone(group[0].config, lanes) is None
            else:
                fused = together
            if fused:
                self._join(running or self._new_cohort(key, group[0]), group)
            else:
                for entry in group:
                    self._place(self._new_cohort(key, entry), [entry], 1)

    def _fused(self, key: str) -> Cohort | None:
        """The signature's cohort of several lanes, where there is one."""
        return next((cohort for cohort in self.cohorts.get(key, []) if cohort.bucket > 1), None)

    def fused(self, config: Mapping[str, Any]) -> bool:
        """Whether lanes like `config` run together just now."""
        cohort = self._fused(signature(config))
        return cohort is not None and bool(cohort.lanes)

    def beside(self, trial: int) -> int:
        """How many trials train in one with `trial`, itself included."""
        return len(self._home(trial).lanes)

    def slot(self, trial: int) -> int:
        """The row of its cohort that `trial` has."""
        return self._home(trial).find(trial)

    def _join(self, cohort: Cohort, group: list[Entry]) -> None:
        room = self.options.max_parallel - len(cohort.lanes)
        if len(group) > room:
            raise ValueError(f"{len(group)} trials do not fit into the {room} free lanes of their cohort")
        bucket = self.options.fixed_bucket or max(2, cohort.bucket, _power(len(cohort.lanes) + len(group)))
        self._place(cohort, group, bucket)

    def part(self) -> None:
        """Let the last lanes of cohorts that became too small to pay go on one by one."""
        for key, group in list(self.cohorts.items()):
            cohort, growth = self._fused(key), self.growths.get(key)
            if self.options.fuse != "auto" or cohort is None or growth is None:
                continue
            lanes = [lane for lane in cohort.lanes if lane.fate == "running"]
            if len(lanes) < len(cohort.lanes) or growth.pays(len(lanes)):
                continue
            states = self.snapshot([lane.trial for lane in lanes])
            group.remove(cohort)
            self.steppers.pop(id(cohort), None)
            alone = [Entry(x.trial, x.config, x.seed, x.epochs, states[x.trial]) for x in lanes]
            self.admit(alone, together=False)

    def _new_cohort(self, key: str, entry: Entry) -> Cohort:
        cohort = Cohort(self.blueprint, dict(entry.config), ema=bool(entry.config.get("ema")))
        self.cohorts.setdefault(key, []).append(cohort)
        return cohort

    def _place(self, cohort: Cohort, entries: Sequence[Entry], bucket: int) -> None:
        try:
            if bucket != cohort.bucket:
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
        return _merged(rounds)

    def _run(self, cohort: Cohort) -> Round:
        device = cohort.blueprint.device
        begun = cap.clock(device)
        self._shrink(cohort)
        epoch = train_within_memory(cohort, lambda: self._stepper(cohort),
                                    lambda held: Epoch(cohort, held, self.problem.kind, self.train))  # fmt: skip
        values = evaluate(cohort, self._stepper(cohort), self.problem.kind, self.val, self.scale, self._ranked(cohort))
        found = self._report(cohort, epoch, values)
        if cohort.bucket > 1 and (growth := self.growths.get(signature(cohort.config))):
            growth.saw(cohort.bucket, len(found.trials), cap.clock(device) - begun, epoch.steps)
        return found

    def _ranked(self, cohort: Cohort) -> Tensor | None:
        """The slots whose auroc is wanted after this epoch; None where there are none."""
        last = [k for k, x in enumerate(cohort.slots) if x and (self.options.ranks or x.epoch + 1 >= x.epochs)]
        return torch.tensor(last, device=cohort.blueprint.device) if last else None

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

    def _report(self, cohort: Cohort, epoch: Epoch, values: Mapping[str, Tensor]) -> Round:
        bad = (~torch.isfinite(epoch.log)).to(torch.float64)
        first_bad = torch.where(bad.any(0), bad.argmax(0), -1)
        stacked = torch.stack([first_bad.double(), epoch.log.double().mean(0), *(v.double() for v in values.values())])
        table = stacked.cpu().numpy()  # the round's one copy from the device
        live = epoch.live
        metrics = {n: table[i, live] for i, n in enumerate(["train_loss", *(f"val_{n}" for n in values)], 1)}
        status, messages = [], {}
        for j in live:
            lane = cohort.slots[j]
            assert lane is not None
            lane.epoch += 1
            lane.fate, message = _fate(lane, j, table[:, j], epoch.steps)
            if message:
                messages[lane.trial] = message
            status.append(lane.fate)
        found = [lane for j in live if (lane := cohort.slots[j]) is not None]
        return Round(tuple(x.trial for x in found), tuple(x.epoch for x in found), metrics, tuple(status), messages,
                     cohort.bucket, epoch.steps * len(found))  # fmt: skip

    def release(self, trials: Iterable[int]) -> None:
        """Free the slots of `trials` (stopped, done, paused after a snapshot, diverged)."""
        for trial in list(trials):
            cohort = self._home(trial)
            cohort.release(trial)
            if not cohort.lanes and cohort.bucket == 1:
                self._forget(cohort)

    def _forget(self, cohort: Cohort) -> None:
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

    def _home(self, trial: int) -> Cohort:
        for cohort in self._all():
            if any(lane.trial == trial for lane in cohort.lanes):
                return cohort
        raise KeyError(f"trial {trial} is not running here")


def _power(n: int) -> int:
    """The least power of two that is at least `n`."""
    return 1 << max(0, n - 1).bit_length()


def _fate(lane: Lane, slot: int, row: npt.NDArray[np.float64], steps: int) -> tuple[str, str]:
    """(status, message) of a lane after its epoch; `row` is first bad step, train loss, val loss, ..."""
    if row[0] >= 0:
        at = lane.step - steps + int(row[0]) + 1
        return "diverged", f"trial {lane.trial} (lane {slot}): the training loss is not finite at step {at}"
    if not np.isfinite(row[2]):
        return (
            "diverged",
            f"trial {lane.trial} (lane {slot}): the validation loss is not finite after epoch {lane.epoch}",
        )
    return ("done" if lane.epoch >= lane.epochs else "running"), ""


def _merged(rounds: Sequence[Round]) -> Round:
    if not rounds:
        return Round((), (), {}, (), {})
    names = rounds[0].metrics
    return Round(
        tuple(t for r in rounds for t in r.trials),
        tuple(e for r in rounds for e in r.epochs),
        {n: np.concatenate([r.metrics[n] for r in rounds]) for n in names},
        tuple(s for r in rounds for s in r.status),
        {t: m for r in rounds for t, m in r.messages.items()},
        sum(r.lanes for r in rounds),
        sum(r.lane_steps for r in rounds),
    )


__all__ = ["Engine", "Entry", "LaneState", "Options", "Part", "Problem", "Round", "SpecError", "state_dict"]
