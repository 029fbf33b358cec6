"""Time series: windows of the past as inputs, the next values as target. Parts are consecutive in time."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from automl.data import splits
from automl.data.cells import readings
from automl.data.prepared import Part, Prepared, fingerprint, sample_rows
from automl.data.preparing import columns as cols
from automl.data.preparing import given, tables
from automl.data.preparing.ordering import timeline
from automl.data.preparing.ordering.steps import counted
from automl.data.shapes import Inputs, Outputs
from automl.errors import DataError, did_you_mean

Floats = NDArray[np.float64]


def load_series(
    frame: pd.DataFrame, target: str | None, split: Mapping[str, Any], options: dict[str, Any], name: str
) -> Prepared:
    """Cut a table into windows of the past and the values that follow them.

    x: [N, window, features], all columns, the targets' own past included. y: [N, horizon * targets] in standard units.
    Rows are put in order of their time column first. A window spans neither two series nor a gap, and no value that it
    predicts is missing. The windows of a part may reach back into the part before it; the values to predict never do.

    Args:
        frame: the table, its cells typed (`deciding.typed`).
        target: a column, or None for every numeric one.
        split: shares of the rows of each series; `time`: column to sort by; `group`: column that tells series apart.
        options: those of `prepare:`; `window`, `horizon` (default 1) and `stride` (default 1) in rows;
            `series` and `gaps`.
        name: of the data, for messages.

    Raises:
        DataError: a target is missing or constant, or there are too few rows.
    """
    window, horizon, stride = _spans(options)
    notes: list[str] = list(frame.attrs[readings.ATTRIBUTE].get("file", {}).get("notes", ()))
    how = timeline.decide(frame, target, split, options, notes)
    rules = readings.rules_of(options, frame)
    names = _targets(frame, target, how)
    rows = timeline.arrange(frame, how, rules.missing_words, notes)
    frame, ends = rows.frame, _edges(rows.series, splits.shares(split))
    values = _target_values(frame, names, rules)
    part = _parts(rows.series, ends)
    _tell_missing(values, rows.inserted, names, notes)
    known = np.asarray(np.isfinite(values).all(axis=1))
    wanted = [_starts(rows, ends, code, known, window, horizon, stride) for code in range(3)]
    if not len(wanted[0]) or not len(wanted[1]):
        raise _too_few(len(frame), rows, name, window, horizon)
    _tell_short(wanted, rows, how, notes)
    train = values[part == 0]
    center, scale = np.nanmean(train, axis=0), np.nanstd(train, axis=0)
    if not (scale > 0).all():
        raise DataError(f"target {', '.join(names)}: a single value in the training part")
    table = _fit_table(frame[part == 0], train, names, center, scale, options, notes)
    features = tables.transform(table, frame).numpy()
    columns = tables.inputs_of(table)[1]
    inputs = Inputs((window, len(columns)), continues=_continues(table, columns, names, center, scale) * horizon)
    standard = ((values - center) / scale).astype(np.float32)
    parts = [_windows(features, standard, starts, window, horizon) for starts in wanted]
    preparation = {
        "version": 1, "form": "series", "table": table, "window": window, "horizon": horizon, "order": how,
        "predicts": names,
        "target": {"name": ", ".join(names), "kind": "regression", "center": np.tile(center, horizon).tolist(),
                   "scale": np.tile(scale, horizon).tolist()},
    }  # fmt: skip
    notes.append(f"{name}: {window} steps of {len(columns)} values predict the next {horizon} of {', '.join(names)}")
    first = wanted[1][0]
    return Prepared(
        inputs, Outputs(horizon * len(names), "values"), "regression", parts[0], parts[1], parts[2], [], columns,
        preparation, fingerprint(parts), notes, sample_rows(frame.iloc[first : first + window], window),
    )  # fmt: skip


def with_times_of_index(frame: pd.DataFrame) -> pd.DataFrame:
    """The table with its index as a first column, where the index is dates and no column is."""
    if isinstance(frame.index, pd.DatetimeIndex | pd.PeriodIndex):
        name = str(frame.index.name or "time")
        if name not in frame.columns and not any(frame[c].dtype.kind == "M" for c in frame.columns.unique()):
            return frame.rename_axis(name).reset_index()
    return frame


def _spans(options: Mapping[str, Any]) -> tuple[int, int, int]:
    """(window, horizon, stride), in rows."""
    window, horizon, stride = int(options["window"]), int(options.get("horizon", 1)), int(options.get("stride", 1))
    if min(window, horizon, stride) < 1:
        raise DataError("prepare: window, horizon and stride must be at least 1")
    return window, horizon, stride


def _targets(frame: pd.DataFrame, target: str | None, how: Mapping[str, Any]) -> list[str]:
    """The named target, or every column of numbers but those of times and series."""
    if target:
        if target not in frame.columns:
            raise DataError(f"target {target!r} is not a column{did_you_mean(target, frame.columns)}")
        if target in how["columns"]:
            raise DataError(f"target {target!r} tells series apart; name another column")
        return [target]
    names = [str(c) for c in frame.columns if frame[c].dtype.kind in "iuf" and c not in (how["time"], *how["columns"])]
    if not names:
        raise DataError(f"no column of numbers to predict (columns: {', '.join(map(str, frame.columns[:20]))})")
    return names


def _target_values(frame: pd.DataFrame, names: list[str], rules: readings.Rules) -> Floats:
    """[rows, targets] of the targets, NaN where a value is missing or infinite."""
    values = np.full((len(frame), len(names)), np.nan)
    for k, name in enumerate(names):
        column = frame[name]
        if not readings.typed_kind(column):
            column = pd.to_numeric(column, errors="coerce")
        numbers = readings.as_numbers(column, {}, rules.missing_words, rules.comma).values
        values[:, k] = np.where(np.isfinite(numbers), numbers, np.nan)
        if not np.isfinite(values[:, k]).any():
            raise DataError(f"target {name!r}: no row has a number; a series predicts numbers")
    return values


def _edges(series: NDArray[np.int64], shares: Floats) -> NDArray[np.int64]:
    """[series, 4]: the first row of training, validation and test of each series, and its end."""
    first = np.searchsorted(series, np.arange(series[-1] + 1 if len(series) else 0))
    length = np.diff(np.append(first, len(series)))
    within = np.round(np.concatenate([[0.0], np.cumsum(shares)]) * length[:, None])
    return np.asarray(first[:, None] + within, dtype=np.int64)


def _parts(series: NDArray[np.int64], ends: NDArray[np.int64]) -> NDArray[np.int64]:
    """[rows] 0 = train, 1 = val, 2 = test."""
    row = np.arange(len(series))
    return np.asarray((row >= ends[series, 1]).astype(np.int64) + (row >= ends[series, 2]))


def _starts(
    rows: timeline.Arranged, ends: NDArray[np.int64], code: int, known: NDArray[np.bool_],
    window: int, horizon: int, stride: int,
) -> NDArray[np.int64]:  # fmt: skip
    """The first rows of the windows whose targets lie in one part, all `known`, and which span no gap."""
    starts = [np.arange(max(end[code] - window, end[0]), end[code + 1] - window - horizon + 1, stride) for end in ends]
    found = np.concatenate([*starts, np.zeros(0, dtype=np.int64)]).astype(np.int64)
    gaps, unknown = np.append(0, np.cumsum(rows.gap)), np.append(0, np.cumsum(~known))
    whole = gaps[found + window + horizon] == gaps[found + 1]
    sure = unknown[found + window + horizon] == unknown[found + window]
    return np.asarray(found[whole & sure])


def _too_few(count: int, rows: timeline.Arranged, name: str, window: int, horizon: int) -> DataError:
    why = f"data: {name}: {count} rows are too few for windows of {window} + {horizon}"
    if len(rows.names) > 1:
        why += f" in each of {len(rows.names)} series"
    if rows.gap.any():
        why += (
            f", as no window spans a gap and there are {int(rows.gap.sum())}: take a shorter window, or "
            "`prepare: {gaps: fill}` (or ignore)"
        )
    return DataError(why)


def _tell_missing(values: Floats, inserted: NDArray[np.bool_], names: list[str], notes: list[str]) -> None:
    missing = int((~np.isfinite(values).all(axis=1) & ~inserted).sum())
    if missing:
        notes.append(f"{counted(missing, 'row')} without a number in {', '.join(names)}: no window predicts them")


def _tell_short(
    wanted: list[NDArray[np.int64]], rows: timeline.Arranged, how: Mapping[str, Any], notes: list[str]
) -> None:
    """Note how many series there are, and those that are too short for a window to train on."""
    if how["series"]:
        used = set(rows.series[wanted[0]].tolist())
        short = [name for k, name in enumerate(rows.names) if k not in used]
        notes.append(f"{len(rows.names)} series ({how['series']}), each split in time")
        if short:
            some = f"{', '.join(short[:5])}{', ...' if len(short) > 5 else ''}"
            notes.append(f"{len(short)} of them have no window in the training part: {some}")


def _fit_table(
    train: pd.DataFrame, values: Floats, names: list[str], center: Floats, scale: Floats,
    options: dict[str, Any], notes: list[str],
) -> dict[str, Any]:  # fmt: skip
    """The preparation of the inputs; the targets' own past is in the unit of the targets."""
    counting = {"quantities": [*names, *(str(n) for n in train.columns if not _numbers_rows(train[n]))]}
    known = np.nan_to_num(values[:, 0], nan=float(center[0]))
    table = tables.fit(train, known, {**options, **counting, "categorical": "onehot"}, notes)
    for column in table["columns"]:
        if column["name"] in names and column["role"] == "number" and options.get("scale", "standard") == "standard":
            k = names.index(column["name"])
            if np.isnan(values[:, k]).any():  # its center was that of the filled column
                column["center"], column["scale"] = float(center[k]), float(scale[k])
    return table


