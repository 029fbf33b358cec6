"""Targets on a curve: what a network learns is a logarithm or a normal quantile of a value, what it answers the value.

All is in standard units (mean 0, variance 1 over the training rows), as `Prepared.target_scale` has them, so that
validation losses, metrics and saved models are the same as without a curve.

Shape letters: N rows, D values of a target, Q quantiles.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from automl.data.preparing.options import TARGET_SCALES
from automl.data.preparing.scaling import scores
from automl.errors import DataError, did_you_mean

Floats = NDArray[np.float64]
MOST_QUANTILES, ROWS_PER_QUANTILE = 100, 10


def fit(how: str, y: Floats, center: Floats, scale: Floats) -> dict[str, Any] | None:
    """The curve of a target, JSON-able; None for `standard`.

    - `log`: asinh(value / unit), nearly a logarithm of values far above the unit, the median of their sizes; it takes
      negative values too.
    - `quantile`: the standard normal's quantile of the share of training rows below the value, linear between.

    Args:
        how: one of `options.TARGET_SCALES`.
        y: [N, D] of the training rows, in standard units.
        center, scale: [D] value = y * scale + center.

    Raises:
        DataError: `how` is none of them.
    """
    if how == "standard":
        return None
    if how == "quantile":
        count = int(np.clip(len(y) // ROWS_PER_QUANTILE, 10, MOST_QUANTILES))
        knots = np.quantile(y, np.linspace(0, 1, count), axis=0).T
        return {"kind": how, "knots": knots.tolist()}
    if how != "log":
        raise DataError(
            f"prepare.target_scale: unknown value {how!r}{did_you_mean(how, TARGET_SCALES)};"
            f" one of {', '.join(TARGET_SCALES)}"
        )
    values = y * scale + center
    unit = np.median(np.abs(values), axis=0)
    unit = np.where(unit > 0, unit, np.abs(values).max(axis=0))
    z = np.arcsinh(values / unit)
    entries = {"unit": unit, "outer_center": center, "outer_scale": scale, "center": z.mean(0),
               "scale": np.where(z.std(0) > 0, z.std(0), 1.0), "least": z.min(0) - 1, "most": z.max(0) + 1}  # fmt: skip
    return {"kind": how, **{name: np.asarray(entry, dtype=float).tolist() for name, entry in entries.items()}}


def inside(curve: Mapping[str, Any] | None, y: Floats) -> Floats:
    """[N, D] values in standard units as the network learns them."""
    if curve is None:
        return y
    if curve["kind"] == "log":
        c = {name: np.asarray(entry) for name, entry in curve.items() if name != "kind"}
        z = np.arcsinh((y * c["outer_scale"] + c["outer_center"]) / c["unit"])
        return np.asarray((z - c["center"]) / c["scale"])
    columns = []
    for k, knots in enumerate(curve["knots"]):
        low, high = (np.searchsorted(knots, y[:, k], side) for side in ("left", "right"))
        normal = scores(len(knots))
        tied = high - low > 1  # of equal knots the middle one
        columns.append(
            np.where(tied, normal[np.minimum((low + high) // 2, len(knots) - 1)], np.interp(y[:, k], knots, normal))
        )
    return np.column_stack(columns)


def outside(curve: Mapping[str, Any] | None, z: Floats) -> Floats:
    """[N, D] values in standard units, from what a network learns; the opposite of `inside`."""
    if curve is None:
        return z
    if curve["kind"] == "log":
        c = {name: np.asarray(entry) for name, entry in curve.items() if name != "kind"}
        return np.asarray((np.sinh(z * c["scale"] + c["center"]) * c["unit"] - c["outer_center"]) / c["outer_scale"])
    return np.column_stack([np.interp(z[:, k], scores(len(knots)), knots) for k, knots in enumerate(curve["knots"])])
