"""What a step of a config is going to take, where the time of a search is all that limits it.

The expected improvement is then divided by the expected seconds, to the power of `Observations.haste`: cheap configs
are tried first, and costly ones once little time is left to be saved. The seconds of a step are predicted by ridge
regression of their logarithm, and only where that predicts trials that it has not seen.

Shapes: `n` trials, `M` candidates, `d` parameters, `F` features.
"""

from dataclasses import dataclass

import numpy as np

from automl_strategies.surrogates.drawbacks.failures import design, inputs, left_out, ridge
from automl_strategies.surrogates.observations import Floats, Observations
from automl_strategies.surrogates.unit_cube import Mask, Points, UnitCube

LEAST = 8
"""Trials whose seconds must be known."""
SKILL = 0.3
"""Share of the variance of the log seconds that must be explained."""
SPREAD = 0.1
"""Standard deviation of the log seconds below which all configs count as equally fast."""
PENALTY = 0.1
"""Of the ridge regression: the logarithm of the seconds is smooth in the parameters."""


@dataclass(frozen=True)
class PaceModel:
    """Predicts the log seconds of a step; see `of`."""

    cube: UnitCube
    weights: Floats  # [1 + F]
    range: tuple[float, float]  # of what was seen: predictions stay within it
    haste: float

    @classmethod
    def of(cls, data: Observations) -> "PaceModel | None":
        """The model for `data`; None where time does not count, too little is known, or seconds cannot be predicted."""
        known = ~np.isnan(data.paces)
        if data.haste <= 0 or known.sum() < LEAST:
            return None
        x, y = _inputs(data.cube, data.points[known]), data.paces[known]
        if y.std() < SPREAD:
            return None
        centered = y - y.mean()
        if float(((centered - left_out(x, centered, PENALTY)) ** 2).mean()) > (1 - SKILL) * float(y.var()):
            return None
        return cls(
            data.cube, ridge(x, PENALTY)[1] @ centered, (float(centered.min()), float(centered.max())), data.haste
        )

    def cheapness(self, points: Points) -> Floats:
        """What is added to the log of an expected improvement at `points` [M, d] (NaN where inactive). [M]"""
        paces = np.clip(design(_inputs(self.cube, points)) @ self.weights, *self.range)
        result: Floats = -self.haste * paces
        return result


def cheapness(data: Observations, points: Points, active: Mask) -> Floats:
    """What the seconds of a step add to the log of the expected improvement at `points` [M, d]. [M]"""
    model = PaceModel.of(data)
    return np.zeros(len(points)) if model is None else model.cheapness(np.where(active, points, np.nan))


def _inputs(cube: UnitCube, points: Points) -> Floats:
    """The features, and the squares of those of numbers: seconds need not grow evenly. [n, 2 F]"""
    x = inputs(cube, points)
    return np.concatenate([x, 2.0 * (x - 0.5) ** 2], axis=1)
