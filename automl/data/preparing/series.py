"""Time series: windows of the past as inputs, the next values as target. Parts are consecutive in time."""

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from automl.data import splits
from automl.data.prepared import Part, Prepared, fingerprint, sample_rows
from automl.data.preparing import tables
from automl.data.shapes import Inputs, Outputs
from automl.errors import DataError, did_you_mean


def load_series(
    frame: pd.DataFrame, target: str | None, split: Mapping[str, Any], options: dict[str, Any], name: str
) -> Prepared:
    """Cut a table, its rows in order of time, into windows of the past and the values that follow them.

    x: [N, window, features], all columns, the targets' own past included. y: [N, horizon * targets] in standard units.
    The windows of a part may reach back into the part before it; the values to predict never do.

    Args:
        frame: the table.
        target: a column, or None for every numeric one.
        split: shares of the rows; `time`: column to sort by.
        options: those of `prepare:`; `window`, `horizon` (default 1) and `stride` (default 1) in rows.
        name: of the data, for messages.

    Raises:
        DataError: a target is missing or constant, or there are too few rows.
    """
    if split.get("time"):
        frame = frame.sort_values(str(split["time"]), kind="stable")
    frame = frame.reset_index(drop=True)
    window, horizon, stride = _spans(options)
    edges = np.round(np.concatenate([[0.0], np.cumsum(splits.shares(split))]) * len(frame)).astype(int)
    names = [target] if target else [str(c) for c in frame.columns if frame[c].dtype.kind in "iuf"]
    values = _target_values(frame, names)
    if min(np.diff(edges)[:2]) < window + horizon:
        raise DataError(f"data: {name}: {len(frame)} rows are too few for windows of {window} + {horizon}")
    notes: list[str] = []
    train = values[: edges[1]]
    table = tables.fit(frame.iloc[: edges[1]], train[:, 0], {**options, "categorical": "onehot"}, notes)
    features = tables.transform(table, frame).numpy()
    center, scale = train.mean(0), train.std(0)
    if not (scale > 0).all():
        raise DataError(f"target {', '.join(names)}: a single value in the training part")
    columns = tables.inputs_of(table)[1]
    inputs = Inputs((window, len(columns)), continues=_continues(table, columns, names, center, scale) * horizon)
    standard = ((values - center) / scale).astype(np.float32)
    parts = [_windows(features, standard, a, b, window, horizon, stride) for a, b in pairwise(edges)]
    preparation = {
        "version": 1, "form": "series", "table": table, "window": window, "horizon": horizon,
        "target": {"name": ", ".join(names), "kind": "regression", "center": np.tile(center, horizon).tolist(),
                   "scale": np.tile(scale, horizon).tolist()},
    }  # fmt: skip
    notes.append(f"{name}: {window} steps of {len(columns)} values predict the next {horizon} of {', '.join(names)}")
    return Prepared(
        inputs, Outputs(horizon * len(names), "values"), "regression", parts[0], parts[1], parts[2], [], columns,
        preparation, fingerprint(parts), notes, sample_rows(frame.iloc[edges[1] : edges[1] + window], window),
    )  # fmt: skip


def _spans(options: Mapping[str, Any]) -> tuple[int, int, int]:
    """(window, horizon, stride), in rows."""
    window, horizon, stride = int(options["window"]), int(options.get("horizon", 1)), int(options.get("stride", 1))
    if min(window, horizon, stride) < 1:
        raise DataError("prepare: window, horizon and stride must be at least 1")
    return window, horizon, stride


def _target_values(frame: pd.DataFrame, names: list[str]) -> NDArray[np.float64]:
    """[rows, targets] of the targets, gaps filled by linear interpolation."""
    for name in names:
        if name not in frame.columns:
            raise DataError(f"target {name!r} is not a column{did_you_mean(name, frame.columns)}")
    numbers = frame[names].apply(pd.to_numeric, errors="coerce").interpolate(limit_direction="both")
    values: NDArray[np.float64] = numbers.to_numpy(np.float64)
    if not np.isfinite(values).all():
        raise DataError(f"target {', '.join(names)}: no finite value in some rows")
    return values


def _continues(
    table: dict[str, Any], columns: list[str], names: list[str], center: NDArray[Any], scale: NDArray[Any]
) -> tuple[int, ...]:
    """The input column that holds each target's own past in the target's unit; empty where a target has none."""
    units = {column["name"]: (column.get("center"), column.get("scale")) for column in table["columns"]}
    same = [n in columns and np.allclose(units[n], (c, s)) for n, c, s in zip(names, center, scale, strict=True)]
    return tuple(columns.index(name) for name in names) if all(same) and not table["pca"] else ()


def _windows(x: NDArray[Any], y: NDArray[Any], first: int, end: int, window: int, horizon: int, stride: int) -> Part:
    """The windows whose targets lie in rows first .. end - 1. x: [rows, features], y: [rows, targets]."""
    starts = np.arange(max(first - window, 0), end - window - horizon + 1, stride)
    past = np.lib.stride_tricks.sliding_window_view(x, window, axis=0).transpose(0, 2, 1)
    ahead = np.lib.stride_tricks.sliding_window_view(y, horizon, axis=0).transpose(0, 2, 1)
    target = ahead[starts + window].reshape(len(starts), -1)
    return Part(torch.from_numpy(past[starts].copy()), torch.from_numpy(target.copy()))


def transform(preparation: Mapping[str, Any], rows: Any, unread: list[str] | None = None) -> Tensor:
    """Prepare the last window of a table -> [1, window, features]; of an array of N tables -> [N, window, features].

    Raises:
        DataError: there are fewer rows than a window has.
    """
    table, window = preparation["table"], preparation["window"]
    if isinstance(rows, np.ndarray | Tensor) and rows.ndim == 3:
        return torch.stack([tables.transform(table, np.asarray(one))[-window:] for one in rows])
    frame = rows if isinstance(rows, pd.DataFrame | np.ndarray) else pd.DataFrame(rows)
    if len(frame) < window:
        raise DataError(f"{len(frame)} rows of past are too few: the model looks back {window}")
    return tables.transform(table, frame, unread)[-window:].unsqueeze(0)
