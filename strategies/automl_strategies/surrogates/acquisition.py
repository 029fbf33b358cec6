"""Acquisition."""

from collections.abc import Iterator

import numpy as np

from automl.core.history import History
from automl.core.space import Config
from automl_strategies.gaussian_process import Gp
from automl_strategies.surrogates.deduplication import Taken
from automl_strategies.surrogates.gp import (
    Features,
    GaussianProcess,
    log_expected_improvement,
    log_expected_improvement_slopes,
    matern,
    matern_slope,
)
from automl_strategies.surrogates.observations import Evidence, Floats, telling
from automl_strategies.surrogates.transforms import targets
from automl_strategies.surrogates.unit_cube import Points


class Acquisition:
    """The model of one history, and where it expects improvement."""

    def __init__(self, options: Gp, found: Evidence) -> None:
        self.options, self.found = options, found
        self.cube = found.cube
        self.features = Features(self.cube)
        x, y = self.features.of(found.points), targets(found)
        some, kept = telling(len(found), min(options.fitted, options.most)), telling(len(found), options.most)
        model = GaussianProcess.fit(x[some], y[some], self.features.owner, self.cube.dim)
        x, model = x[kept], model if len(some) == len(kept) else model.of(x[kept], y[kept])
        mean, _ = model.predict(model.whiten(x))
        self.best = float(mean.min())  # the best *believed* value: a lucky noisy one does not count
        self.model = model.believing(self.features.of(found.pending[-options.most :]))
        self.good = x
        self.failed = self.features.of(found.failed[-options.most :])

    def worth(self, mean: Floats, variance: Floats) -> Floats:
        """What makes a point promising: the log of the expected improvement. [M]"""
        return log_expected_improvement(mean, variance, self.best)

    def worth_slopes(self, mean: Floats, variance: Floats) -> tuple[Floats, Floats]:
        """Its derivatives with respect to mean and variance. [M], [M]"""
        return log_expected_improvement_slopes(mean, variance, self.best)

    def value(self, features: Floats) -> Floats:
        """What makes a point promising plus the log probability of not failing, at `features` [M, F] -> [M]."""
        value = self.worth(*self.model.predict(self.model.whiten(features)))
        return value if not len(self.failed) else value + np.log(self.feasible(features))

    def slope(self, features: Floats) -> Floats:
        """The gradient of `value`. [M, F]"""
        white = self.model.whiten(features)
        slope = self.model.slope(features, white, *self.worth_slopes(*self.model.predict(white)))
        return slope if not len(self.failed) else slope + self._feasible_slope(features)

    def feasible(self, features: Floats) -> Floats:
        """Probability of not failing: failures and successes nearby, weighted by the kernel; one prior success."""
        good, bad = (self._near(features, others) for others in (self.good, self.failed))
        probability: Floats = (good + 1.0) / (good + bad + 1.0)
        return probability

    def _feasible_slope(self, features: Floats) -> Floats:
        """The gradient of its log. [M, F]"""
        good, bad = (self._near(features, others) for others in (self.good, self.failed))
        good_slope, bad_slope = (self._near_slope(features, others) for others in (self.good, self.failed))
        slope: Floats = good_slope / (good + 1.0)[:, None] - (good_slope + bad_slope) / (good + bad + 1.0)[:, None]
        return slope

    def _near(self, features: Floats, others: Floats) -> Floats:
        """How many of `others` [n, F] are near `features` [M, F], by the kernel's fourth power. [M]"""
        count: Floats = (matern(features, others, self.model.scales) ** 4).sum(1)
        return count

    def _near_slope(self, features: Floats, others: Floats) -> Floats:
        """Its gradient. [M, F]"""
        close = matern(features, others, self.model.scales)
        return matern_slope(features, others, self.model.scales, 4.0 * close**3)

    def proposals(self, history: History, n: int, taken: Taken) -> Iterator[Config]:
        """Up to `n` configs, each believed before the next is chosen."""
        for k in range(n):
            rng = history.rng(k, "gp")
            points = self.candidates(rng)
            points = np.concatenate([self.climbed(points), points])
            active = self.cube.active(points)
            order = np.argsort(-self.value(self.features.of(points, active)), kind="stable")
            for at in order[:64].tolist():
                config = self.cube.config(points[at])
                if config not in taken:
                    row = self.features.of(points[at : at + 1], active[at : at + 1])
                    self.model = self.model.believing(row)
                    yield config
                    break

    def candidates(self, rng: np.random.Generator) -> Points:
        """Random points, and changed copies of the best configs. [M, d]"""
        count = self.options.candidates
        parents = np.nan_to_num(self.found.points[:5], nan=0.5)
        copies = parents[rng.integers(0, len(parents), count // 2)]
        width = rng.choice([0.02, 0.1, 0.3], size=(len(copies), 1))
        moved = copies + width * rng.standard_normal(copies.shape)
        moved = np.where(moved < 0, -moved, np.where(moved > 1, 2 - moved, moved))
        fresh = rng.random(copies.shape)
        change = rng.random(copies.shape) < np.maximum(2.0 / self.cube.dim, 0.2)
        change[np.arange(len(copies)), rng.integers(0, self.cube.dim, len(copies))] = True
        moved = np.where(self.cube.categories > 0, fresh, moved)
        return self.cube.snap(
            np.concatenate([rng.random((count - len(copies), self.cube.dim)), np.where(change, moved, copies)])
        )

    def climbed(self, points: Points, steps: int = 30) -> Points:
        """The best of `points` after projected gradient ascent on their numeric coordinates. [climbs, d]

        By resilient propagation (Riedmiller & Braun 1993): each coordinate of each start has its own step, which
        shrinks when the gradient changes sign; so all starts climb in one batch, and end exactly.
        """
        active = self.cube.active(points)
        value = self.value(self.features.of(points, active))
        at = np.argsort(-value, kind="stable")[: self.options.climbs]
        points, active = points[at].copy(), active[at]
        numeric = self.features.numeric
        if not len(numeric) or not len(at):
            return points
        features, count = self.features.of(points, active), len(numeric)
        before, size = np.zeros((len(at), count)), np.full((len(at), count), 0.02)
        for _ in range(steps):
            slope = np.sign(self.slope(features)[:, :count])
            turned = slope * before < 0
            size = np.clip(np.where(turned, 0.5, np.where(slope * before > 0, 1.2, 1.0)) * size, 1e-6, 0.2)
            before = np.where(turned, 0.0, slope)
            features[:, :count] = np.clip(features[:, :count] + before * size, 0.0, 1.0)
        points[:, numeric] = np.where(active[:, numeric], features[:, :count], points[:, numeric])
        return self.cube.snap(points)