def _numbers_rows(column: "pd.Series[Any]") -> bool:
    """Whether a column does nothing but number the rows, or is called an identifier."""
    name = str(column.name).lower()
    if column.dtype.kind not in "iuf" or name in ("id", "row", "rowid", "uuid") or name.endswith(("_id", " id", "-id")):
        return True
    steps = np.diff(column.to_numpy(dtype=np.float64))
    return bool(len(steps) and (steps == steps[0]).all())


def _continues(
    table: dict[str, Any], columns: list[str], names: list[str], center: Floats, scale: Floats
) -> tuple[int, ...]:
    """The input column that holds each target's own past in the target's unit; empty where a target has none."""
    units = {column["name"]: (column.get("center"), column.get("scale")) for column in table["columns"]}
    same = [n in columns and np.allclose(units[n], (c, s)) for n, c, s in zip(names, center, scale, strict=True)]
    return tuple(columns.index(name) for name in names) if all(same) and not table["pca"] else ()


def _windows(x: NDArray[Any], y: NDArray[Any], starts: NDArray[np.int64], window: int, horizon: int) -> Part:
    """The windows that begin at rows `starts`. x: [rows, features], y: [rows, targets]."""
    past = np.lib.stride_tricks.sliding_window_view(x, window, axis=0).transpose(0, 2, 1)
    ahead = np.lib.stride_tricks.sliding_window_view(y, horizon, axis=0).transpose(0, 2, 1)
    target = ahead[starts + window].reshape(len(starts), horizon * y.shape[1])
    return Part(torch.from_numpy(past[starts].copy()), torch.from_numpy(target.copy()))


