"""A Gaussian process with a Matern-5/2 kernel and a length scale for each parameter, in float64.

Rasmussen & Williams, "Gaussian Processes for Machine Learning" (2006), algorithm 2.1; priors as in Hvarfner et al.,
"Vanilla Bayesian Optimization Performs Great in High Dimensions" (ICML 2024), which keep a fit sensible from few data.

Shapes: `n` observations, `M` candidates, `F` features, `d` parameters.
"""

import math
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import solve_triangular
from scipy.optimize import minimize
from scipy.special import erfcx, log_ndtr, ndtr

from automl_strategies.surrogates.gp_likelihood import JITTER, LOG_NOISE, Likelihood
from automl_strategies.surrogates.observations import Floats
from automl_strategies.surrogates.unit_cube import MOST_ONE_HOT, Mask, Points, UnitCube, one_hot, positions

SQRT5, LOG_SQRT_2PI = math.sqrt(5.0), 0.5 * math.log(2 * math.pi)


class Features:
    """Turns points of the unit cube into feature vectors that a stationary kernel can compare.

    Numbers are taken as they are (0.5 where inactive), unordered choices are one-hot, and each parameter with a
    condition has a flag for being active. `owner[f]` is the parameter that feature f belongs to: all features of a
    parameter share its length scale.

    A choice of more than `MOST_ONE_HOT` values has a column for each value among the observations, and one for all
    others: of values that were never tried, the model knows only that they differ from those that were.

    Args:
        cube: of the space.
        seen: the observations [n, d], NaN where inactive.
    """

    def __init__(self, cube: UnitCube, seen: Points | None = None) -> None:
        self.cube = cube
        self.columns: dict[int, NDArray[np.int64]] = {}  # of choices with many values: those that have a column
        self.numeric = np.flatnonzero(cube.categories == 0)
        self.choices = np.flatnonzero(cube.categories > 0)
        self.flagged = np.array([k for k, p in enumerate(cube.params) if p.when], dtype=np.int64)
        widths = []
        for j in self.choices.tolist():
            total = int(cube.categories[j])
            if total > MOST_ONE_HOT:
                tried = np.empty(0) if seen is None else seen[~np.isnan(seen[:, j]), j]
                self.columns[j] = np.unique(positions(tried, total))
            widths.append(len(self.columns[j]) + 1 if j in self.columns else total)
        owners = [np.full(width, j) for width, j in zip(widths, self.choices, strict=True)]
        self.owner = np.concatenate([self.numeric, *owners, self.flagged]).astype(np.int64)

    def of(self, points: Points, active: Mask | None = None) -> Floats:
        """The features of `points` [M, d], which are NaN (or not `active`) where inactive. [M, F]"""
        known = ~np.isnan(points) if active is None else active
        parts = [np.where(known, points, 0.5)[:, self.numeric]]
        for j in self.choices.tolist():
            total = int(self.cube.categories[j])
            mine = positions(np.where(known[:, j], points[:, j], 0.0), total)
            if (columns := self.columns.get(j)) is not None:
                total = len(columns) + 1
                mine = np.where(np.isin(mine, columns), np.searchsorted(columns, mine), len(columns))
            parts.append(one_hot(mine, total) * known[:, j, None] / math.sqrt(2.0))
        parts.append(known[:, self.flagged] * 0.5)
        return np.concatenate(parts, axis=1)


def _far(a: Floats, b: Floats, scales: Floats) -> Floats:
    """sqrt(5) times the scaled distances of the rows `a` [M, F] and `b` [n, F]; `scales` [F] are inverse. [M, n]"""
    x, y = a * scales, b * scales
    squared = (x * x).sum(1)[:, None] + (y * y).sum(1) - 2.0 * x @ y.T
    result: Floats = SQRT5 * np.sqrt(np.maximum(squared, 1e-12))
    return result


def matern(a: Floats, b: Floats, scales: Floats) -> Floats:
    """Matern-5/2 correlations of the rows `a` [M, F] and `b` [n, F]; `scales` [F] are inverse length scales. [M, n]

    (1 + r + r^2 / 3) exp(-r), with r = sqrt(5) times the scaled distance (Rasmussen & Williams, equation 4.17).
    """
    r = _far(a, b, scales)
    correlation: Floats = (1.0 + r + r * r / 3.0) * np.exp(-r)
    return correlation


def matern_slope(a: Floats, b: Floats, scales: Floats, weights: Floats) -> Floats:
    """The gradient of `(weights * matern(a, b, scales)).sum(1)` with respect to `a`; `weights` [M, n]. [M, F]"""
    r = _far(a, b, scales)
    pull = weights * (1.0 + r) * np.exp(-r) * (-5.0 / 3.0)
    result: Floats = scales**2 * (a * pull.sum(1)[:, None] - pull @ b)
    return result


