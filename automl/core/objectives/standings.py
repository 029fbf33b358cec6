"""Where the trials of a history stand, by several objectives and limits: among all, and among those at one step."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Protocol

import numpy as np

from automl.core.objectives.fronts import Values
from automl.core.objectives.goals import Objectives
from automl.core.trial import State, TrialRecord, Vector


class Trials(Protocol):
    """What is read of a history."""

    trials: list[TrialRecord]
    version: int


class Standings:
    """Places of trials; computed when they are asked for, and kept until something changes.

    Args:
        objectives: of the study.
    """

    def __init__(self, objectives: Objectives) -> None:
        self.objectives = objectives
        self._vectors: dict[int, dict[int, Vector]] = {}  # step: {trial: vector}
        self._at: dict[int, dict[int, float]] = {}  # step: {trial: place}, where it is known
        self._best = (0, 0)  # of so many full trials, the number of the winner
        self._leading: tuple[int, Values, float] = (-1, np.empty((0, 0)), math.inf)  # see `may_lead`
        self._version = -1
        self._places: dict[int, float] = {}
        self._fronts: dict[int, int] = {}

    def add(self, record: TrialRecord, vector: Vector) -> TrialRecord:
        """Take note of a report; returns its trial's record, whose curve has it, with the vector in it."""
        step, loss = record.curve[-1]
        self._note(record.number, step, vector)
        counts = not record.vector or (record.counted is None and loss == record.loss)
        return replace(record, vectors=(*record.vectors, vector), vector=vector if counts else record.vector)

    def restored(self, record: TrialRecord, vectors: Sequence[Vector]) -> TrialRecord:
        """The record of a trial that was read from a ledger, with the vectors of its curve."""
        for (step, _), vector in zip(record.curve, vectors, strict=True):
            self._note(record.number, step, vector)
        last = len(record.curve) if record.counted is None else [s for s, _ in record.curve].index(record.counted) + 1
        counting = [k for k in range(last) if record.curve[k][1] == record.loss]
        return replace(record, vectors=tuple(vectors), vector=vectors[counting[-1]])

    def _note(self, trial: int, step: int, vector: Vector) -> None:
        self._vectors.setdefault(step, {})[trial] = vector
        self._at.pop(step, None)

    def at(self, history: Trials, step: int) -> Mapping[int, float]:
        """{trial: place} among all that reported at exactly `step`."""
        if step not in self._at:
            vectors = self._vectors.get(step, {})
            self._at[step] = dict(zip(vectors, self.objectives.places(vectors.values())[0], strict=True))
        return self._at[step]

    def best(self, done: Sequence[TrialRecord]) -> int:
        """The number of the winner among the trials that ran their full length; there is at least one."""
        if self._best[0] != len(done):
            in_order = sorted(done, key=lambda t: t.number)
            found = self.objectives.winner([t.vector for t in in_order])
            assert found is not None
            self._best = len(done), in_order[found].number
        return self._best[1]

    def place(self, history: Trials, trial: int) -> float:
        """The place of a trial among all: full trials first, then the others; infinite where it failed."""
        self._update(history)
        return self._places.get(trial, math.inf)

    def front(self, history: Trials, trial: int) -> int | None:
        """The front of a trial that ran its full length and keeps all limits; else None."""
        self._update(history)
        return self._fronts.get(trial) or None

    def may_lead(self, done: Sequence[TrialRecord], record: TrialRecord) -> bool:
        """Whether no trial of `done` beats `record`; where none keeps the limits, whether none breaks them less."""
        count, excess = len(self.objectives.metrics), self.objectives.excess
        if self._leading[0] != len(done):
            fronts = self.objectives.places(t.vector for t in done)[1]
            rows = np.array([t.vector for t, front in zip(done, fronts, strict=True) if front == 1])
            least = excess(np.array([t.vector for t in done])).min() if len(done) and not len(rows) else math.inf
            self._leading = len(done), rows, float(least)
        _, rows, least = self._leading
        mine = np.array([record.vector])
        broken = float(excess(mine)[0])
        if broken:
            return not len(rows) and broken <= least
        if not len(rows):
            return True
        rows, mine = rows[:, :count], mine[:, :count]
        return not bool(((rows <= mine).all(axis=1) & (rows < mine).any(axis=1)).any())

    def _update(self, history: Trials) -> None:
        if self._version == history.version:
            return
        valued = [t for t in history.trials if t.vector and t.state is not State.FAILED]
        full = [t for t in valued if t.state is State.DONE]
        places, fronts = self.objectives.places(t.vector for t in full)
        self._fronts = {t.number: front for t, front in zip(full, fronts, strict=True)}
        self._places = {t.number: place for t, place in zip(full, places, strict=True)}
        if full:
            self._places[self.best(full)] = 0.0
        behind = max(places, default=0.0) // 1
        rest = [t for t in valued if t.state is not State.DONE]
        places, _ = self.objectives.places(t.vector for t in rest)
        self._places |= {t.number: behind + place for t, place in zip(rest, places, strict=True)}
        self._version = history.version
