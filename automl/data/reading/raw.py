"""`Raw`, the form that all data is read into, and the conversions to it from tables, arrays and parts."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from torch import Tensor

from automl.data.cells.readings import ATTRIBUTE
from automl.data.preparing import columns
from automl.data.reading import hints
from automl.data.reading.parts import check_frames, check_labels
from automl.data.splits import NAMES, Parts
from automl.errors import DataError, did_you_mean


@dataclass
class Raw:
    """Data as read.

    Attributes:
        x: a DataFrame, or an array [rows, ...].
        y: [rows] or [rows, targets].
        target: name of y.
        form: how x is to be read: "table", "array", "image" or "sentences".
        parts: [rows] int8, the part of each row where the data came with parts (-1: none), or None.
        extra: columns that are not inputs (weights, groups, times), by name, each [rows].
        notes: a line for each decision that was made without being asked for.
        column: of the table that sentences are from; empty: from no table.
    """

    x: Any
    y: Any
    target: str
    form: str
    parts: Parts | None = None
    extra: dict[str, NDArray[Any]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    column: str = ""


def from_arrays(arrays: Mapping[str, NDArray[Any]], target: str | None, where: str) -> Raw:
    """Convert arrays with names: `x` and `y`, or `x_train` and `y_train` (also `_val`, `_test`).

    Args:
        arrays: by name, in upper or lower case.
        target: name of y where it has another one.
        where: what the message of an error calls them.

    Raises:
        DataError: names are missing, or lengths or types do not fit.
    """
    lower = {key.lower(): value for key, value in arrays.items()}
    x_name = next((n for n in ("x", "data", "images", "features") if n in lower), None)
    y_names = [target.lower()] if target else []
    y_name = next((n for n in (*y_names, "y", "target", "targets", "label", "labels") if n in lower), None)
    if x_name and y_name:
        return from_pair(lower[x_name], lower[y_name], target or y_name)
    split = {
        part: (lower[f"x_{part}"], lower[f"y_{part}"]) for part in NAMES if {f"x_{part}", f"y_{part}"} <= lower.keys()
    }
    if "train" in split:
        return _from_parts(split, target or "y", ())
    raise DataError(f"data: {where} has arrays {sorted(arrays)}; needed: x and y, or x_train and y_train (_val, _test)")


def from_object(data: Any, target: str | None, keep_out: tuple[str, ...] = ()) -> Raw:
    """Convert what a data function returned.

    Args:
        data: `(x, y)`, a DataFrame with the target in it, `(DataFrame, name of the target)`, a dict of arrays, or a
            dict with any of these for `train`, `val` and `test`.
        target: name of the target.
        keep_out: columns that are not inputs.

    Raises:
        DataError: it is none of these, or does not fit together.
    """
    if isinstance(data, pd.DataFrame):
        return from_frame(data, target, keep_out)
    if isinstance(data, tuple) and len(data) == 2 and isinstance(data[1], str):
        return from_frame(data[0], data[1], keep_out)
    if isinstance(data, tuple | list) and len(data) == 2:
        return _pair(data[0], data[1], target or "y", keep_out)
    if isinstance(data, Mapping) and "train" in data:
        unknown = [key for key in data if key not in NAMES]
        if unknown:
            raise DataError(
                f"data: unknown part {unknown[0]!r}{did_you_mean(unknown[0], NAMES)}; parts are {', '.join(NAMES)}"
            )
        return _from_parts(data, target, keep_out)
    if isinstance(data, Mapping):
        return from_arrays({k: _numpy(v) for k, v in data.items()}, target, "what the data function returned")
    raise DataError(f"data: expected (x, y), a DataFrame or a dict of parts, got {type(data).__name__}")


def _pair(x: Any, y: Any, target: str, keep_out: tuple[str, ...]) -> Raw:
    if isinstance(x, pd.DataFrame):
        if len(x) != len(y):
            raise DataError(f"data: x has {len(x)} rows, y has {len(y)}")
        return from_frame(x.reset_index(drop=True).assign(**{target: np.asarray(y)}), target, keep_out)
    return from_pair(_numpy(x), _numpy(y), target)


def _from_parts(data: Mapping[str, Any], target: str | None, keep_out: tuple[str, ...]) -> Raw:
    """Join the parts that came with the data; which rows are in which is kept in `parts`."""
    raws = [(NAMES.index(part), from_object(value, target, keep_out)) for part, value in data.items()]
    parts = np.concatenate([np.full(len(raw.y), code, dtype=np.int8) for code, raw in raws])
    first, names = raws[0][1], list(data)
    if kinds := {raw.form for _, raw in raws if raw.form != first.form}:
        raise DataError(f"data: part {names[0]} is of the form {first.form}, another one {sorted(kinds)[0]}")
    check_labels({name: raw.y for name, (_, raw) in zip(names, raws, strict=True)})
    notes: list[str] = []
    if isinstance(first.x, pd.DataFrame):
        notes = check_frames({name: raw.x for name, (_, raw) in zip(names, raws, strict=True)})
        x: Any = pd.concat([raw.x[first.x.columns] for _, raw in raws], ignore_index=True)
    else:
        shapes = {raw.x.shape[1:] for _, raw in raws}
        if len(shapes) > 1:
            raise DataError(f"data: the parts have samples of different shapes: {sorted(shapes)}")
        x = np.concatenate([raw.x for _, raw in raws])
    y = np.concatenate([np.asarray(raw.y) for _, raw in raws])
    extra = {key: np.concatenate([raw.extra[key] for _, raw in raws]) for key in first.extra}
    return Raw(x, y, first.target, first.form, parts, extra, notes)


def from_frame(
    frame: pd.DataFrame, target: str | None, keep_out: tuple[str, ...] = (), where: str = "the table"
) -> Raw:
    """Convert a table that has its target as a column; the columns `keep_out` become `extra`.

    Raises:
        DataError: a column is missing, or two have the same name.
    """
    names = pd.Index([str(name) for name in frame.columns])
    if names.has_duplicates:
        raise DataError(f"data: {where} has two columns named {names[names.duplicated()][0]!r}")
    frame = columns.plain(frame.reset_index(drop=True))
    if target is None:
        raise DataError(f"data: {where} needs `target:`, one of its columns: {_some(frame.columns)}")
    for name in (target, *keep_out):
        if name not in frame.columns:
            what = "target" if name == target else "column"
            hint = did_you_mean(name, frame.columns) or f"; columns: {_some(frame.columns)}"
            raise DataError(f"{what} {name!r} is not a column{hints.why_missing(name, frame) or hint}")
    again = hints.repeated_headers(frame)
    frame = frame[~again].reset_index(drop=True) if again.any() else frame
    extra = {name: frame[name].to_numpy() for name in keep_out}
    notes = list(frame.attrs.get(ATTRIBUTE, {}).get("file", {}).get("notes", ()))
    if again.any():
        notes.append(f"{where}: {int(again.sum())} rows that repeat the header left out")
    return Raw(frame.drop(columns=[target, *keep_out]), frame[target], target, "table", extra=extra, notes=notes)


def from_pair(x: NDArray[Any], y: NDArray[Any], target: str) -> Raw:
    """Convert x [rows, ...] (numbers, or texts [rows]) and y [rows] or [rows, targets].

    Four axes, or three of uint8, are read as images.

    Raises:
        DataError: lengths differ, or x holds neither numbers nor texts.
    """
    if len(x) != len(y):
        raise DataError(f"data: x has {len(x)} rows, y has {len(y)}")
    if x.ndim == 1 and (x.dtype.kind in "UT" or (x.dtype == object and isinstance(x[0], str))):
        return Raw(x.astype(object), y, target, "sentences")
    if x.dtype == object or x.dtype.kind in "USM":
        raise DataError(
            f"data: x has values of type {x.dtype}; arrays must be numbers (use a DataFrame for categories)"
        )
    if x.ndim == 1:
        x = x[:, None]
    image = x.ndim == 4 or (x.ndim == 3 and x.dtype == np.uint8)
    return Raw(x, y[:, 0] if y.ndim == 2 and y.shape[1] == 1 else y, target, "image" if image else "array")


def _numpy(values: Any) -> NDArray[Any]:
    return values.detach().cpu().numpy() if isinstance(values, Tensor) else np.asarray(values)


def _some(names: Any) -> str:
    shown = [str(name) for name in names]
    return ", ".join(shown[:12]) + (", ..." if len(shown) > 12 else "")
