"""What the screen shows at one moment (`Snapshot`, immutable) and what gathers it (`Tracker`).

The tracker is told of every trial that ended and keeps what would be dear to count again for each frame; a snapshot
then costs the same after 100,000 trials as after 100.
"""

import bisect
import heapq
import itertools
import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import numpy as np

from automl.core.history import Counts, History
from automl.core.messages import WorkerStatus
from automl.core.space import Space
from automl.core.trial import Metric, Plan, State, TrialRecord
from automl.leaderboard import board as leaderboard
from automl.leaderboard import words
from automl.leaderboard.board import Leaderboard, Row
from automl.leaderboard.importance import ENOUGH, order, shares
from automl.study.reader import Readable
from automl.view.screens.eta import Durations, eta

KEPT = 64  # ended trials kept for the table
LATELY = 12
NOISE = 1e-9  # a gain smaller than this, relative, is rounding


@dataclass(frozen=True, slots=True)
class Running:
    """A trial in work: where it is, and how it stands among all that got to the same step."""

    trial: int
    step: int
    value: float | None
    standing: str  # "3rd of 24 at 9"; empty before the first report
    curve: tuple[tuple[int, float], ...]


@dataclass(frozen=True, slots=True)
class Worker:
    worker: int
    device: str
    note: str
    trials: tuple[Running, ...]
    lanes: int  # trials it has in all (of a cohort only the best few are in `trials`)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One moment of a search; everything `render` needs."""

    name: str
    strategy: str
    stopper: str
    metric: Metric
    where: str
    elapsed_s: float
    plan: Plan
    counts: Counts
    steps: int
    board: Leaderboard
    best: Row | None = None  # the best trial that ran its full length
    best_age_s: float | None = None
    so_far: tuple[float, ...] = ()  # best value after each ended trial, thinned
    gain: tuple[float, int] | None = None  # the last improvement, and how many trials ago
    saved: float | None = None  # share of the epochs of ended trials that early stopping saved
    retried: int = 0
    eta: tuple[float, float] | None = None
    until: str = ""  # the middle of it on the clock, "14:33"
    workers: tuple[Worker, ...] = ()
    lately: tuple[Row, ...] = ()
    importance: tuple[tuple[str, float], ...] = ()
    hardware: tuple[str, ...] = ()
    note: str = ""

    @property
    def progress(self) -> tuple[str, float]:
        """How many trials there were (of how many), the limit that is nearest to its end, and how near."""
        ended, of = self.counts.ended, self.plan.trials
        trials = f"trials {ended:,}/{of:,}" if of else f"{words.plural(ended, 'trial')}"
        limits = [(trials, ended / of if of else 0.0)]
        if self.plan.steps:
            limits.append((f"epochs {self.steps:,}/{self.plan.steps:,}", self.steps / self.plan.steps))
        if self.plan.time_s:
            time = f"{words.duration(self.elapsed_s)}/{words.duration(self.plan.time_s)}"
            limits.append((f"time {time}", self.elapsed_s / self.plan.time_s))
        label, share = max(limits, key=lambda limit: limit[1])
        return trials if label == trials else f"{trials}  {label}", min(share, 1.0)


