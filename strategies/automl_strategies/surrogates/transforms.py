"""Losses made fit for a Gaussian model: no outliers, about normal, mean 0 and variance 1."""

import numpy as np

from automl_strategies.surrogates.observations import Evidence, Floats

EXPONENTS = np.linspace(-2.0, 4.0, 61)  # of the power transform; where an optimizer would end, within 0.05


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
    values = _standard(clipped)
    moved = power(values, _exponent(values))
    return _standard(moved) if np.isfinite(moved).all() and np.ptp(moved) > 0 else values


def _exponent(values: Floats) -> float:
    """The exponent after which `values` [n] are most likely to be normal."""
    moved = power(values[None, :], EXPONENTS[:, None])
    stretch = (np.sign(values) * np.log1p(np.abs(values))).sum()
    score = -0.5 * len(values) * np.log(np.maximum(moved.var(axis=1), 1e-300)) + (EXPONENTS - 1) * stretch
    return float(EXPONENTS[int(score.argmax())])


def power(values: Floats, exponent: Floats | float) -> Floats:
    """Yeo & Johnson's transform: a power of 1 + x above zero, of 1 - x with 2 - exponent below."""
    above = _power(np.maximum(values, 0.0), exponent)
    below = _power(np.maximum(-values, 0.0), 2.0 - np.asarray(exponent))
    return above - below


def _power(values: Floats, exponent: Floats | float) -> Floats:
    e = np.asarray(exponent)
    flat = np.abs(e) < 1e-9
    log = np.log1p(values)
    out: Floats = np.where(flat, log, np.expm1(log * e) / np.where(flat, 1.0, e))
    return out


def _standard(values: Floats) -> Floats:
    spread = values.std()
    out: Floats = (values - values.mean()) / spread if spread > 0 else np.zeros(len(values))
    return out
