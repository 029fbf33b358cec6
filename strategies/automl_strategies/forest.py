"""Bayesian optimization with a forest of regression trees."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy.special import log_ndtr, ndtr

from automl.errors import SpecError
from automl_strategies.surrogates.batch_plan import BatchPlanner
from automl_strategies.surrogates.drawbacks.failures import FailureModel
from automl_strategies.surrogates.drawbacks.pace import cheapness
from automl_strategies.surrogates.observations import Floats, Observations, training_rows
from automl_strategies.surrogates.transforms import targets
from automl_strategies.surrogates.trees import Trees
from automl_strategies.surrogates.unit_cube import Mask, Points

REACH = 0.08
"""Distance per parameter within which a pending config makes others less attractive."""
MOST = 500
"""Trials that a model is fitted to, see `training_rows`."""


@dataclass(frozen=True)
class Forest(BatchPlanner):
    """Fit randomized trees and suggest where most improvement is expected; for mixed and conditional spaces.

    Hutter et al., "Sequential Model-Based Optimization for General Algorithm Configuration" (SMAC, LION 2011): the
    spread of the trees' predictions is the uncertainty; candidates are random points and neighbours of the best
    configs. Knows choices, conditions and failures; a suggestion costs about 0.1 s up to thousands of trials.

    Args:
        startup: quasi-random trials before the model is used; at least 2.
        trees: in the forest; at least 2.
        candidates: points at which the expected improvement is computed; at least 16.
        random_share: share of suggestions that stay random, in case the model is sure and wrong.

    Raises:
        SpecError: an option is out of its range.

    Example:
        automl.search("space.yaml", strategy={"name": "forest", "trees": 100})
    """

    startup: int = 10
    trees: int = 50
    candidates: int = 1000
    random_share: float = 0.1

    def __post_init__(self) -> None:
        if self.startup < 2 or self.trees < 2 or self.candidates < 16 or not 0 <= self.random_share <= 1:
            raise SpecError("forest: needs startup >= 2, trees >= 2, candidates >= 16, random_share within [0, 1]")

    def plan(self, data: Observations, points: Points, active: Mask, rng: np.random.Generator) -> Iterator[int]:
        """By expected improvement; the neighbours of chosen points and of pending trials become less attractive."""
        vectors = data.cube.fixed(points, active)
        failures = FailureModel.of(data)
        score = self._gain(data, _inputs(points, active), rng, avoidable=failures is not None)
        if failures is not None:
            score += failures.discouragement(np.where(active, points, np.nan))
        score += cheapness(data, points, active)
        score += _discouraged(vectors, np.nan_to_num(data.pending, nan=0.5))
        for _ in range(len(points)):
            best = int(score.argmax())
            yield best
            score += _discouraged(vectors, vectors[best : best + 1])
            score[best] = -np.inf

    def _gain(self, data: Observations, inputs: Floats, rng: np.random.Generator, *, avoidable: bool) -> Floats:
        """The log of expected improvement times the probability of not failing, at `inputs` [M, d]. [M]

        `avoidable`: failures depend on the config, so they count as the worst value.
        """
        rows = training_rows(len(data), MOST)
        x, y = _inputs(data.points, ~np.isnan(data.points))[rows], targets(data)[rows]
        latest = data.failed[-len(x) :]
        bad = _inputs(latest, ~np.isnan(latest))
        seen, failed = np.concatenate([x, bad]), np.repeat([0.0, 1.0], [len(x), len(bad)])
        if avoidable:
            x, y = seen, np.concatenate([y, np.full(len(bad), y.max())])
        each = Trees.grow(x, y, rng, self.trees, leaf=2, split=0.8, sample=0.63).each(inputs)
        mean, deviation = each.mean(axis=0), np.sqrt(each.var(axis=0) + 1e-4)
        z = (y.min() - mean) / deviation
        gain = np.where(z > -5, np.log(np.maximum(_h(z), 1e-300)), log_ndtr(z) - np.log(np.maximum(-z, 1.0)))
        expected: Floats = gain + np.log(deviation)
        if not len(bad):
            return expected
        guard = Trees.grow(seen, failed, rng, 30, leaf=3, split=1.0, sample=1.0).each(inputs).mean(axis=0)
        likely: Floats = np.log(np.maximum(1.0 - guard, 0.02))
        return expected + likely


def _inputs(points: Points, active: Mask) -> Floats:
    """What the trees split on [M, d]: the coordinates, and -1 (outside of every range) where one is inactive."""
    return np.where(active, points, -1.0)


def _h(z: Floats) -> Floats:
    """The standardized expected improvement: phi(z) + z Phi(z)."""
    out: Floats = np.exp(-0.5 * z * z) / np.sqrt(2 * np.pi) + z * ndtr(z)
    return out


def _discouraged(vectors: Points, rows: Points) -> Floats:
    """A log penalty for each of `vectors` [M, d]: about 0 far from all `rows` [p, d], and large near one. [M]"""
    apart = (vectors**2).sum(1)[:, None] + (rows**2).sum(1) - 2 * vectors @ rows.T
    near = np.maximum(apart, 0.0) / (vectors.shape[1] * REACH**2)
    out: Floats = np.log(-np.expm1(-0.5 * near) + 1e-6).sum(1)
    return out
