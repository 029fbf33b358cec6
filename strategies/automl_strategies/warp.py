"""Losses made fit for a Gaussian model: no outliers, about normal, mean 0 and variance 1."""

import warnings

import numpy as np
from scipy import stats

from automl_strategies.evidence import Evidence, Floats


def targets(found: Evidence) -> Floats:
    """What a regression model is to predict for each row of `found.points`, lower is better. [n]

    With full trials only: their losses after a power transform (Yeo & Johnson 2000, as in HEBO, Cowen-Rivers et al.
    2022). With stopped ones among them: normal scores of the order, the only scale they share.
    """
    return warped(found.losses) if found.comparable else _standard(found.scores())


def warped(losses: Floats) -> Floats:
    """Losses through a robust clip and the most normal power transform, standardized. [n]"""
    if len(losses) < 3 or np.ptp(losses) == 0:
        return np.zeros(len(losses))
    low, middle, high = np.quantile(losses, [0.0, 0.5, 0.9])
    scale = middle - low or high - low or np.ptp(losses)
    clipped = np.minimum((losses - middle) / scale, 5.0)  # far above the median, how far does not matter
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # an exponent at the end of its range
        moved, _ = stats.yeojohnson(_standard(clipped))
    return _standard(moved) if np.isfinite(moved).all() and np.ptp(moved) > 0 else _standard(clipped)


def _standard(values: Floats) -> Floats:
    spread = values.std()
    out: Floats = (values - values.mean()) / spread if spread > 0 else np.zeros(len(values))
    return out
