"""Which column holds the times of a series' rows, and which tells several series of one table apart."""

import re
from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from automl.data.cells import readings
from automl.data.cells.numbers import PLAIN
from automl.data.preparing import columns as cols
from automl.errors import DataError

_ZONE = re.compile(r":\d\d.*(Z|UTC|GMT|[+-]\d\d(:?\d\d)?)$")
Floats = NDArray[np.float64]
NO_TIME: dict[str, Any] = {"time": None, "clock": None, "kind": "number"}
MANY = 0.5
"""Where more than this share of the rows have the time of another row, there are several series in the table."""
MOST_TRIED = 12
"""So many columns, at most, are tried in pairs to tell series apart."""
FEW = 0.05
"""A column of times, or of series, leaves at most this share of the rows with the time of another row."""
NUMBER_NAMES = ("time", "timestamp", "datetime", "date", "epoch", "unixtime", "unix_time", "year", "ts", "ds", "t")
"""Names of columns of numbers that are times."""
IN_NAMES = ("time", "stamp", "date", "epoch")
"""Parts of names of columns of numbers that are times, where the numbers count from 1970."""
SECONDS = (6.3e8, 4.2e9)
"""Whole numbers between these, or that many milli-, micro- or nanoseconds, may be times since 1970 (1990 to 2103)."""


def find(
    frame: pd.DataFrame, known: Mapping[str, readings.Reading], series: list[str], target: str | None,
    split: Mapping[str, Any], missing: frozenset[str], notes: list[str],
) -> dict[str, Any]:  # fmt: skip
    """`time`, `clock` and how they are read: the column that was named, or the only one that can be it.

    Args:
        frame: the table, its cells typed.
        known: how each column is read.
        series: the columns that tell series apart, where they were named.
        target: the column to predict.
        split: `time` names the column.
        missing: words that stand for a missing value.
        notes: gets a line.

    Raises:
        DataError: the named column holds no times.
    """
    if split.get("time"):
        return _as_time(str(split["time"]), frame, known)
    option = "name the one to sort by with `split: {time: ...}`"
    dates = [name for name, reading in known.items() if reading["kind"] == "date"]
    if len(dates) > 1:
        notes.append(f"rows taken in the order of the file: {', '.join(map(repr, dates))} are dates; {option}")
        return dict(NO_TIME)
    others = [name for name in known if name not in (target, *series)]
    numbers = [] if dates else [name for name in others if _is_numbered_time(name, frame, series, known, missing)]
    if len(dates or numbers) != 1:
        several = f"{', '.join(map(repr, numbers))} may be times" if numbers else "no column holds dates"
        notes.append(f"rows taken in the order of the file: {several}; {option}")
        return dict(NO_TIME)
    how = _as_time((dates or numbers)[0], frame, known)
    clock = f" and {how['clock']!r}" if how["clock"] else ""
    why = "the only column with dates" if dates else "times as numbers"
    notes.append(f"rows in order of {how['time']!r}{clock}, {why}")
    return how


def _as_time(name: str, frame: pd.DataFrame, known: Mapping[str, readings.Reading]) -> dict[str, Any]:
    """How the times of a column, and of the only column of clock times beside dates, are read."""
    reading = known[name]
    if reading["kind"] not in ("date", "number", "time"):
        raise DataError(f"split.time: column {name!r} holds neither dates nor numbers, such as 2021-06-25")
    clocks = [other for other, its in known.items() if its["kind"] == "time"]
    with_clock = reading["kind"] == "date" and len(clocks) == 1 and not _has_clock(frame[name])
    kept: dict[str, Any] = {key: reading[key] for key in ("dayfirst", "style") if key in reading}
    return {"time": name, "clock": clocks[0] if with_clock else None, "kind": reading["kind"]} | kept


def _is_numbered_time(
    name: str, frame: pd.DataFrame, series: list[str], known: Mapping[str, readings.Reading], missing: frozenset[str]
) -> bool:
    """Whether a column of numbers is called a time, and (nearly) no rows share one."""
    if known[name]["kind"] != "number" or frame[name].dtype.kind == "b":
        return False
    how = {**_as_time(name, frame, known), **telling(series)}
    values = times(frame, how, missing)
    values = values[np.isfinite(values)]
    units = (1.0, 1e3, 1e6, 1e9)
    since_1970 = len(values) > 0 and any(
        SECONDS[0] * u <= values.min() and values.max() <= SECONDS[1] * u for u in units
    )
    called = name.lower() in NUMBER_NAMES or (since_1970 and any(word in name.lower() for word in IN_NAMES))
    return called and share_of_ties(frame, how, missing) <= FEW


def _has_clock(dates: "pd.Series[Any]") -> bool:
    days = readings.as_days(dates, {}, frozenset()).values
    return bool((days[np.isfinite(days)] % 1 != 0).any())


def has_zone(column: "pd.Series[Any]") -> bool:
    """Whether the dates of a column have a time zone or an offset."""
    if isinstance(column.dtype, pd.DatetimeTZDtype):
        return True
    first = column.dropna().head(1)
    return bool(column.dtype.kind in "OU" or isinstance(column.dtype, pd.StringDtype)) and bool(
        len(first) and _ZONE.search(str(first.iloc[0]))
    )


