"""Tree-structured Parzen estimator: sample where good configs are dense and bad ones are not.

Bergstra et al., "Algorithms for Hyper-Parameter Optimization" (NeurIPS 2011), multivariate as in Falkner et al. (BOHB,
ICML 2018), with the bandwidths that Optuna 5 uses (the larger distance to a neighbour, clipped). Written for batches:
a density at all candidates is one matrix product, because a product of Gaussian and categorical kernels is the
exponential of an inner product of features of the candidate and features of the observation.

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
from automl_strategies.surrogates.deduplication import Taken, fill
from automl_strategies.surrogates.observations import evidence
from automl_strategies.surrogates.unit_cube import Cube, Mask, Points, encoded

Features = NDArray[np.float32]
LOG_SQRT_2PI = 0.5 * math.log(2 * math.pi)


@dataclass(frozen=True)
class Tpe(Strategy):
    """Model good and bad configs by densities and suggest where their ratio is highest; the all-round model.

    Knows conditions (an inactive parameter takes part in nothing), stopped trials (ranked by how far they got) and
    running ones (counted as bad, so that a batch spreads). Cheap: 64 suggestions at 1,000 trials in below 0.1 s.
    """

    startup: int = 10  # random trials before the model is asked
    candidates: int = 24  # draws from the good density for one suggestion
    gamma: float = 0.1  # share of the trials that count as good
    most_good: int = 25  # and how many at most
    random_share: float = 0.0  # share of suggestions that stay random

    def __post_init__(self) -> None:
        if self.startup < 1 or self.candidates < 1 or self.most_good < 1:
            raise SpecError("tpe: startup, candidates and most_good must be at least 1")
        if not 0 < self.gamma < 1:
            raise SpecError(f"tpe: gamma must lie between 0 and 1, got {self.gamma}")

    def suggest(self, history: History, n: int) -> list[Config]:
        if n == 0 or history.space.dim == 0:
            return [history.space.sample(history.rng(k)) for k in range(n)]
        found = evidence(history)
        taken = Taken(history)
        if len(found) < self.startup:
            return fill(history, n, (history.space.sample(history.rng(k)) for k in range(n)), taken)
        good = min(max(1, math.ceil(self.gamma * len(found))), self.most_good)
        bad = np.concatenate([found.points[good:], found.failed, found.pending])
        return fill(history, n, self._proposals(history, n, found.points[:good], bad, taken), taken)

    def _proposals(self, history: History, n: int, good: Points, bad: Points, taken: Taken) -> Iterator[Config]:
        cube = encoded(history)[0]
        low, high = Parzen(cube, good), Parzen(cube, bad)
        drawn = [low.sample(history.rng(k, "tpe"), self.candidates) for k in range(n)]
        points = cube.snap(np.concatenate(drawn))
        active = cube.active(points)
        features = low.features(points, active)
        ratio = low.log_density(features)
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
                if config not in taken:
                    row = np.where(active[mine][at], points[mine][at], np.nan)
                    others += high.kernel_of(row, features)  # the liar: what was just suggested counts as bad
                    yield config
                    break


class Parzen:
    """A mixture of one product kernel per observation and a uniform one, all of equal weight.

    A kernel knows nothing of the parameters that are inactive in its observation: there it is uniform.
    """

    def __init__(self, cube: Cube, points: Points) -> None:
        self.cube = cube
        self.points = points
        self.numeric = np.flatnonzero(cube.categories == 0)
        self.choices = np.flatnonzero(cube.categories > 0)
        self.sigmas = self._bandwidths(points)
        self.weights = self._kernels(points, self.sigmas, len(points))

    def _bandwidths(self, points: Points) -> Points:
        """The larger distance to the neighbours below and above, or the ends of the range, clipped. [N, d]"""
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
        """Features of observations [N, F]: the log kernel at a candidate is their inner product with its features."""
        known = ~np.isnan(points)
        at = np.where(known, points, 0.0)[:, self.numeric]
        spread = sigmas[:, self.numeric]
        inside = np.log(np.maximum(ndtr((1 - at) / spread) - ndtr(-at / spread), 1e-12))
        constant = -0.5 * (at / spread) ** 2 - np.log(spread) - LOG_SQRT_2PI - inside
        mask = known[:, self.numeric]
        parts = [-0.5 / spread**2 * mask, at / spread**2 * mask, constant * mask]
        for j in self.choices:
            total = int(self.cube.categories[j])
            other = 1.0 / (count + 1)
            table = np.full((len(points), total), math.log(other / (1 + total * other) * total))
            mine = np.minimum(np.where(known[:, j], points[:, j], 0.0) * total, total - 1).astype(np.int64)
            table[np.arange(len(points)), mine] = math.log((1 + other) / (1 + total * other) * total)
            parts.append(table * known[:, j, None])
        return np.concatenate(parts, axis=1).astype(np.float32)

    def features(self, points: Points, active: Mask) -> Features:
        """Features of candidates [M, F]; inactive coordinates are zero everywhere."""
        mask = active[:, self.numeric]
        at = np.where(mask, points[:, self.numeric], 0.0)
        parts = [at**2, at, mask.astype(np.float64)]
        for j in self.choices:
            total = int(self.cube.categories[j])
            mine = np.minimum(points[:, j] * total, total - 1).astype(np.int64)
            parts.append(np.eye(total)[mine] * active[:, j, None])
        return np.concatenate(parts, axis=1).astype(np.float32)

    def sums(self, features: Features) -> NDArray[np.float64]:
        """Sum of the kernels, one of them uniform, at candidates. [M]"""
        total = np.ones(len(features))
        for start in range(0, len(self.weights), 2048):  # bounds the memory: M x 2048 numbers
            exponent = features @ self.weights[start : start + 2048].T
            np.exp(np.minimum(exponent, 80.0, out=exponent), out=exponent)
            total += exponent.sum(axis=1, dtype=np.float64)
        return total

    def log_density(self, features: Features) -> NDArray[np.float64]:
        """Log density of the mixture at candidates, up to the same constant for all. [M]"""
        return np.log(self.sums(features))

    def kernel_of(self, point: Points, features: Features) -> NDArray[np.float64]:
        """The kernel that one more observation `point` [d] would have, at candidates. [M]"""
        row = point[None, :]
        if len(self.points):
            apart = np.abs(self.points - row)
            apart = np.where(np.isnan(apart), 1.0, apart)
            sigma = np.sort(np.partition(apart, min(1, len(apart) - 1), axis=0)[:2], axis=0)[-1]
        else:
            sigma = np.ones_like(point)
        floor = np.maximum(1.0 / min(100.0, 3.0 + len(self.points)), 0.5 / self.cube.cells)
        weights = self._kernels(row, np.clip(sigma, floor, 1.0)[None, :], len(self.points) + 1)
        exponent = np.minimum(features @ weights[0], 80.0)
        kernel: NDArray[np.float64] = np.exp(exponent.astype(np.float64))
        return kernel

    def sample(self, rng: np.random.Generator, count: int) -> Points:
        """Draws from the mixture. [count, d]"""
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
        """`mu`, or with the kernel's small probability any value, drawn with the same numbers. [M, d]"""
        total = np.maximum(self.cube.categories, 1)
        other = total / (len(self.points) + 1.0)
        change = other / (1.0 + other)
        moved = np.minimum(draws / np.maximum(change, 1e-12), 1.0)
        return np.where(draws < change, moved, mu)
