"""What a model may learn from a history: which configs are better than which, which are pending, which failed."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from automl.core.history import History
from automl.core.trial import State
from automl_strategies.surrogates.ranking import by_merit
from automl_strategies.surrogates.unit_cube import Cube, Points, encoded

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Evidence:
    """Points are rows of the unit cube, NaN where inactive.

    Trials are ordered best first, those of full length, stopped and paused ones together (see `merit`).
    """

    cube: Cube
    points: Points  # [n, d] best first
    losses: Floats  # [n] the last loss of each, comparable only among `full` ones
    steps: NDArray[np.int64]  # [n] how far each got
    full: NDArray[np.bool_]  # [n] ran its full length
    pending: Points  # [p, d] running, or ended later: their outcome is not known
    failed: Points  # [f, d]

    def __len__(self) -> int:
        return len(self.points)

    @property
    def comparable(self) -> bool:
        """Whether all losses are of trials of full length."""
        return bool(self.full.all())

    def scores(self) -> Floats:
        """Normal scores of the order, lower is better; equals share theirs. [n]

        Ranks carry no outliers and compare trials of any length; blom's formula (k - 3/8) / (n + 1/4).
        """
        n = len(self)
        rank = np.arange(1, n + 1, dtype=np.float64)
        same = (self.losses[1:] == self.losses[:-1]) & (self.steps[1:] == self.steps[:-1])
        group = np.concatenate([[0], np.cumsum(~same)]) if n else np.zeros(0, dtype=np.int64)
        rank = (np.bincount(group, rank) / np.bincount(group))[group] if n else rank
        scores: Floats = ndtri((rank - 0.375) / (n + 0.25))
        return scores


def telling(count: int, most: int) -> NDArray[np.int64]:
    """Which of `count` trials, best first, to fit a model to: all, or the best half of `most` and others evenly."""
    if count <= most:
        return np.arange(count)
    best = most // 2
    return np.concatenate([np.arange(best), np.linspace(best, count - 1, most - best).astype(np.int64)])


def evidence(history: History, before: int | None = None, endings: int | None = None) -> Evidence:
    """The evidence of `history` (of its trials with a number below `before`, and of its first `endings`, if given).

    A failed trial says that its config is infeasible, never what its loss is.
    """
    cube, rows = encoded(history)
    end, last = (len(history) if limit is None else limit for limit in (before, endings))
    among = [t for t in history.of(State.DONE, State.STOPPED, State.PAUSED) if t.number < end and t.order < last]
    known = by_merit(history, among)
    numbers = [t.number for t in known]
    lost = [t for t in among if t.loss is None]  # given up before they said anything
    pending = [
        t.number for t in history.trials[:end] if t.state is State.RUNNING or (t.state.ended and t.order >= last)
    ]
    useless = lost + [t for t in history.failed if t.number < end and t.order < last]
    return Evidence(
        cube,
        rows[numbers],
        np.array([t.loss for t in known], dtype=np.float64),
        np.array([t.step for t in known], dtype=np.int64),
        np.array([t.state is State.DONE for t in known], dtype=np.bool_),
        rows[pending],
        rows[[t.number for t in useless]],
    )