def times(frame: pd.DataFrame, how: Mapping[str, Any], missing: frozenset[str]) -> Floats:
    """[rows] days since 1970, or numbers; NaN where a row has no time."""
    column = frame[how["time"]]
    if how["kind"] == "number":
        reading = {"style": how.get("style", PLAIN)}
        return readings.as_numbers(column, reading, missing, readings.comma_of(frame)).values
    if how["kind"] == "time":
        return readings.as_seconds(column, missing).values
    days = readings.as_days(column, dict(how), missing).values
    if how["clock"] and how["clock"] in frame.columns:
        days = days + readings.as_seconds(frame[how["clock"]], missing).values / 86_400
    return days


def telling(columns: Sequence[str]) -> dict[str, Any]:
    """`columns` and `series` of an order, of the columns that tell series apart."""
    return {"columns": list(columns), "series": ", ".join(columns) or None}


def labels(frame: pd.DataFrame, how: Mapping[str, Any], missing: frozenset[str]) -> NDArray[Any]:
    """[rows] the name of each row's series, of several columns with " / " between; MISSING where one has no value."""
    texts = [cols.as_texts(frame[name], missing) for name in how["columns"]]
    if len(texts) == 1:
        return texts[0]
    joined = np.array([" / ".join(row) for row in zip(*texts, strict=True)], dtype=object)
    joined[np.any([text == cols.MISSING for text in texts], axis=0)] = cols.MISSING
    return joined


def share_of_ties(frame: pd.DataFrame, how: Mapping[str, Any], missing: frozenset[str]) -> float:
    """The share of the rows that have the time of another row of their series."""
    key = pd.DataFrame({"time": np.round(times(frame, how, missing) * 86_400)})
    if how["series"]:
        key["series"] = labels(frame, how, missing)
    return float(key.duplicated(keep=False).mean())


def _fitting(
    frame: pd.DataFrame, known: Mapping[str, readings.Reading], how: Mapping[str, Any], target: str | None,
    missing: frozenset[str],
) -> list[str]:  # fmt: skip
    """The column, or else the two, by which (nearly) no rows of one series share a time.

    Empty where there are none, or several that tell apart different series.
    """
    able = [str(n) for n in frame.columns if known[str(n)]["kind"] == "category" or frame[n].dtype.kind in "iu"]
    able = [n for n in able if n not in (how["time"], target) and frame[n].nunique() * 5 <= len(frame)]
    for size in (1, 2):
        fitting = [
            list(names)
            for names in combinations(able[:MOST_TRIED], size)
            if share_of_ties(frame, {**how, **telling(names)}, missing) < FEW
            and _groups(frame, names) * 5 <= len(frame)
        ]
        if fitting:
            counts = {_groups(frame, group) for names in fitting for group in (names, [*fitting[0], *names])}
            return fitting[0] if len(counts) == 1 else []
    return []


def uneven_series(
    frame: pd.DataFrame, known: Mapping[str, readings.Reading], how: dict[str, Any], target: str | None,
    missing: frozenset[str], notes: list[str],
) -> dict[str, Any]:  # fmt: skip
    """The column that tells series apart where some of them are short, so that most rows share their time with none.

    Rows that are equal in all columns are no sign of several series. Empty where all rows belong to one.
    """
    different = frame.drop_duplicates()
    if share_of_ties(different, how, missing) < FEW:
        return {}
    found = _fitting(different, known, how, target, missing)
    if not found or share_of_ties(different, {**how, **telling(found)}, missing) > 0:
        return {}
    _tell_series(frame, found, how, missing, notes)
    return telling(found)


def _tell_series(
    frame: pd.DataFrame, found: Sequence[str], how: Mapping[str, Any], missing: frozenset[str], notes: list[str]
) -> None:
    count = len(np.unique(labels(frame, telling(found), missing)))
    by = " and ".join(map(repr, found))
    notes.append(f"{count} series told apart by {by}: one row of each at a time of {how['time']!r}")


def _groups(frame: pd.DataFrame, names: Sequence[str]) -> int:
    """How many combinations of the columns' values there are."""
    return int(frame.groupby(list(dict.fromkeys(names)), observed=True, sort=False).ngroups)


def other_series(
    frame: pd.DataFrame, known: Mapping[str, readings.Reading], how: dict[str, Any], target: str | None,
    missing: frozenset[str], *, named: bool, notes: list[str],
) -> dict[str, Any]:  # fmt: skip
    """What to do where most rows share their time with another one: several series, or no time column."""
    time = how["time"]
    found = [] if how["series"] else _fitting(frame.drop_duplicates(), known, how, target, missing)
    if found:
        _tell_series(frame, found, how, missing, notes)
        return telling(found)
    if named or how["series"]:
        raise DataError(
            f"most rows have the same time as another row in {time!r}; name the column that tells series apart: "
            f"`prepare: {{series: ...}}` (columns: {', '.join(map(str, frame.columns[:20]))})"
        )
    notes.append(
        f"rows taken in the order of the file: most rows share their date in {time!r} with another one; name the "
        "column of times with `split: {time: ...}`, and the one that tells series apart with `prepare: {series: ...}`"
    )
    return dict(NO_TIME)
