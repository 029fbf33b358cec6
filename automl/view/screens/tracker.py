"""`Tracker`: gathers the numbers of the live screen while a search runs.

It is given every trial that ends and keeps aggregates that are too expensive to recompute for each frame, so that a
snapshot costs the same after 100,000 trials as after 100.
"""

import bisect
import heapq
import itertools
import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, TypeVar

import numpy as np

from automl.core.history import History, rank_key
from automl.core.messages import WorkerStatus
from automl.core.space import Space
from automl.core.trial import Metric, Plan, State, TrialRecord
from automl.leaderboard import words
from automl.leaderboard.board import Leaderboard
from automl.leaderboard.importance import ENOUGH, order, shares, steady_order
from automl.leaderboard.rows import StepSavings, placed, row
from automl.study.reader import Readable, Stage
from automl.view.screens.eta import Durations, eta
from automl.view.screens.snapshot import Running, Snapshot, Worker

T = TypeVar("T")
KEPT = 64  # best ended trials kept for the table
RECENT = 12  # trials that ended last
NOISE = 1e-9  # a relative gain smaller than this is rounding


@dataclass
class Tracker:
    """Gathers snapshots of one running study. `add` every ended trial once, in the order they ended."""

    space: Space
    metric: Metric
    horizon: int | None = None  # steps of a full trial; None: those of the longest trial that is done
    best: TrialRecord | None = None
    durations: Durations = field(default_factory=Durations)
    retried: int = 0
    _top: list[TrialRecord] = field(default_factory=list)
    _so_far: list[float] = field(default_factory=list)
    _gain: tuple[float, int] | None = None
    _recent: deque[TrialRecord] = field(default_factory=lambda: deque(maxlen=RECENT))
    _busy_s: float = 0.0
    _longest: int = 0
    _savings: StepSavings = field(default_factory=StepSavings)
    _fresh: list[TrialRecord] = field(default_factory=list)  # trials with a value that are not in `_units` yet
    _units: list[Any] = field(default_factory=list)
    _losses: list[float] = field(default_factory=list)
    _shares: dict[str, float] = field(default_factory=dict)
    _shares_at: int = 0

    @classmethod
    def of(cls, study: Readable) -> "Tracker":
        """A tracker that knows all trials of `study` that have ended."""
        tracker = cls(study.space, study.metric, study.plan.horizon)
        for record in sorted((t for t in study.history.trials if t.state.ended), key=lambda t: t.order):
            tracker.add(record)
        return tracker

    def add(self, record: TrialRecord) -> bool:
        """Count a trial that ended.

        Returns:
            whether it is the new best one of those that ran their full length.
        """
        self._recent.append(record)
        self.retried += record.retries > 0
        if record.ended_s is not None:
            self.durations.add(record.ended_s - record.started_s)
            self._busy_s += record.ended_s - record.started_s
        if record.state is State.FAILED or record.loss is None:
            return False
        self._savings.add(record)
        if record.state is State.DONE:
            self._longest = max(self._longest, record.step)
        self._fresh.append(record)
        bisect.insort(self._top, record, key=rank_key)
        del self._top[KEPT:]
        self._add_so_far(record.loss)
        if record.state is not State.DONE:
            return False
        if self.best is not None and rank_key(self.best) < rank_key(record):
            return False
        self.best = record
        return True

    def _add_so_far(self, loss: float) -> None:
        """The best loss after each trial, and the last improvement."""
        last = self._so_far[-1] if self._so_far else None
        if last is None or loss < last - NOISE * max(abs(loss), 1.0):
            self._gain = None if last is None else (last - loss, len(self._so_far))
            last = loss
        self._so_far.append(last)

    @property
    def saved(self) -> float | None:
        """The share of the steps of ended trials that early stopping saved; None while a full length is unknown."""
        return self._savings.share(self.full_length)

    @property
    def full_length(self) -> int | None:
        """Steps of a full trial; None while unknown."""
        return self.horizon or self._longest or None

    def shares(self) -> dict[str, float]:
        """The importance of each hyperparameter; computed again only after a tenth more trials."""
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
    ) -> Snapshot:
        """The study at this moment.

        Args:
            study: the running study.
            workers: what each worker is doing.
            now: the time of day, for the expected end; None: not shown.
            hardware: samples of the machine, see `Hardware`.
        """
        history, elapsed_s, stage = study.history, study.elapsed_s, study.stage
        left, importance = _eta_of(stage) if stage else self._eta(study), self.shares()
        best, driven = self.best, stage.study if stage else study
        return Snapshot(
            name=study.name,
            strategy=label(study, "strategy"),
            stopper=label(study, "stopper"),
            metric=self.metric,
            where=str(study.path) if study.path is not None else "",
            elapsed_s=elapsed_s,
            plan=Plan(trials=stage.trials, horizon=driven.plan.horizon, unit=driven.plan.unit) if stage else study.plan,
            counts=driven.counts,
            steps=driven.history.steps_spent,
            board=self._board(history, steady_order(self.space)),
            best=None if best is None else row(best, self.metric, best=True),
            best_age_s=None if best is None or best.ended_s is None else elapsed_s - best.ended_s,
            so_far=tuple(self.metric.value(loss) for loss in thin(self._so_far, 256)),
            gain=None if self._gain is None else (self._gain[0], len(self._so_far) - 1 - self._gain[1]),
            saved=None if stage else self.saved,
            retried=0 if stage else self.retried,
            eta=left,
            until="" if left is None or now is None else f"{now + timedelta(seconds=sum(left) / 2):%H:%M}",
            workers=tuple(_worker(w, driven.history, stage) for w in workers),
            recent=tuple(row(t, self.metric) for t in reversed(self._recent)),
            importance=tuple((name, importance[name]) for name in order(self.space, importance) if name in importance),
            hardware=tuple(hardware),
            stage=stage.name if stage else "",
        )

    def _board(self, history: History, names: Sequence[str]) -> Leaderboard:
        """The best of the kept trials and of those that run or are paused, as the leaderboard shows them."""
        going = [t for t in itertools.chain(history.running, history.paused) if t.loss is not None]
        if history.objectives.plain:
            top = sorted([*self._top, *going], key=rank_key)[:KEPT]
        else:
            top, self.best = history.ranked(KEPT), history.best
        rows = [placed(t, history, rank=k, best=t is self.best) for k, t in enumerate(top, 1)]
        return Leaderboard(rows, self.metric, self.full_length, len(history), names)

    def _eta(self, study: Readable) -> tuple[float, float] | None:
        history, elapsed_s = study.history, study.elapsed_s
        return eta(
            study.plan,
            self.durations,
            elapsed_s=elapsed_s,
            ended=study.counts.ended,
            busy_s=self._busy_s + sum(max(elapsed_s - t.started_s, 0.0) for t in history.running),
            steps=history.steps_spent,
        )


