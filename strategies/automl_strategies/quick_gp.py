"""Bayesian optimization with a Gaussian process that plans ahead."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from automl.errors import SpecError
from automl_strategies.surrogates.batch_plan import BatchPlanner
from automl_strategies.surrogates.observations import Observations
from automl_strategies.surrogates.unit_cube import Mask, Points


@dataclass(frozen=True)
class QuickGp(BatchPlanner):
    """The model of `gp`, fitted after each tenth of new results and followed in between; for many quick trials.

    For trials that take seconds, alone or as lanes, where `gp` would keep them waiting; up to about 20 parameters, any
    number of trials. Where trials are stopped early it learns from their order at the rungs.

    Args:
        startup: quasi-random trials before the model is used; at least 2.
        candidates: points that a plan chooses from; at least 16.
        random_share: share of suggestions that stay random, in case the model is sure and wrong.
        fitted: trials that length scales and noise are fitted to, at least 16; the model knows up to 400.

    Raises:
        SpecError: an option is out of its range.

    Example:
        automl.search("space.yaml", strategy={"name": "quick_gp", "random_share": 0.2})
    """

    startup: int = 10
    candidates: int = 3000
    random_share: float = 0.1
    fitted: int = 100

    def __post_init__(self) -> None:
        if self.startup < 2 or self.candidates < 16 or self.fitted < 16 or not 0 <= self.random_share <= 1:
            raise SpecError("quick_gp: needs startup >= 2, candidates >= 16, fitted >= 16, random_share within [0, 1]")

    def plan(self, data: Observations, points: Points, active: Mask, rng: np.random.Generator) -> Iterator[int]:
        """By expected improvement; each chosen point is believed to have the model's mean when the next is chosen.

        Believing changes no mean; the new variances of all points follow from one more row of the whitened matrix.
        """
        from automl_strategies.surrogates.acquisition import Acquisition  # loads much of scipy: only when it is needed

        model = Acquisition(data, fitted=self.fitted)
        features, process = model.features.of(points, active), model.model
        white = process.whiten(features)  # [n + chosen points, M]
        mean, variance = process.predict(white)
        likely = np.log(model.feasible(features)) if len(model.failed) else np.zeros(len(points))
        likely += model.discouragement(points, active)
        for _ in range(len(points)):
            best = int((model.acquisition(mean, variance) + likely).argmax())
            yield best
            likely[best] = -np.inf
            row = process.shared(features, features[best : best + 1], white, white[:, best : best + 1])
            white, variance = np.concatenate([white, row]), np.maximum(variance - row[0] ** 2, 1e-10)
