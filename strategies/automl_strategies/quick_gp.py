"""A Gaussian process that plans ahead: for many quick trials, and for learning curves under early stopping."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from automl.errors import SpecError
from automl_strategies.gaussian_process import Gp
from automl_strategies.surrogates.acquisition import Acquisition
from automl_strategies.surrogates.batch_plan import Planned
from automl_strategies.surrogates.observations import Evidence
from automl_strategies.surrogates.unit_cube import Mask, Points


@dataclass(frozen=True)
class QuickGp(Planned):
    """The model of `gp`, fitted after each tenth of new results; in between its plan is followed, for next to nothing.

    For trials that end in seconds, alone or as lanes, where `gp` would keep them waiting; up to about 20 parameters,
    any number of trials. Where trials are stopped early it learns from their order at the rungs.
    """

    startup: int = 10  # quasi-random trials before the model is asked
    candidates: int = 3000  # points a plan is made of
    random_share: float = 0.1  # share of suggestions that stay random, against a model that is sure and wrong
    fitted: int = 100  # trials that length scales and noise are fitted to; the model knows up to 400

    def __post_init__(self) -> None:
        if self.startup < 2 or self.candidates < 16 or self.fitted < 16 or not 0 <= self.random_share <= 1:
            raise SpecError("quick_gp: needs startup >= 2, candidates >= 16, fitted >= 16, random_share within [0, 1]")

    def ranking(self, found: Evidence, points: Points, active: Mask, rng: np.random.Generator) -> Iterator[int]:
        """By expected improvement, each pick believed before the next: its mean is taken for what it will report.

        Belief moves no mean; the variances of all points follow from one more row of what they are whitened with.
        """
        model = Acquisition(Gp(fitted=self.fitted), found)
        features, process = model.features.of(points, active), model.model
        white = process.whiten(features)  # [n + picks, M]
        mean, variance = process.predict(white)
        likely = np.log(model.feasible(features)) if len(model.failed) else np.zeros(len(points))
        for _ in range(len(points)):
            best = int((model.worth(mean, variance) + likely).argmax())
            yield best
            likely[best] = -np.inf
            row = process.shared(features, features[best : best + 1], white, white[:, best : best + 1])
            white, variance = np.concatenate([white, row]), np.maximum(variance - row[0] ** 2, 1e-10)
