"""What a model learns from: the points of all trials, ranked, and those that are pending or failed."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from automl.core.history import History
from automl.core.trial import State
from automl_strategies.surrogates.ranking import rank_trials
from automl_strategies.surrogates.unit_cube import Points, UnitCube, encoded_trials

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Observations:
    """The trials of a history as arrays. A point is a row of the unit cube, NaN where a parameter is inactive.

    Trials of full length, stopped and paused ones are ranked together, the best first (see `ranking`).

    Shapes: `n` ranked trials, `p` pending ones, `f` failed ones, `d` parameters.
    """

    cube: UnitCube
    points: Points  # [n, d] the best first
    losses: Floats  # [n] the loss (`History.score`) of each; only those of `full` trials can be compared
    steps: NDArray[np.int64]  # [n] how far each got
    full: NDArray[np.bool_]  # [n] whether it ran its full length
    pending: Points  # [p, d] trials whose outcome is not known
    failed: Points  # [f, d]
    paces: Floats  # [n] the log of the seconds that a step takes; NaN where that is not known, or counts for nothing
    haste: float  # how much time counts, from 1 at the start to 0; always 0 unless time is the only budget
    vectors: Floats  # [n, q] of several objectives and limits (`Objectives.vector`); q = 0 where one loss says all

    def __len__(self) -> int:
        """How many trials are ranked."""
        return len(self.points)

    @property
    def comparable(self) -> bool:
        """Whether all losses can be compared: all trials ran their full length."""
        return bool(self.full.all())

    def scores(self) -> Floats:
        """Normal scores of the ranks [n], lower is better; equal trials share theirs.

        Blom's formula (1958): the normal quantile of (k - 3/8) / (n + 1/4). Ranks have no outliers, and are defined
        for trials of any length.
        """
        from scipy.special import ndtri

        n = len(self)
        rank = np.arange(1, n + 1, dtype=np.float64)
        same = (self.losses[1:] == self.losses[:-1]) & (self.steps[1:] == self.steps[:-1])
        group = np.concatenate([[0], np.cumsum(~same)]) if n else np.zeros(0, dtype=np.int64)
        rank = (np.bincount(group, rank) / np.bincount(group))[group] if n else rank
        scores: Floats = ndtri((rank - 0.375) / (n + 0.25))
        return scores


def observations(
    history: History, before: int | None = None, endings: int | None = None, paid: int | None = None
) -> Observations:
    """The observations in `history`.

    A failed trial says that its config cannot be trained, and nothing about its loss.

    Args:
        history: all trials.
        before: leave out trials with this number and later ones.
        endings: take as pending what ended after so many trials had ended.
        paid: leave out costs that became known after so many.
    """
    cube, rows = encoded_trials(history)
    end, last = (len(history) if limit is None else limit for limit in (before, endings))
    ended = [t for t in history.of(State.DONE, State.STOPPED, State.PAUSED) if t.number < end and t.order < last]
    ranked = rank_trials(history, ended)
    numbers = [t.number for t in ranked]
    silent = [t for t in ended if t.loss is None]  # stopped before their first report
    pending = [
        t.number for t in history.trials[:end] if t.state is State.RUNNING or (t.state.ended and t.order >= last)
    ]
    failed = silent + [t for t in history.failed if t.number < end and t.order < last]
    return Observations(
        cube,
        rows[numbers],
        np.array([history.score(t) for t in ranked], dtype=np.float64),
        np.array([t.step for t in ranked], dtype=np.int64),
        np.array([t.state is State.DONE for t in ranked], dtype=np.bool_),
        rows[pending],
        rows[[t.number for t in failed]],
        _paces(history, numbers, paid) if haste(history, end) else np.full(len(numbers), np.nan),
        haste(history, end),
        np.array([t.vector for t in ranked], dtype=np.float64).reshape(len(ranked), -1 if ranked else 0),
    )


def haste(history: History, before: int) -> float:
    """How much the time of a trial counts: 1 for the first one, 0 for one that begins at the end of the time budget.

    As in Lee et al., "Cost-aware Bayesian optimization" (2020), whose cost cooling this is. Where trials or steps are
    limited too, time counts for nothing: then the number of trials is what is scarce.
    """
    plan = history.plan
    if not plan.time_s or plan.trials is not None or plan.steps is not None or not before:
        return 0.0
    return max(0.0, 1.0 - history.trials[before - 1].started_s / plan.time_s)


def _paces(history: History, trials: Sequence[int], paid: int | None) -> Floats:
    """The log of the seconds a step of these trials took, by the first `paid` costs that became known. [n]"""
    seconds, steps = np.zeros(len(history)), np.zeros(len(history))
    for number, cost in history.paid[:paid]:
        seconds[number] += cost.seconds
        steps[number] += cost.steps
    with np.errstate(divide="ignore", invalid="ignore"):
        paces: Floats = np.log(seconds / steps)[list(trials)]
    return np.where(np.isfinite(paces), paces, np.nan)


def training_rows(count: int, most: int) -> NDArray[np.int64]:
    """Which of `count` trials, the best first, a model is fitted to: all of them, or at most `most`.

    Of more trials, the best `most / 2` are taken, and others evenly from the rest.
    """
    if count <= most:
        return np.arange(count)
    best = most // 2
    return np.concatenate([np.arange(best), np.linspace(best, count - 1, most - best).astype(np.int64)])
