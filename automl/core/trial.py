"""What is known of a study's trials: frozen records, and the History that strategies and stoppers read.

Inside a study **lower is better**: the direction of the metric is flipped once, where a report enters
(`Metric.loss`), and once back where a value is shown (`Metric.value`).
"""

import bisect
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Literal

import numpy as np

from automl import metrics
from automl.core import seeds
from automl.core.space import Config, Space
from automl.errors import SpecError


class State(StrEnum):
    """Where a trial stands. RUNNING: unfinished (also when its worker died and it waits for its next attempt)."""

    RUNNING = "running"
    PAUSED = "paused"
    DONE = "done"
    STOPPED = "stopped"
    FAILED = "failed"

    @property
    def ended(self) -> bool:
        return self in (State.DONE, State.STOPPED, State.FAILED)


@dataclass(frozen=True, slots=True)
class Metric:
    """The metric trials are ranked on. `count` says what counts as a trial's value: its last report or its best."""

    name: str
    direction: Literal["minimize", "maximize"] = "minimize"
    count: Literal["last", "best"] = "last"

    @classmethod
    def of(cls, described: "str | Mapping[str, str] | Metric", count: str = "last") -> "Metric":
        """The metric of that name; its direction from the name, where it is a usual one.

        Raises:
            SpecError: the direction of that name is not known, or is none.
        """
        if isinstance(described, Metric):
            return described
        entries = {"name": described} if isinstance(described, str) else dict(described)
        direction = entries.get("direction") or metrics.direction(entries["name"])
        if direction not in ("minimize", "maximize") or count not in ("last", "best"):
            raise SpecError(
                f"metric: direction is minimize or maximize, value is last or best; got {direction!r}, {count!r}"
            )
        return Metric(entries["name"], direction, count)  # type: ignore[arg-type]

    def loss(self, value: float) -> float:
        """`value` as shown to the user -> lower is better."""
        return -value if self.direction == "maximize" else value

    def value(self, loss: float) -> float:
        """Lower is better -> as shown to the user."""
        return -loss if self.direction == "maximize" else loss


