"""Whether trials fail because of their configs or by chance, and where they will fail.

Only failures that depend on the config say anything about configs to come. Two simple predictions of "fails" compete:
ridge regression, which sees that large models fail, and the share of failures nearby, which sees regions of any shape.
Each is judged on what it says about a trial from all others (leave one out), against the mere share of failures.

Shapes: `n` trials, `M` candidates, `d` parameters, `F` features.
"""

from dataclasses import dataclass

import numpy as np

from automl_strategies.surrogates.observations import Floats, Observations
from automl_strategies.surrogates.ranking import LEAST
from automl_strategies.surrogates.unit_cube import MOST_ONE_HOT, Points, UnitCube, one_hot, positions

SKILL = 0.1
"""Share of the variance of "fails" that must be explained, and 1 / n more: chance explains more of few trials."""
REACH = 0.3
"""Distance in the unit cube within which trials say something about each other."""
LATEST = 500
"""Failures, and trials with a loss, that are looked at."""
PARDONED = 0.3
"""Risk up to which nothing is subtracted: the best configs often lie close to the largest that fit."""


@dataclass(frozen=True)
class FailureModel:
    """Which configs fail; only where this can be predicted, see `of`."""

    cube: UnitCube
    x: Floats  # [n, F]
    failed: Floats  # [n] 1 for a failed trial
    weights: Floats | None  # [1 + F] of the ridge regression; None: by distance

    @classmethod
    def of(cls, data: Observations) -> "FailureModel | None":
        """A model of the failures in `data`; None where they do not depend on the configs, or there are none."""
        good, bad = data.points[:LATEST], data.failed[-LATEST:]
        if not len(good) or not len(bad):
            return None
        x = np.concatenate([inputs(data.cube, good), inputs(data.cube, bad)])
        failed = np.repeat([0.0, 1.0], [len(good), len(bad)])
        share = (failed.sum() - failed) / (len(failed) - 1)
        by_ridge, near = left_out(x, failed), _by_distance(x, failed, x, share, own=False)
        errors = [float(((failed - guess) ** 2).sum()) for guess in (by_ridge, near, share)]
        if min(errors[:2]) > (1.0 - SKILL - 1.0 / len(x)) * errors[2]:
            return None
        return cls(data.cube, x, failed, ridge(x)[1] @ failed if errors[0] < errors[1] else None)

    def discouragement(self, points: Points) -> Floats:
        """The log probability that `points` [M, d] (NaN where inactive) do not fail, 0 up to `PARDONED` risk. [M]"""
        x = inputs(self.cube, points)
        if self.weights is not None:
            risk = design(x) @ self.weights
        else:
            risk = _by_distance(self.x, self.failed, x, np.full(len(x), self.failed.mean()), own=True)
        beyond = np.maximum(risk - PARDONED, 0.0) / (1.0 - PARDONED)
        result: Floats = np.log(np.clip(1.0 - beyond, 0.02, 1.0))
        return result


def enough(data: Observations, startup: int) -> bool:
    """Whether a model can be fitted: `startup` trials have a loss.

    Trials that failed count as well where that depends on their configs: a model then helps to avoid more of them.
    """
    if len(data) >= startup:
        return True
    several = len(data) >= min(startup, LEAST) and len(data) + len(data.failed) >= startup
    return several and FailureModel.of(data) is not None


def design(x: Floats) -> Floats:
    """Inputs of the ridge regression. [n, 1 + F]"""
    return np.concatenate([np.ones((len(x), 1)), x - 0.5], axis=1)


def ridge(x: Floats, penalty: float = 1.0) -> tuple[Floats, Floats]:
    """The design matrix [n, 1 + F] and the matrix that makes weights of values at its rows [1 + F, n]."""
    matrix = design(x)
    shrinks = np.diag(np.r_[1e-9, np.full(x.shape[1], penalty)])
    return matrix, np.linalg.solve(matrix.T @ matrix + shrinks, matrix.T)


def left_out(x: Floats, y: Floats, penalty: float = 1.0) -> Floats:
    """Predictions of `y` [n] from `x` [n, F], each without its own row (Hastie et al. 2009, section 7.10). [n]"""
    matrix, solved = ridge(x, penalty)
    hat = matrix @ solved
    own = np.minimum(np.diag(hat), 1 - 1e-9)
    guess: Floats = (hat @ y - own * y) / (1 - own)
    return guess


def _by_distance(x: Floats, y: Floats, at: Floats, prior: Floats, *, own: bool) -> Floats:
    """The mean of `y` [n], weighted by the nearness of `x` [n, F] to `at` [M, F]; `prior` [M] counts as one trial.

    `own`: whether the k-th row of `x` counts for the k-th of `at`.
    """
    apart = (at**2).sum(1)[:, None] + (x**2).sum(1) - 2.0 * at @ x.T
    near = np.exp(-0.5 * np.maximum(apart, 0.0) / REACH**2)
    if not own:
        np.fill_diagonal(near, 0.0)
    guess: Floats = (near @ y + prior) / (near.sum(1) + 1.0)
    return guess


def inputs(cube: UnitCube, points: Points) -> Floats:
    """Coordinates of numbers (0.5 where inactive), choices as one-hot rows of 0.4 (zeros where inactive). [n, F]"""
    known = ~np.isnan(points)
    filled = np.where(known, points, 0.5)
    columns = [filled[:, cube.categories == 0]]
    for j in np.flatnonzero((cube.categories > 0) & (cube.categories <= MOST_ONE_HOT)).tolist():
        total = int(cube.categories[j])
        columns.append(0.4 * one_hot(positions(filled[:, j], total), total) * known[:, j, None])
    return np.concatenate(columns, axis=1)