def _eta_of(stage: Stage) -> tuple[float, float] | None:
    """The time to the end of the finalists."""
    history, elapsed_s, durations, busy_s = stage.study.history, stage.study.elapsed_s, Durations(), 0.0
    for record in history.trials:
        end_s = elapsed_s if record.ended_s is None else record.ended_s
        busy_s += max(end_s - record.started_s, 0.0)
        if record.ended_s is not None:
            durations.add(end_s - record.started_s)
    plan = Plan(trials=stage.trials, time_s=stage.study.plan.time_s)
    counts, steps = stage.study.counts, history.steps_spent
    return eta(plan, durations, elapsed_s=elapsed_s, ended=counts.ended, busy_s=busy_s, steps=steps)


def label(study: Readable, plugin: str) -> str:
    """The name of the study's "strategy" or "stopper"."""
    return str(study.facts.get(plugin, {}).get("name", ""))


def thin(values: Sequence[T], most: int) -> Sequence[T]:
    """At most `most` of `values`, evenly spaced, the last one included."""
    if len(values) <= most:
        return values
    return [values[(k + 1) * len(values) // most - 1] for k in range(most)]


def _worker(status: WorkerStatus, history: History, stage: Stage | None, *, most: int = 4) -> Worker:
    """A worker with its trials; of a cohort only the best `most`. Finalists have their numbers in the search."""
    records = [history.trials[n] for n in status.trials if n < len(history)]
    if len(records) > 1:
        records = heapq.nsmallest(most, records, key=lambda t: (math.inf if t.loss is None else t.loss, t.number))
    shown = tuple(_running(record, history, stage.number_of(record) if stage else record.number) for record in records)
    note = status.note or ("fresh seed" if stage and shown else "")
    return Worker(status.worker, status.device, note, shown, len(status.trials))


def _running(record: TrialRecord, history: History, number: int) -> Running:
    standing, value = "", None
    if record.curve:
        step, loss = record.curve[-1]
        others = history.losses_at(step).values()
        value = history.metric.value(loss)
        standing = f"{words.ordinal(sum(other < loss for other in others) + 1)} of {len(others)} at step {step}"
    curve = tuple((step, history.metric.value(loss)) for step, loss in record.curve)
    return Running(number, record.step, value, standing, curve)
