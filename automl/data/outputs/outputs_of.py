"""The entry of a target in the preparation, and the outputs of a network that predicts it."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from automl.data import curves, targets
from automl.data.preparing.options import variant
from automl.data.reading.raw import Raw
from automl.data.shapes import Outputs
from automl.errors import DataError


def entry(names: Sequence[str], target: targets.Target, y: NDArray[Any], options: Mapping[str, Any]) -> dict[str, Any]:
    """What `preparation["target"]` holds of a target.

    Args:
        names: of the columns.
        target: what was found out about them.
        y: that of the training rows.
        options: those of `prepare:`.
    """
    name, more = ", ".join(names), {"columns": list(names)} if len(names) > 1 else {}
    reading = {"reading": target.reading} if target.reading else {}
    if target.kind == "classification":
        return {"name": name, "kind": target.kind, "classes": target.classes, **variant(options), **reading}
    if variant(options).get("variant") == "labels":
        return _labels(name, target, y)
    lacking = np.isnan(y)
    for k in np.flatnonzero(lacking.all(axis=0)).tolist():
        raise DataError(f"target {names[k]!r} has no value in the training part: there is nothing to learn")
    center, scale = (np.nanmean(y, 0), np.nanstd(y, 0)) if lacking.any() else (y.mean(axis=0), y.std(axis=0))
    for k in np.flatnonzero(~(scale > 0)).tolist():
        which = names[k] if more else name
        raise DataError(f"target {which!r} has a single value in the training part: there is nothing to learn")
    entry = {"name": name, "kind": target.kind, **more, "center": center.tolist(), "scale": scale.tolist(), **reading}
    entry |= variant(options)
    if entry.get("variant") != "counts":
        return entry
    for k in np.flatnonzero(np.nanmin(target.y, axis=0) < 0).tolist():
        raise DataError(f"target {names[k]!r} has values below 0, which are no counts; leave `task: counts` out")
    return entry | {"center": [0.0] * len(center), "scale": center.tolist()}


def _labels(name: str, target: targets.Target, y: NDArray[Any]) -> dict[str, Any]:
    for k in np.flatnonzero(y.min(axis=0) == y.max(axis=0)).tolist():
        raise DataError(f"label {target.classes[k]!r}: no row of the training part has it, or all; split differently")
    count = len(target.classes)
    return {"name": name, "kind": target.kind, "variant": "labels", "columns": target.classes,
            "center": [0.0] * count, "scale": [1.0] * count}  # fmt: skip


def classes(raw: Raw, entry: Mapping[str, Any]) -> Outputs:
    """What a model of classes returns."""
    count = len(entry["classes"])
    if entry.get("variant") != "ordinal":
        return Outputs(count, "classes")
    raw.notes.append(f"target {raw.target!r}: {count} classes with an order, from {entry['classes'][0]!r} on")
    return Outputs(count, "classes", None, {"kind": "ordinal"})


def values(
    raw: Raw, entry: Mapping[str, Any], y: NDArray[Any], train: NDArray[np.bool_], options: Mapping[str, Any]
) -> Outputs:
    """What a model of values [N, D] returns: the values, their quantiles, or the rates of counts."""
    curve, count = _curve(raw, entry, y, train, options), y.shape[1]
    if levels := entry.get("quantiles", ()):
        if curve is not None and count > 1:
            raise DataError("prepare.target_scale: quantiles of several targets have none; leave it out")
        raw.notes.append(f"target {raw.target!r}: {len(levels)} quantiles are predicted")
        return Outputs(count * len(levels), "values", curve, {"kind": "quantiles", "each": len(levels)})
    if entry.get("variant") == "counts":
        raw.notes.append(f"target {raw.target!r}: counts, learned by the Poisson loss")
        return Outputs(count, "values", None, {"kind": "counts"})
    return Outputs(count, "values", curve, {"kind": "labels"} if entry.get("variant") == "labels" else None)


def _curve(
    raw: Raw, entry: Mapping[str, Any], y: NDArray[Any], train: NDArray[np.bool_], options: Mapping[str, Any]
) -> dict[str, Any] | None:
    """The curve on which values [N, D] are learned, fitted on those of the training rows."""
    how = str(options.get("target_scale", "standard"))
    if how != "standard" and np.isnan(y).any():
        raise DataError("prepare.target_scale: it needs every target in every row, and some are missing: leave it out")
    center, scale = np.asarray(entry["center"]), np.asarray(entry["scale"])
    curve = curves.fit(how, (y[train] - center) / scale, center, scale)
    if curve is not None:
        what = {"log": "logarithm", "quantile": "normal quantile"}[how]
        raw.notes.append(f"target {raw.target!r}: models learn its {what}; scores are those of its values")
    return curve