@dataclass(frozen=True)
class GaussianProcess:
    """A fitted process. The caller standardizes the losses to mean 0 and variance 1."""

    x: Floats  # [n, F] features of the observations
    y: Floats  # [n] their losses
    scales: Floats  # [F] inverse length scales
    signal: float  # variance of the function
    noise: float  # variance of the noise
    mean: float
    factor: Floats  # [n, n] lower Cholesky factor of the covariance of y

    @classmethod
    def fit(cls, x: Floats, y: Floats, owner: NDArray[np.int64], dim: int, steps: int = 60) -> "GaussianProcess":
        """Fit the hyperparameters: the most probable ones for the observations `x` [n, F] and `y` [n].

        Args:
            x, y: features and losses.
            owner: the parameter that each feature belongs to [F].
            dim: how many parameters there are.
            steps: of the optimizer (L-BFGS-B), at most.
        """
        likelihood = Likelihood.of(x, y, owner, dim)
        start = np.concatenate([np.full(dim, likelihood.center - 1.5), [0.0], [LOG_NOISE[0]], [0.0]])
        bounds = [(-4.0, 5.0)] * dim + [(-4.0, 4.0), (-14.0, 1.0), (-3.0, 3.0)]
        fit = minimize(likelihood, start, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": steps})
        theta = np.asarray(fit.x if np.isfinite(fit.fun) else start, dtype=np.float64)
        signal, noise = math.exp(theta[dim]), math.exp(theta[dim + 1])
        return cls(x, y, np.exp(-theta[:dim])[owner], signal, noise, float(theta[dim + 2]), np.empty((0, 0))).of(x, y)

    def of(self, x: Floats, y: Floats) -> "GaussianProcess":
        """A process with the same hyperparameters that has observed `y` [n] at `x` [n, F] instead."""
        covariance = self.signal * matern(x, x, self.scales)
        covariance.flat[:: len(x) + 1] += self.noise + JITTER
        return replace(self, x=x, y=y, factor=np.asarray(np.linalg.cholesky(covariance), dtype=np.float64))

    @cached_property
    def target(self) -> Floats:
        """L^-1 (y - mean). [n]"""
        return self._solve(self.y - self.mean)

    def _solve(self, right: Floats, transposed: bool = False) -> Floats:
        result: Floats = solve_triangular(self.factor, right, lower=True, trans=int(transposed), check_finite=False)
        return result

    def whiten(self, candidates: Floats) -> Floats:
        """L^-1 k(x, candidates), which prediction needs, for `candidates` [M, F]. [n, M]"""
        return self._solve(self.signal * matern(self.x, candidates, self.scales))

    def predict(self, white: Floats) -> tuple[Floats, Floats]:
        """Mean and variance of the function (without noise) at candidates given by `whiten` -> [M], [M]."""
        variance = self.signal - (white * white).sum(0)
        return self.mean + self.target @ white, np.maximum(variance, 1e-10)

    def slope(self, candidates: Floats, white: Floats, of_mean: Floats, of_variance: Floats) -> Floats:
        """The gradient of `of_mean` [M] * mean + `of_variance` [M] * variance at `candidates` [M, F] -> [M, F]."""
        mean, variance = self._solve(self.target, transposed=True), -2.0 * self._solve(white, transposed=True)
        weights = of_mean[:, None] * mean + of_variance[:, None] * variance.T
        return self.signal * matern_slope(candidates, self.x, self.scales, weights)

    def believing(self, x: Floats) -> "GaussianProcess":
        """The process after its own mean was observed at `x` [p, F]: the mean stays, the variance falls near `x`.

        The "Kriging believer" of Ginsbourger et al. (2010), for configs that are running.
        """
        if not len(x):
            return self
        white = self.whiten(x)
        mean, _ = self.predict(white)
        corner = self._left(x, white)
        factor = np.block([[self.factor, np.zeros((len(self.x), len(x)))], [white.T, corner]])
        return replace(self, x=np.concatenate([self.x, x]), y=np.concatenate([self.y, mean]), factor=factor)

    def shared(self, candidates: Floats, x: Floats, white: Floats, white_x: Floats) -> Floats:
        """The rows that `believing(x)` adds to `white` [n, M], which is `whiten(candidates)`. [p, M]

        `x` [p, F]; `white_x` [n, p] is `whiten(x)`.
        """
        both = self.signal * matern(x, candidates, self.scales) - white_x.T @ white
        result: Floats = solve_triangular(self._left(x, white_x), both, lower=True, check_finite=False)
        return result

    def _left(self, x: Floats, white: Floats) -> Floats:
        """Cholesky factor of the covariance that observations at `x` [p, F] have left. [p, p]"""
        inner = self.signal * matern(x, x, self.scales) - white.T @ white
        inner.flat[:: len(x) + 1] += self.noise + JITTER
        return np.asarray(np.linalg.cholesky(inner), dtype=np.float64)


def log_expected_improvement(mean: Floats, variance: Floats, best: float) -> Floats:
    """The logarithm of the expected improvement E[max(best - f, 0)] at points with this mean and variance. [M]

    It is finite however small the improvement is (Ament et al., "Unexpected Improvements", NeurIPS 2023).
    """
    deviation = np.sqrt(variance)
    result: Floats = _log_h((best - mean) / deviation) + np.log(deviation)
    return result


def log_expected_improvement_slopes(mean: Floats, variance: Floats, best: float) -> tuple[Floats, Floats]:
    """The derivatives of `log_expected_improvement`.

    Args:
        mean, variance: of the model at M points, [M].
        best: the lowest loss so far.

    Returns:
        The derivatives with respect to `mean` and to `variance`, [M] each.
    """
    deviation = np.sqrt(variance)
    z = np.maximum((best - mean) / deviation, -1e6)
    log_h = _log_h(z)
    density, below = -0.5 * z * z - LOG_SQRT_2PI, log_ndtr(z)
    return -np.exp(below - log_h) / deviation, 0.5 * np.exp(density - log_h) / variance


def _log_h(z: Floats) -> Floats:
    """log(phi(z) + z Phi(z)) with the standard normal density and distribution; without cancellation for z < -1."""
    safe = np.maximum(z, -1.0)
    near = np.log(np.exp(-0.5 * safe * safe - LOG_SQRT_2PI) + safe * ndtr(safe))
    low = np.clip(z, -1e6, -1.0)
    ratio = np.minimum(-low * math.sqrt(math.pi / 2) * erfcx(-low / math.sqrt(2.0)), 1 - 1e-12)
    tail = np.where(low < -1e3, -2.0 * np.log(-low), np.log1p(-ratio))
    result: Floats = np.where(z > -1.0, near, tail - 0.5 * low * low - LOG_SQRT_2PI)
    return result
