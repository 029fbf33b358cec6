"""Windows of a series with the values that follow them, prepared as those that a saved model was trained on."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from automl.data.preparing import tables
from automl.data.preparing.ordering import timecolumns, timeline
from automl.errors import DataError, did_you_mean

Floats = NDArray[np.float64]


def windows(
    preparation: Mapping[str, Any], frame: pd.DataFrame, stride: int, notes: list[str]
) -> tuple[NDArray[np.float32], Floats, Floats]:
    """All windows of a table of later rows, in order of time.

    Args:
        preparation: of a model of a series.
        frame: the rows, their cells typed (`deciding.typed`).
        stride: steps between the beginnings of two windows.
        notes: gets what was found about the order of the rows.

    Returns:
        (x [N, window, features] float32, y [N, horizon * targets] in the data's own unit, [N] the place in time of the
        first value that each window predicts).

    Raises:
        DataError: the model is of version 0.1, a column is missing, or there are too few rows.
    """
    if "order" not in preparation or "predicts" not in preparation:
        raise DataError("a model of a series that version 0.1 saved cannot be updated; search again")
    how, table, window = preparation["order"], preparation["table"], int(preparation["window"])
    horizon, names = int(preparation["horizon"]), list(preparation["predicts"])
    frame = frame.set_axis([str(name) for name in frame.columns], axis=1)
    for name in filter(None, (how["time"], *how["columns"], *names)):
        if name not in frame.columns:
            raise DataError(f"the rows have no column {name!r}{did_you_mean(name, frame.columns)}")
    missing = frozenset(table["reading"]["missing"])
    arranged = timeline.arrange(frame, how, missing, notes)
    values = np.column_stack([pd.to_numeric(arranged.frame[name], errors="coerce").to_numpy(dtype=np.float64)
                              for name in names])  # fmt: skip
    starts = _starts(arranged, np.isfinite(values).all(axis=1), window, horizon, stride)
    if not len(starts):
        raise DataError(f"{len(frame)} rows are too few for windows of {window} + {horizon} steps without a gap")
    features = tables.transform(dict(table), arranged.frame).numpy()
    past = np.lib.stride_tricks.sliding_window_view(features, window, axis=0).transpose(0, 2, 1)
    ahead = np.lib.stride_tricks.sliding_window_view(values, horizon, axis=0).transpose(0, 2, 1)
    y = ahead[starts + window].reshape(len(starts), -1)
    when = timecolumns.times(arranged.frame, how, missing) if how["time"] else np.arange(len(values), dtype=np.float64)
    order = when[starts + window]
    by_time = np.argsort(order, kind="stable")
    return past[starts][by_time].copy(), y[by_time], order[by_time]


def _starts(
    rows: timeline.Arranged, known: NDArray[np.bool_], window: int, horizon: int, stride: int
) -> NDArray[np.int64]:
    """The first rows of windows that lie in one series, span no gap, and predict no missing value."""
    span = window + horizon
    found = np.arange(0, max(len(rows.series) - span + 1, 0), stride)
    same = rows.series[found] == rows.series[found + span - 1] if len(found) else np.zeros(0, dtype=bool)
    gaps, unknown = np.append(0, np.cumsum(rows.gap)), np.append(0, np.cumsum(~known))
    whole = gaps[found + span] == gaps[found + 1] if len(found) else same
    sure = unknown[found + span] == unknown[found + window] if len(found) else same
    return np.asarray(found[same & whole & sure])
