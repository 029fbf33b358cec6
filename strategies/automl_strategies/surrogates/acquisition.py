"""The acquisition function of a Gaussian process: where it expects improvement, and the climb to its maxima.

The expected improvement is that of Jones et al. (1998), as its logarithm (Ament et al. 2023); configs that are running
are believed to have the model's own mean (Ginsbourger et al. 2010); failures count as a probability that a config can
be trained at all.

Shapes: `M` points, `F` features, `d` parameters, `n` observations.
"""

from collections.abc import Iterator

import numpy as np

from automl.core.history import History
from automl.core.space import Config
from automl_strategies.surrogates.deduplication import SeenConfigs
from automl_strategies.surrogates.drawbacks.failures import FailureModel
from automl_strategies.surrogates.drawbacks.pace import PaceModel
from automl_strategies.surrogates.gp import (
    Features,
    GaussianProcess,
    log_expected_improvement,
    log_expected_improvement_slopes,
    matern,
    matern_slope,
)
from automl_strategies.surrogates.observations import Floats, Observations, training_rows
from automl_strategies.surrogates.transforms import standardized, targets
from automl_strategies.surrogates.unit_cube import Mask, Points


class Acquisition:
    """A Gaussian process that is fitted to the observations, and its expected improvement.

    Args:
        data: the observations.
        candidates: points at which the acquisition is computed before the best are climbed from.
        most: trials that the model knows, see `training_rows`.
        fitted: how many of these its length scales and noise are fitted to.
        climbs: starting points of the gradient ascent.
        values: what the process learns [n]; None: see `targets`.
    """

    def __init__(
        self,
        data: Observations,
        *,
        candidates: int = 768,
        most: int = 400,
        fitted: int = 400,
        climbs: int = 6,
        values: Floats | None = None,
    ) -> None:
        self.data, self.candidates, self.climbs = data, candidates, climbs
        self.cube = data.cube
        self.features = Features(self.cube, np.concatenate([data.points, data.pending, data.failed]))
        x, y = self.features.of(data.points), targets(data) if values is None else values
        some, kept = training_rows(len(data), min(fitted, most)), training_rows(len(data), most)
        self.failed = self.features.of(data.failed[-most:])
        self.failures, self.pace = FailureModel.of(data), PaceModel.of(data)
        model = GaussianProcess.fit(*self._with_failures(x[some], y[some]), self.features.owner, self.cube.dim)
        if len(some) < len(kept):
            model = model.of(*self._with_failures(x[kept], y[kept]))
        x = x[kept]
        mean, _ = model.predict(model.whiten(x))
        self.best = float(mean.min())  # the best mean, not the best value: a value may be good by luck
        self.model = model.believing(self.features.of(data.pending[-most:]))
        self.good, self.kept, self._learned = x, kept, y[kept]

    def _with_failures(self, x: Floats, y: Floats) -> tuple[Floats, Floats]:
        """Observations [n, F], [n], and avoidable failures as if they had the worst of these values; standardized.

        So the model itself turns away from where trials fail. A probability of success alone does not do that: the
        logarithm of the expected improvement differs by tens where that of the probability differs by one.
        """
        bad = self.failed[-len(x) :]
        if self.failures is None:
            return x, y
        values = np.concatenate([y, np.full(len(bad), y.max())])
        return np.concatenate([x, bad]), standardized(values)

    def scaled(self, value: float) -> float:
        """`value`, of the scale of what the process was given to learn, on the scale that it predicts on."""
        if self.failures is None:
            return value
        _, all_values = self._with_failures(self.good, self._learned)
        low, high = int(self._learned.argmin()), int(self._learned.argmax())
        slope = (all_values[high] - all_values[low]) / ((self._learned[high] - self._learned[low]) or 1.0)
        return float(all_values[low] + slope * (value - self._learned[low]))

    def acquisition(self, mean: Floats, variance: Floats) -> Floats:
        """The logarithm of the expected improvement at points with this mean and variance. [M]"""
        return log_expected_improvement(mean, variance, self.best)

    def acquisition_slopes(self, mean: Floats, variance: Floats) -> tuple[Floats, Floats]:
        """The derivatives of `acquisition` with respect to mean and variance. [M], [M]"""
        return log_expected_improvement_slopes(mean, variance, self.best)

    def value(self, features: Floats) -> Floats:
        """`acquisition` plus the log probability of not failing, at `features` [M, F]. [M]"""
        value = self.acquisition(*self.model.predict(self.model.whiten(features)))
        return value if not len(self.failed) else value + np.log(self.feasible(features))

    def slope(self, features: Floats) -> Floats:
        """The gradient of `value` at `features` [M, F]. [M, F]"""
        white = self.model.whiten(features)
        slope = self.model.slope(features, white, *self.acquisition_slopes(*self.model.predict(white)))
        return slope if not len(self.failed) else slope + self._feasible_slope(features)

    def feasible(self, features: Floats) -> Floats:
        """The probability of not failing at `features` [M, F]. [M]

        The share of successes among the trials nearby, weighted by the kernel, with one success added as a prior.
        """
        good, bad = (self._near(features, others) for others in (self.good, self.failed))
        probability: Floats = (good + 1.0) / (good + bad + 1.0)
        return probability

    def discouragement(self, points: Points, active: Mask) -> Floats:
        """What is added to `value` at `points` [M, d]: less where they are likely to fail, or take long. [M]"""
        known, added = np.where(active, points, np.nan), np.zeros(len(points))
        if self.failures is not None:
            added = added + self.failures.discouragement(known)
        return added if self.pace is None else added + self.pace.cheapness(known)

    def _feasible_slope(self, features: Floats) -> Floats:
        """The gradient of the log of `feasible`. [M, F]"""
        good, bad = (self._near(features, others) for others in (self.good, self.failed))
        good_slope, bad_slope = (self._near_slope(features, others) for others in (self.good, self.failed))
        slope: Floats = good_slope / (good + 1.0)[:, None] - (good_slope + bad_slope) / (good + bad + 1.0)[:, None]
        return slope

    def _near(self, features: Floats, others: Floats) -> Floats:
        """How many of `others` [n, F] are near `features` [M, F], weighted by the fourth power of the kernel. [M]"""
        count: Floats = (matern(features, others, self.model.scales) ** 4).sum(1)
        return count

    def _near_slope(self, features: Floats, others: Floats) -> Floats:
        """The gradient of `_near`. [M, F]"""
        close = matern(features, others, self.model.scales)
        return matern_slope(features, others, self.model.scales, 4.0 * close**3)

    def proposals(self, history: History, n: int, seen: SeenConfigs) -> Iterator[Config]:
        """Up to `n` new configs, the best first; each counts as running when the next one is chosen."""
        for k in range(n):
            rng = history.rng(k, "gp")
            points = self.draw(rng)
            points = np.concatenate([self.climbed(points), points])
            active = self.cube.active(points)
            value = self.value(self.features.of(points, active)) + self.discouragement(points, active)
            order = np.argsort(-value, kind="stable")
            for at in order[:64].tolist():
                config = self.cube.config(points[at])
                if config not in seen:
                    row = self.features.of(points[at : at + 1], active[at : at + 1])
                    self.model = self.model.believing(row)
                    yield config
                    break

    def draw(self, rng: np.random.Generator, parents: int = 5) -> Points:
        """The candidates: random points, and changed copies of the best `parents` configs. [M, d]"""
        count = self.candidates
        good = np.nan_to_num(self.data.points[:parents], nan=0.5)
        copies = good[rng.integers(0, len(good), count // 2)]
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
        """The best of `points` [M, d] after projected gradient ascent on their numeric coordinates. [climbs, d]

        By resilient backpropagation (Riedmiller & Braun 1993): each coordinate of each point has its own step size,
        which shrinks when the gradient changes its sign. So all points climb in one batch and end at a maximum.
        """
        active = self.cube.active(points)
        value = self.value(self.features.of(points, active))
        at = np.argsort(-value, kind="stable")[: self.climbs]
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
