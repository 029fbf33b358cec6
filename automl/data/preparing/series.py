"""Time series: windows of the past as inputs, the next values as target; parts are consecutive stretches of time."""

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
    """Rows in order of time -> x [N, window, features], y [N, horizon * targets] in standard units.

    `prepare`: `window`, `horizon` (default 1), `stride` (default 1). `target`: a column, or None for every numeric one.
    Inputs are all columns, the targets' past among them; a window of a later part may reach back into an earlier one,
    what it is to predict never does.
    """
    if split.get("time"):
        frame = frame.sort_values(str(split["time"]), kind="stable")
    frame = frame.reset_index(drop=True)
    window, horizon, stride = int(options["window"]), int(options.get("horizon", 1)), int(options.get("stride", 1))
    if min(window, horizon, stride) < 1:
        raise DataError("prepare: window, horizon and stride must be at least 1")
    names = [target] if target else [str(c) for c in frame.columns if frame[c].dtype.kind in "iuf"]
    for column in names:
        if column not in frame.columns:
            raise DataError(f"target {column!r} is not a column{did_you_mean(column, frame.columns)}")
    edges = np.round(np.concatenate([[0.0], np.cumsum(splits.shares(split))]) * len(frame)).astype(int)
    if min(np.diff(edges)[:2]) < window + horizon:
        raise DataError(f"data: {name}: {len(frame)} rows are too few for windows of {window} + {horizon}")
    notes: list[str] = []
    values = frame[names].apply(pd.to_numeric, errors="coerce").interpolate(limit_direction="both").to_numpy(np.float64)
    if not np.isfinite(values).all():
        raise DataError(f"target {', '.join(names)}: no finite value in some rows")
    train = frame.iloc[: edges[1]]
    table = tables.fit(train, values[: edges[1], 0], {**options, "categorical": "onehot"}, notes)
    features = tables.transform(table, frame).numpy()
    center, scale = values[: edges[1]].mean(0), values[: edges[1]].std(0)
    if not (scale > 0).all():
        raise DataError(f"target {', '.join(names)}: a single value in the training part")
    columns = tables.inputs_of(table)[1]
    continues = _continues(table, columns, names, center, scale)
    standard = ((values - center) / scale).astype(np.float32)
    parts = [_windows(features, standard, a, b, window, horizon, stride) for a, b in pairwise(edges)]
    preparation = {
        "version": 1, "form": "series", "table": table, "window": window, "horizon": horizon,
        "target": {"name": ", ".join(names), "kind": "regression", "center": np.tile(center, horizon).tolist(),
                   "scale": np.tile(scale, horizon).tolist()},
    }  # fmt: skip
    notes.append(f"{name}: {window} steps of {len(columns)} values predict the next {horizon} of {', '.join(names)}")
    outputs = Outputs(horizon * len(names), "values")
    inputs = Inputs((window, len(columns)), continues=continues * horizon)
    return Prepared(
        inputs, outputs, "regression", parts[0], parts[1], parts[2], [], columns, preparation,
        fingerprint(parts), notes, sample_rows(frame.iloc[edges[1] : edges[1] + window], window),
    )  # fmt: skip


def _continues(
    table: dict[str, Any], columns: list[str], names: list[str], center: NDArray[Any], scale: NDArray[Any]
) -> tuple[int, ...]:
    """For each target its own past among the inputs, where both are in the same unit; empty where one has none."""
    units = {column["name"]: (column.get("center"), column.get("scale")) for column in table["columns"]}
    same = [n in columns and np.allclose(units[n], (c, s)) for n, c, s in zip(names, center, scale, strict=True)]
    return tuple(columns.index(name) for name in names) if all(same) and not table["pca"] else ()


def _windows(x: NDArray[Any], y: NDArray[Any], first: int, end: int, window: int, horizon: int, stride: int) -> Part:
    """Windows whose targets lie in rows first .. end - 1."""
    starts = np.arange(max(first - window, 0), end - window - horizon + 1, stride)
    past = np.lib.stride_tricks.sliding_window_view(x, window, axis=0).transpose(0, 2, 1)
    ahead = np.lib.stride_tricks.sliding_window_view(y, horizon, axis=0).transpose(0, 2, 1)
    target = ahead[starts + window].reshape(len(starts), -1)
    return Part(torch.from_numpy(past[starts].copy()), torch.from_numpy(target.copy()))


def transform(preparation: Mapping[str, Any], rows: Any) -> Tensor:
    """A table of at least `window` rows -> [1, window, features], its last window; an array of N such tables -> N."""
    table, window = preparation["table"], preparation["window"]
    if isinstance(rows, np.ndarray | Tensor) and rows.ndim == 3:
        return torch.stack([tables.transform(table, np.asarray(one))[-window:] for one in rows])
    frame = rows if isinstance(rows, pd.DataFrame | np.ndarray) else pd.DataFrame(rows)
    if len(frame) < window:
        raise DataError(f"{len(frame)} rows of past are too few: the model looks back {window}")
    return tables.transform(table, frame)[-window:].unsqueeze(0)
