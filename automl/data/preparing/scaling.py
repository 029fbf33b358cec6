"""Numbers of a column in ordinary size: a center and a scale, and for some ways of scaling a curve after them."""

from collections.abc import Mapping
from functools import lru_cache
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

from automl.data.preparing.options import SCALES
from automl.errors import DataError, did_you_mean

Floats = NDArray[np.float64]
LIMIT = 3.0
"""`robust_clip` bends values towards this size (Holzmüller et al. 2024, "Better by default", section 3)."""
MOST_KNOTS, ROWS_PER_KNOT = 400, 10
"""Quantiles kept of a column, and training rows for each of them at least."""
NOISE = 1e-3
"""Standard deviation of the noise on scaled training values, by which equal ones get quantiles of their own."""


def center_and_scale(numbers: Floats, how: str) -> tuple[float, float]:
    """(center, scale) so that (value - center) / scale is of ordinary size; the scale is never 0.

    Args:
        numbers: [N] of the training rows, without missing ones.
        how: one of `options.SCALES`.

    Raises:
        DataError: `how` is none of them.
    """
    if how in ("standard", "quantile"):
        center, scale = numbers.mean(), numbers.std()
    elif how in ("robust", "robust_clip"):
        low, center, high = np.percentile(numbers, [25, 50, 75])
        scale = (high - low) / (1.349 if how == "robust" else 1.0)
    elif how == "minmax":
        center, scale = numbers.min(), numbers.max() - numbers.min()
    elif how == "none":
        center, scale = 0.0, 1.0
    else:
        raise DataError(f"prepare.scale: unknown value {how!r}{did_you_mean(how, SCALES)}; one of {', '.join(SCALES)}")
    return float(center), float(scale) if np.isfinite(scale) and scale > 0 else float(numbers.std()) or 1.0


def bending(scaled: Floats, how: str) -> dict[str, Any]:
    """What a column's entry holds of the curve through which its scaled numbers go; empty where there is none.

    Args:
        scaled: [N] of the training rows.
        how: one of `options.SCALES`.
    """
    if how == "robust_clip":
        return {"limit": LIMIT}
    if how != "quantile":
        return {}
    noisy = scaled + NOISE * np.random.default_rng(0).standard_normal(len(scaled))
    count = int(np.clip(len(noisy) // ROWS_PER_KNOT, 10, MOST_KNOTS))
    knots = np.quantile(noisy, np.linspace(0, 1, count))
    return {"knots": [float(knot) for knot in np.maximum.accumulate(knots)]}


def is_bent(column: Mapping[str, Any]) -> bool:
    """Whether numbers of a column go through a curve after they were scaled."""
    return "knots" in column or "limit" in column


def bent(scaled: Floats, column: Mapping[str, Any]) -> Floats:
    """Scaled numbers through the curve of their column; missing ones stay missing.

    - `limit`: x / sqrt(1 + (x / limit)^2), nearly x where it is small, never beyond the limit;
    - `knots`: the standard normal's quantile of the share of training rows below x, linear between the knots.
    """
    if "limit" in column:
        limit = float(column["limit"])
        return np.asarray(scaled / np.sqrt(1 + np.square(scaled / limit)), dtype=np.float64)
    if "knots" in column:
        knots = np.asarray(column["knots"], dtype=np.float64)
        return np.asarray(np.interp(scaled, knots, scores(len(knots))), dtype=np.float64)
    return scaled


@lru_cache
def scores(count: int) -> Floats:
    """[count] standard normal quantiles of evenly spaced shares; half a step from 0 and 1 at the ends."""
    shares = np.clip(np.linspace(0, 1, count), 0.5 / count, 1 - 0.5 / count)
    normal = NormalDist()
    return np.array([normal.inv_cdf(float(share)) for share in shares])