@dataclass(frozen=True, slots=True)
class Plan:
    """What a study may spend, as far as it is known beforehand; None: no such limit."""

    trials: int | None = None  # trials to start
    steps: int | None = None  # steps (epochs) of all trials together
    time_s: float | None = None  # wall time
    horizon: int | None = None  # steps of a full trial
    workers: int = 1  # trials in flight at once


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a trial failed. `kind`: exception, nan, metric, oom, timeout, killed, lost."""

    kind: str
    message: str
    step: int = 0
    traceback: str = ""  # a file below the study's folder


Point = tuple[int, float]  # (step, loss), lower is better


@dataclass(frozen=True, slots=True)
class TrialRecord:
    """One trial, as far as it is known.

    `curve` holds (step, loss) by increasing step; `loss` is what the trial is ranked by (see `Metric.count`), None
    before the first report. `order` counts endings: 0 for the trial that ended first, -1 while it has not.
    """

    number: int
    config: Config
    state: State = State.RUNNING
    curve: tuple[Point, ...] = ()
    loss: float | None = None
    reason: str = ""
    failure: Failure | None = None
    order: int = -1
    attempt: int = 1
    resumed: int = 0  # how many of its attempts went on after a pause
    started_s: float = 0.0  # seconds of driven time since the study began
    ended_s: float | None = None
    origin: str = ""  # who suggested it: "default", "user", "" for the strategy

    @property
    def step(self) -> int:
        """The last step reported, 0 before the first."""
        return self.curve[-1][0] if self.curve else 0

    @property
    def retries(self) -> int:
        """How many of its attempts began because the one before was lost, with its worker or its driver."""
        return self.attempt - 1 - self.resumed

    def at(self, step: int) -> float | None:
        """The loss at exactly `step`, None when it was not reported."""
        return next((loss for s, loss in reversed(self.curve) if s == step), None)


class History:
    """All trials of a study, in the order of their numbers; what strategies and stoppers decide from.

    They only read. The writing methods (`begin`, `point`, `pause`, `end`) are called by the study, and by whoever
    needs a history to try a plugin on.
    """

    def __init__(self, space: Space, *, seed: int = 0, metric: Metric | None = None, plan: Plan | None = None) -> None:
        self.space = space
        self.seed = seed
        self.metric = metric or Metric("loss")
        self.plan = plan or Plan()
        self.trials: list[TrialRecord] = []
        self.version = 0  # grows with every change: a key under which a costly fit may be cached
        self.steps_spent = 0
        self._by_state: dict[State, dict[int, None]] = {state: {} for state in State}
        self._order = 0
        self._at: dict[int, dict[int, float]] = {}
        self._sorted: dict[int, list[float]] = {}
        self._best: int | None = None

    # -- reading ---------------------------------------------------------------------------------------------------

    def __len__(self) -> int:
        return len(self.trials)

    def of(self, *states: State) -> list[TrialRecord]:
        """Trials in these states; ended ones in the order they ended, others in the order they began."""
        return [self.trials[n] for state in states for n in self._by_state[state]]

    def count(self, state: State) -> int:
        return len(self._by_state[state])

    @property
    def done(self) -> list[TrialRecord]:
        """Trials that ran their full length, in the order they ended."""
        return self.of(State.DONE)

    @property
    def stopped(self) -> list[TrialRecord]:
        return self.of(State.STOPPED)

    @property
    def failed(self) -> list[TrialRecord]:
        return self.of(State.FAILED)

    @property
    def running(self) -> list[TrialRecord]:
        """Trials that are being trained or wait for another attempt; `curve` holds what they reported so far."""
        return self.of(State.RUNNING)

    @property
    def paused(self) -> list[TrialRecord]:
        return self.of(State.PAUSED)

    @property
    def next_number(self) -> int:
        """The number the next new trial will get."""
        return len(self.trials)

    @property
    def best(self) -> TrialRecord | None:
        """The best trial that ran its full length; the earliest of equals."""
        return None if self._best is None else self.trials[self._best]

    def rng(self, k: int = 0, purpose: str = "suggest") -> np.random.Generator:
        """Random numbers for the k-th next trial: a function of (study seed, that trial's number, purpose) alone."""
        return np.random.default_rng(seeds.derive(self.seed, self.next_number + k, purpose))

    def losses_at(self, step: int) -> Mapping[int, float]:
        """{trial: loss} of every trial, in whatever state, that reported at exactly `step`."""
        if step not in self._at:
            self._at[step] = {t.number: loss for t in self.trials for s, loss in t.curve if s == step}
        return self._at[step]

    def sorted_at(self, step: int) -> Sequence[float]:
        """The values of `losses_at(step)` in rising order."""
        if step not in self._sorted:
            self._sorted[step] = sorted(self.losses_at(step).values())
        return self._sorted[step]

    # -- writing ---------------------------------------------------------------------------------------------------

    def begin(self, config: Config, *, origin: str = "", at_s: float = 0.0) -> TrialRecord:
        """Add a running trial; it gets the next number."""
        record = TrialRecord(self.next_number, config, origin=origin, started_s=at_s)
        self.trials.append(record)
        return self._put(record)

    def again(self, trial: int, attempt: int) -> TrialRecord:
        """Another attempt of a paused or interrupted trial begins."""
        record = self.trials[trial]
        resumed = record.resumed + (record.state is State.PAUSED)
        return self._put(replace(record, state=State.RUNNING, attempt=attempt, resumed=resumed))

    def point(self, trial: int, step: int, loss: float) -> bool:
        """Add a report; steps must grow. A step that is already known is ignored: returns whether it was new."""
        record = self.trials[trial]
        if record.curve and step <= record.curve[-1][0]:
            return False
        ranked = loss if record.loss is None or self.metric.count == "last" else min(record.loss, loss)
        self._put(replace(record, curve=(*record.curve, (step, loss)), loss=ranked))
        self.steps_spent += step - record.step
        if step in self._at:
            self._at[step][trial] = loss
        if step in self._sorted:
            bisect.insort(self._sorted[step], loss)
        return True

    def restore(self, trial: int, curve: Iterable[Point], attempt: int) -> TrialRecord:
        """What the ledger knows of a trial that has just begun: its whole curve at once, and its last attempt."""
        points = tuple(curve)
        losses = [loss for _, loss in points]
        loss = None if not losses else losses[-1] if self.metric.count == "last" else min(losses)
        self.steps_spent += points[-1][0] if points else 0
        return self._put(replace(self.trials[trial], curve=points, loss=loss, attempt=attempt))

    def pause(self, trial: int, reason: str = "") -> TrialRecord:
        return self._put(replace(self.trials[trial], state=State.PAUSED, reason=reason))

    def end(
        self, trial: int, state: State, *, reason: str = "", failure: Failure | None = None, at_s: float | None = None
    ) -> TrialRecord:
        """The trial has ended, for good."""
        assert state.ended, f"{state} is not an ending"
        record = replace(
            self.trials[trial], state=state, reason=reason, failure=failure, order=self._order, ended_s=at_s
        )
        self._order += 1
        if state is State.DONE and (self._best is None or _rank(record) < _rank(self.trials[self._best])):
            self._best = trial
        return self._put(record)

    def _put(self, record: TrialRecord) -> TrialRecord:
        before = self.trials[record.number]
        if before.state is not record.state or before is record:
            self._by_state[before.state].pop(record.number, None)
            self._by_state[record.state][record.number] = None
        self.trials[record.number] = record
        self.version += 1
        return record


def _rank(record: TrialRecord) -> tuple[float, int]:
    """By value, and of equals the earliest."""
    return (math.inf if record.loss is None else record.loss, record.number)


@dataclass(frozen=True, slots=True)
class Counts:
    """How many trials stand where; what the screen and `--json` show."""

    done: int = 0
    stopped: int = 0
    failed: int = 0
    running: int = 0
    paused: int = 0

    @classmethod
    def of(cls, history: History) -> "Counts":
        return cls(**{state.value: history.count(state) for state in State})

    @property
    def ended(self) -> int:
        return self.done + self.stopped + self.failed


@dataclass(frozen=True, slots=True)
class Ranked:
    """A leaderboard place. `full`: the trial ran its full length (only such trials can win)."""

    place: int
    record: TrialRecord
    full: bool


def ranking(history: History) -> list[Ranked]:
    """All trials that have a value and did not fail, best value first.

    A stopped trial is ranked by what it reached (its step stands beside it); of equals, full ones come first, then
    the lower number. The winner is the first *full* one.
    """

    def key(t: TrialRecord) -> tuple[float, ...]:
        assert t.loss is not None
        return (t.loss, t.state is not State.DONE, t.number)

    ranked = sorted((t for t in history.trials if t.loss is not None and t.state is not State.FAILED), key=key)
    return [Ranked(place, t, t.state is State.DONE) for place, t in enumerate(ranked, 1)]