def transform(preparation: Mapping[str, Any], rows: Any, unread: list[str] | None = None) -> Tensor:
    """Prepare the last window of each series -> [series, window, features]; of an array of N tables -> [N, ...].

    `unread` gets a line where rows were not in order, share a time, or have a gap in the window.

    Raises:
        DataError: there are fewer rows than a window has.
    """
    table, window = preparation["table"], preparation["window"]
    if isinstance(rows, np.ndarray | Tensor) and rows.ndim == 3:
        return torch.stack([tables.transform(table, np.asarray(one))[-window:] for one in rows])
    frame = rows if isinstance(rows, pd.DataFrame | np.ndarray) else pd.DataFrame(rows)
    if "order" not in preparation:  # of version 0.1: rows are taken as they come
        if len(frame) < window:
            raise DataError(f"{len(frame)} rows of past are too few: the model looks back {window}")
        return tables.transform(table, frame, unread)[-window:].unsqueeze(0)
    last, names = _last_windows(preparation, frame, [] if unread is None else unread)
    return tables.transform(table, last, unread).reshape(len(names), window, -1)


def last_rows(preparation: Mapping[str, Any], rows: Any) -> tuple[list[str], list[str]]:
    """What each prediction for `rows` is of.

    Returns:
        (the names of the series, the times of their last rows as they are written); empty lists where a model knows
        one series only, or no times.
    """
    how, usable = preparation.get("order", {}), given.usable(preparation, rows)
    if not isinstance(usable, pd.DataFrame):
        return [], []
    last, names = _last_windows(preparation, usable, [])
    ends = last.iloc[preparation["window"] - 1 :: preparation["window"]]
    clock = ends[how["clock"]].astype(str) if how["clock"] in ends.columns else None
    times = [] if not how["time"] else [str(time) for time in ends[how["time"]]]
    return names if how["series"] else [], times if clock is None else [
        f"{a} {b}" for a, b in zip(times, clock, strict=True)
    ]


