"""The tree-structured Parzen estimator (TPE).

It is written for batches: the density at all candidates is one matrix product, because a product of Gaussian and
categorical kernels is the exponential of an inner product of features of the candidate and of the observation.

Shapes: `M` candidates, `N` observations, `d` parameters, `F` features.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

from automl.core.history import History
from automl.core.space import Config
from automl.core.strategy import Strategy
from automl.errors import SpecError
from automl_strategies.surrogates.deduplication import SeenConfigs, new_configs
from automl_strategies.surrogates.drawbacks.failures import FailureModel, enough
from automl_strategies.surrogates.observations import Observations, observations
from automl_strategies.surrogates.unit_cube import (
    MOST_ONE_HOT,
    Mask,
    Points,
    UnitCube,
    one_hot,
    positions,
)

Features = NDArray[np.float32]
LOG_SQRT_2PI = 0.5 * math.log(2 * math.pi)


@dataclass(frozen=True)
class Tpe(Strategy):
    """Model good and bad configs by densities and suggest where their ratio is highest; the all-round model.

    Bergstra et al., "Algorithms for Hyper-Parameter Optimization" (NeurIPS 2011), multivariate as in BOHB (Falkner et
    al., ICML 2018), with the bandwidths of Optuna 5 (the larger distance to a neighbour, clipped). Knows conditions
    (inactive parameters are ignored), stopped trials (ranked by how far they got) and running ones (they count as bad,
    so that a batch spreads). Cheap: 64 suggestions after 1,000 trials take less than 0.1 s.

    Args:
        startup: random trials before the model is used; at least 1.
        candidates: draws from the density of good configs for one suggestion; at least 1.
        gamma: share of the trials that count as good; between 0 and 1.
        most_good: how many trials count as good, at most; at least 1.
        random_share: share of suggestions that stay random.

    Raises:
        SpecError: an option is out of its range.

    Example:
        study = automl.Study({"x": automl.Float(0, 1)}, metric="loss", trials=50, strategy="tpe")
        while (trial := study.ask()) is not None:
            study.tell(trial, loss=(trial["x"] - 0.3) ** 2)
    """

    startup: int = 10
    candidates: int = 24
    gamma: float = 0.1
    most_good: int = 25
    random_share: float = 0.0

    def __post_init__(self) -> None:
        if self.startup < 1 or self.candidates < 1 or self.most_good < 1:
            raise SpecError("tpe: startup, candidates and most_good must be at least 1")
        if not 0 < self.gamma < 1:
            raise SpecError(f"tpe: gamma must lie between 0 and 1, got {self.gamma}")

    def suggest(self, history: History, n: int) -> list[Config]:
        if n == 0 or history.space.dim == 0:
            return [history.space.sample(history.rng(k)) for k in range(n)]
        data, seen = observations(history), SeenConfigs(history)
        if not enough(data, self.startup):
            return new_configs(history, n, (history.space.sample(history.rng(k)) for k in range(n)), seen)
        good = min(max(1, math.ceil(self.gamma * len(data))), self.most_good)
        return new_configs(history, n, self._proposals(history, n, data, good, seen), seen)

    def _proposals(
        self, history: History, n: int, data: Observations, best: int, seen: SeenConfigs
    ) -> Iterator[Config]:
        """Draws from the density of the `best` trials, in the order of its ratio to that of all others."""
        cube, good = data.cube, data.points[:best]
        bad = np.concatenate([data.points[best:], data.failed, data.pending])
        low, high = Parzen(cube, good), Parzen(cube, bad)
        drawn = [low.sample(history.rng(k, "tpe"), self.candidates) for k in range(n)]
        points = cube.snap(np.concatenate(drawn))
        active = cube.active(points)
        features = low.features(points, active)
        ratio = low.log_density(features)
        if failures := FailureModel.of(data):
            ratio = ratio + failures.discouragement(np.where(active, points, np.nan))
        others = high.sums(features)
        for k in range(n):
            rng = history.rng(k, "tpe mix")
            if rng.random() < self.random_share:
                yield history.space.sample(rng)
                continue
            mine = slice(k * self.candidates, (k + 1) * self.candidates)
            score = ratio[mine] - np.log(others[mine])
            for at in np.argsort(-score, kind="stable"):
                config = cube.config(points[mine][at])
                if config not in seen:
                    row = np.where(active[mine][at], points[mine][at], np.nan)
                    others += high.kernel_of(row, features)  # what was just suggested counts as bad ("constant liar")
                    yield config
                    break


def _match_logs(total: int, count: int) -> tuple[float, float]:
    """The log kernels of a choice of `total` values for the observation's own value and for another one.

    `count`: observations; the more there are, the surer a kernel is of its value.
    """
    other = 1.0 / (count + 1)
    return math.log((1 + other) / (1 + total * other) * total), math.log(other / (1 + total * other) * total)


class Parzen:
    """A density: a mixture of a product kernel for each observation and a uniform kernel, all of equal weight.

    In the parameters that are inactive in its observation, a kernel is uniform.

    Args:
        cube: of the space.
        points: the observations [N, d], NaN where inactive.
    """

    def __init__(self, cube: UnitCube, points: Points) -> None:
        self.cube = cube
        self.points = points
        self.numeric = np.flatnonzero(cube.categories == 0)
        self.choices = np.flatnonzero((cube.categories > 0) & (cube.categories <= MOST_ONE_HOT))
        self.large = np.flatnonzero(cube.categories > MOST_ONE_HOT)
        self.sigmas = self._bandwidths(points)
        self.weights = self._kernels(points, self.sigmas, len(points))

    def _bandwidths(self, points: Points) -> Points:
        """For each observation the larger distance to the next ones below and above, or the range's ends. [N, d]"""
        count = len(points)
        sigmas = np.ones_like(points)
        floor = 1.0 / min(100.0, 2.0 + count)
        for j in self.numeric:
            known = np.flatnonzero(~np.isnan(points[:, j]))
            order = known[np.argsort(points[known, j], kind="stable")]
            ends = np.concatenate([[0.0], points[order, j], [1.0]])
            gaps = np.maximum(ends[1:-1] - ends[:-2], ends[2:] - ends[1:-1])
            if len(ends) >= 4:  # the ends of the range are no neighbours
                gaps[0], gaps[-1] = ends[2] - ends[1], ends[-2] - ends[-3]
            sigmas[order, j] = np.clip(gaps, max(floor, 0.5 / self.cube.cells[j]), 1.0)
        return sigmas

    def _kernels(self, points: Points, sigmas: Points, count: int) -> Features:
        """Features of observations; their product with a candidate's features is the log kernel, see `_exponents`."""
        known = ~np.isnan(points)
        at = np.where(known, points, 0.0)[:, self.numeric]
        spread = sigmas[:, self.numeric]
        inside = np.log(np.maximum(ndtr((1 - at) / spread) - ndtr(-at / spread), 1e-12))
        constant = -0.5 * (at / spread) ** 2 - np.log(spread) - LOG_SQRT_2PI - inside
        mask = known[:, self.numeric]
        parts = [-0.5 / spread**2 * mask, at / spread**2 * mask, constant * mask]
        for j in self.choices:
            total = int(self.cube.categories[j])
            same, different = _match_logs(total, count)
            table = np.full((len(points), total), different)
            mine = positions(np.where(known[:, j], points[:, j], 0.0), total)
            table[np.arange(len(points)), mine] = same
            parts.append(table * known[:, j, None])
        for j in self.large:
            parts.append(_match_logs(int(self.cube.categories[j]), count)[1] * known[:, j, None])
        for j in self.large:
            total = int(self.cube.categories[j])
            same, different = _match_logs(total, count)
            mine = np.where(known[:, j], positions(np.where(known[:, j], points[:, j], 0.0), total), -2)
            parts += [mine[:, None], np.full((len(points), 1), same - different)]
        return np.concatenate(parts, axis=1).astype(np.float32)

    def features(self, points: Points, active: Mask) -> Features:
        """Features of candidates `points` [M, d]; those of inactive coordinates are zero, see `_exponents`. [M, F]"""
        mask = active[:, self.numeric]
        at = np.where(mask, points[:, self.numeric], 0.0)
        parts = [at**2, at, mask.astype(np.float64)]
        for j in self.choices:
            total = int(self.cube.categories[j])
            parts.append(one_hot(positions(points[:, j], total), total) * active[:, j, None])
        parts += [active[:, self.large].astype(np.float64)]
        for j in self.large:
            parts.append(np.where(active[:, j], positions(points[:, j], int(self.cube.categories[j])), -1)[:, None])
        return np.concatenate(parts, axis=1).astype(np.float32)

    def _exponents(self, features: Features, weights: Features) -> Features:
        """The logs of the kernels of observations, given by `weights` [N, .], at candidates [M, F]. [M, N]

        An inner product; only for choices of many values, whose columns are the last ones, the value's position is
        compared instead: as one-hot columns they would cost time and memory for values that nobody has tried.
        """
        dense = features.shape[1] - len(self.large)
        exponents: Features = features[:, :dense] @ weights[:, :dense].T
        for k in range(len(self.large)):
            position, gain = weights[:, dense + 2 * k], weights[:, dense + 2 * k + 1]
            exponents += (features[:, dense + k, None] == position[None, :]) * gain
        return exponents

    def sums(self, features: Features) -> NDArray[np.float64]:
        """The sum of all kernels, the uniform one included, at candidates with these features [M, F]. [M]"""
        total = np.ones(len(features))
        for start in range(0, len(self.weights), 2048):  # bounds the memory: M x 2048 numbers
            exponent = self._exponents(features, self.weights[start : start + 2048])
            np.exp(np.minimum(exponent, 80.0, out=exponent), out=exponent)
            total += exponent.sum(axis=1, dtype=np.float64)
        return total

    def log_density(self, features: Features) -> NDArray[np.float64]:
        """The log density at candidates with these features [M, F], up to a constant. [M]"""
        return np.log(self.sums(features))

    def kernel_of(self, point: Points, features: Features) -> NDArray[np.float64]:
        """The kernel of one more observation `point` [d], at candidates with these features [M, F]. [M]"""
        row = point[None, :]
        if len(self.points):
            apart = np.abs(self.points - row)
            apart = np.where(np.isnan(apart), 1.0, apart)
            sigma = np.sort(np.partition(apart, min(1, len(apart) - 1), axis=0)[:2], axis=0)[-1]
        else:
            sigma = np.ones_like(point)
        floor = np.maximum(1.0 / min(100.0, 3.0 + len(self.points)), 0.5 / self.cube.cells)
        weights = self._kernels(row, np.clip(sigma, floor, 1.0)[None, :], len(self.points) + 1)
        exponent = np.minimum(
            self._exponents(features, weights)[:, 0] if len(self.large) else features @ weights[0], 80.0
        )
        kernel: NDArray[np.float64] = np.exp(exponent.astype(np.float64))
        return kernel

    def sample(self, rng: np.random.Generator, count: int) -> Points:
        """Draw points of the unit cube from the density. Returns `[count, d]`."""
        draws = rng.random((count, self.cube.dim))
        rows = rng.integers(0, len(self.points) + 1, count)
        own = rows < len(self.points)  # the others come from the uniform kernel
        if not own.any():
            return draws
        mu, sigma = self.points[rows[own]], self.sigmas[rows[own]]
        known = ~np.isnan(mu)
        mu = np.where(known, mu, 0.5)
        low, high = ndtr(-mu / sigma), ndtr((1 - mu) / sigma)
        normal = mu + sigma * ndtri(np.clip(low + draws[own] * (high - low), 1e-12, 1 - 1e-12))
        kept = self._categories(draws[own], mu)
        drawn = np.where(self.cube.categories > 0, kept, normal)
        draws[own] = np.where(known, np.clip(drawn, 0.0, 1.0), draws[own])
        return draws

    def _categories(self, draws: Points, mu: Points) -> Points:
        """`mu`, or with the kernel's small probability another value, drawn with the same `draws`. [M, d]"""
        total = np.maximum(self.cube.categories, 1)
        other = total / (len(self.points) + 1.0)
        change = other / (1.0 + other)
        moved = np.minimum(draws / np.maximum(change, 1e-12), 1.0)
        return np.where(draws < change, moved, mu)
