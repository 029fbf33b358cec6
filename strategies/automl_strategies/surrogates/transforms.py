"""The output transform: losses made fit for a Gaussian model, without outliers, with mean 0 and variance 1."""

import numpy as np

from automl_strategies.surrogates.observations import Floats, Observations

EXPONENTS = np.linspace(-2.0, 4.0, 61)
"""Exponents of the power transform that are tried: the best of them is within 0.05 of what an optimizer would find."""


def targets(data: Observations) -> Floats:
    """What a regression model predicts for each row of `data.points` [n], lower is better.

    If all trials ran their full length: their losses after a power transform (as in HEBO, Cowen-Rivers et al. 2022).
    Otherwise: normal scores of the ranks, the only scale that stopped and full trials share.
    """
    return output_transform(data.losses) if data.comparable else standardized(data.scores())


def output_transform(losses: Floats) -> Floats:
    """Losses [n] clipped, made as normal as a power transform can, and standardized. [n]"""
    if len(losses) < 3 or np.ptp(losses) == 0:
        return np.zeros(len(losses))
    low, middle, high = np.quantile(losses, [0.0, 0.5, 0.9])
    scale = middle - low or high - low or np.ptp(losses)
    clipped = np.minimum((losses - middle) / scale, 5.0)  # how far a loss is above the median matters only so far
    values = standardized(clipped)
    transformed = yeo_johnson(values, _exponent(values))
    return standardized(transformed) if np.isfinite(transformed).all() and np.ptp(transformed) > 0 else values


def _exponent(values: Floats) -> float:
    """The exponent with the highest normal likelihood of the transformed `values` [n]."""
    transformed = yeo_johnson(values[None, :], EXPONENTS[:, None])
    stretch = (np.sign(values) * np.log1p(np.abs(values))).sum()
    score = -0.5 * len(values) * np.log(np.maximum(transformed.var(axis=1), 1e-300)) + (EXPONENTS - 1) * stretch
    return float(EXPONENTS[int(score.argmax())])


def yeo_johnson(values: Floats, exponent: Floats | float) -> Floats:
    """The power transform of Yeo & Johnson (2000): a power of 1 + x for x >= 0, of 1 - x with 2 - exponent below."""
    above = _power(np.maximum(values, 0.0), exponent)
    below = _power(np.maximum(-values, 0.0), 2.0 - np.asarray(exponent))
    return above - below


def _power(values: Floats, exponent: Floats | float) -> Floats:
    """((1 + x)^e - 1) / e, and log(1 + x) for e = 0."""
    e = np.asarray(exponent)
    flat = np.abs(e) < 1e-9
    log = np.log1p(values)
    out: Floats = np.where(flat, log, np.expm1(log * e) / np.where(flat, 1.0, e))
    return out


def standardized(values: Floats) -> Floats:
    """`values` with mean 0 and variance 1; zeros where all are equal."""
    spread = values.std()
    out: Floats = (values - values.mean()) / spread if spread > 0 else np.zeros(len(values))
    return out