def _last_windows(
    preparation: Mapping[str, Any], rows: pd.DataFrame | NDArray[Any], messages: list[str]
) -> tuple[pd.DataFrame, list[str]]:
    """(the last window of each series, one after the other; the names of the series)."""
    how, table, window = preparation["order"], preparation["table"], preparation["window"]
    dated = with_times_of_index(rows) if isinstance(rows, pd.DataFrame) and how["time"] not in rows.columns else rows
    frame = tables.frame_of(table, dated)
    for name in (how["time"], *how["columns"]):
        if name and name not in frame.columns:
            raise DataError(f"column {name!r} is missing{did_you_mean(name, frame.columns)}")
    if len(frame) < window:
        raise DataError(f"{len(frame)} rows of past are too few: the model looks back {window}")
    arranged = timeline.arrange(frame, how, frozenset(table["reading"]["missing"]), messages, most=window)
    ends = np.searchsorted(arranged.series, np.arange(len(arranged.names)), side="right")
    lengths = np.diff(ends, prepend=0)
    long = np.flatnonzero(lengths >= window)
    if len(long) < len(ends):
        short = [arranged.names[k] for k in np.flatnonzero(lengths < window)]
        few = f"fewer rows than the {window} that the model looks back"
        if not len(long):
            named = f" (series {', '.join(short[:5])})" if how["series"] else ""
            raise DataError(
                f"{int(lengths.max(initial=0))} rows of past are too few{named}: the model looks back {window}"
            )
        messages.append(f"{len(short)} series have {few}, no prediction for them ({', '.join(short[:3])})")
    index = (ends[long, None] - window + np.arange(window)).reshape(-1)
    gaps = arranged.gap[index].reshape(len(long), window)[:, 1:].any(axis=1)
    if gaps.any():
        messages.append(f"rows are missing in the last {window} rows of {how['time']!r} (a gap), which no window of "
                        "the training had")  # fmt: skip
    last = arranged.frame.iloc[index]
    last.attrs = frame.attrs
    _tell_unknown_ends(preparation, last, messages)
    return last, [arranged.names[k] for k in long]


def _tell_unknown_ends(preparation: Mapping[str, Any], last: pd.DataFrame, messages: list[str]) -> None:
    """Tell of windows whose newest rows have no value of a target: what is predicted is the step after those rows."""
    window, missing = preparation["window"], frozenset(preparation["table"]["reading"]["missing"])
    for name in preparation.get("predicts", ()):
        if name in last.columns:
            unknown = (cols.as_texts(last[name], missing) == cols.MISSING).reshape(-1, window)
            count = np.where(unknown.all(axis=1), window, np.argmin(unknown[:, ::-1], axis=1))
            if count.any():
                rows = "row has" if count.max() == 1 else f"{count.max():,} rows have"
                where = f" in {counted(int((count > 0).sum()), 'case')} of {len(count)}" if len(count) > 1 else ""
                messages.append(
                    f"the newest {rows} no value of {name!r}{where}; what is predicted is the step after, so leave "
                    "them out to predict their own"
                )