@dataclass
class Tracker:
    """Gathers snapshots of one running study. `add` every ended trial, once, in the order they ended."""

    space: Space
    metric: Metric
    horizon: int | None = None  # None: the longest done trial says it
    best: TrialRecord | None = None
    durations: Durations = field(default_factory=Durations)
    retried: int = 0
    _top: list[TrialRecord] = field(default_factory=list)
    _so_far: list[float] = field(default_factory=list)
    _gain: tuple[float, int] | None = None
    _lately: deque[TrialRecord] = field(default_factory=lambda: deque(maxlen=LATELY))
    _busy_s: float = 0.0
    _longest: int = 0
    _spent: int = 0
    _valued: int = 0
    _fresh: list[TrialRecord] = field(default_factory=list)  # valued trials that are not in `_units` yet
    _units: list[Any] = field(default_factory=list)
    _losses: list[float] = field(default_factory=list)
    _shares: dict[str, float] = field(default_factory=dict)
    _shares_at: int = 0

    @classmethod
    def of(cls, study: Readable) -> "Tracker":
        """A tracker that knows everything that ended before."""
        made = cls(study.space, study.metric, study.plan.horizon)
        for record in sorted((t for t in study.history.trials if t.state.ended), key=lambda t: t.order):
            made.add(record)
        return made

    def add(self, record: TrialRecord) -> bool:
        """A trial ended; returns whether it is the new best one (of those that ran their full length)."""
        self._lately.append(record)
        self.retried += record.retries > 0
        if record.ended_s is not None:
            self.durations.add(record.ended_s - record.started_s)
            self._busy_s += record.ended_s - record.started_s
        if record.state is State.FAILED or record.loss is None:
            return False
        self._spent += record.step
        self._valued += 1
        if record.state is State.DONE:
            self._longest = max(self._longest, record.step)
        self._fresh.append(record)
        bisect.insort(self._top, record, key=leaderboard.place)
        del self._top[KEPT:]
        if not self._so_far or record.loss < self._so_far[-1] - NOISE * max(abs(record.loss), 1.0):
            self._gain = (self._so_far[-1] - record.loss, len(self._so_far)) if self._so_far else None
            self._so_far.append(record.loss)
        else:
            self._so_far.append(self._so_far[-1])
        if record.state is State.DONE and (
            self.best is None or leaderboard.place(record) < leaderboard.place(self.best)
        ):
            self.best = record
            return True
        return False

    @property
    def saved(self) -> float | None:
        """Share of the steps that ended trials would have taken without early stopping and did not."""
        full = self._valued * (self.full_length or 0)
        return max(1 - self._spent / full, 0.0) if full else None

    @property
    def full_length(self) -> int | None:
        return self.horizon or self._longest or None

    def shares(self) -> dict[str, float]:
        """Importance; counted again only after a tenth more trials."""
        enough = max(ENOUGH, self._shares_at + max(self._shares_at // 10, 5))
        if len(self._losses) + len(self._fresh) >= enough:
            for record in self._fresh:
                assert record.loss is not None
                self._units.append(self.space.encode(record.config))
                self._losses.append(record.loss)
            self._fresh.clear()
            self._shares_at = len(self._losses)
            self._shares = shares(self.space, np.array(self._units), np.array(self._losses))
        return self._shares

    def snapshot(
        self,
        study: Readable,
        workers: Sequence[WorkerStatus] = (),
        *,
        now: datetime | None = None,
        hardware: Sequence[str] = (),
        note: str = "",
    ) -> Snapshot:
        """The study at this moment."""
        history, elapsed_s = study.history, study.elapsed_s
        going = [t for t in itertools.chain(history.running, history.paused) if t.loss is not None]
        top = sorted([*self._top, *going], key=leaderboard.place)[:KEPT]
        rows = [leaderboard.row(t, self.metric, rank=k, best=t is self.best) for k, t in enumerate(top, 1)]
        found = self.shares()
        names = order(self.space, found)
        busy_s = self._busy_s + sum(max(elapsed_s - t.started_s, 0.0) for t in history.running)
        counts = study.counts
        left = eta(
            study.plan,
            self.durations,
            elapsed_s=elapsed_s,
            ended=counts.ended,
            busy_s=busy_s,
            steps=history.steps_spent,
        )
        until = ""
        if left is not None and now is not None:
            until = f"{now + timedelta(seconds=sum(left) / 2):%H:%M}"
        return Snapshot(
            name=study.name,
            strategy=label(study, "strategy"),
            stopper=label(study, "stopper"),
            metric=self.metric,
            where=str(study.path) if study.path is not None else "",
            elapsed_s=elapsed_s,
            plan=study.plan,
            counts=counts,
            steps=history.steps_spent,
            board=Leaderboard(rows, self.metric, self.full_length, len(history), names),
            best=None if self.best is None else leaderboard.row(self.best, self.metric, best=True),
            best_age_s=None if self.best is None or self.best.ended_s is None else elapsed_s - self.best.ended_s,
            so_far=tuple(self.metric.value(loss) for loss in thin(self._so_far, 256)),
            gain=None if self._gain is None else (self._gain[0], len(self._so_far) - 1 - self._gain[1]),
            saved=self.saved,
            retried=self.retried,
            eta=left,
            until=until,
            workers=tuple(_worker(w, history) for w in workers),
            lately=tuple(leaderboard.row(t, self.metric) for t in reversed(self._lately)),
            importance=tuple((name, found[name]) for name in names if name in found),
            hardware=tuple(hardware),
            note=note,
        )


def label(study: Readable, plugin: str) -> str:
    """The name of the study's strategy or stopper."""
    return str(study.facts.get(plugin, {}).get("name", ""))


def thin(values: Sequence[float], most: int) -> Sequence[float]:
    """At most `most` of `values`, evenly spaced, the last one included."""
    if len(values) <= most:
        return values
    return [values[(k + 1) * len(values) // most - 1] for k in range(most)]


def _worker(status: WorkerStatus, history: History, *, most: int = 4) -> Worker:
    records = [history.trials[n] for n in status.trials if n < len(history)]
    if len(records) > 1:  # of a cohort its best trials are shown
        records = heapq.nsmallest(most, records, key=lambda t: (math.inf if t.loss is None else t.loss, t.number))
    shown = tuple(_running(record, history) for record in records)
    return Worker(status.worker, status.device, status.note, shown, len(status.trials))


def _running(record: TrialRecord, history: History) -> Running:
    standing, value = "", None
    if record.curve:
        step, loss = record.curve[-1]
        others = history.losses_at(step).values()
        value = history.metric.value(loss)
        standing = f"{words.ordinal(sum(other < loss for other in others) + 1)} of {len(others)} at {step}"
    curve = tuple((step, history.metric.value(loss)) for step, loss in record.curve)
    return Running(record.number, record.step, value, standing, curve)
