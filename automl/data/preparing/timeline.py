"""The order of a series' rows: its time column, its regular step, its gaps, and the several series of one table.

What is decided in training is a dict, JSON-able, that is kept with the model, so that rows to predict are put in order
in the same way: `time` and `clock` (columns, or None), `kind` ("date" or "number"), `dayfirst`, `style`, `series`
(column or None), `gaps` ("split", "fill" or "ignore"), `unit` ("months", "weekdays", "days" or "number"), `step` (in
that unit; 0: none) and `day` (of the month; 0: its last).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from automl.data.cells import readings
from automl.data.cells.numbers import PLAIN
from automl.data.preparing import columns as cols
from automl.data.preparing import steps
from automl.errors import DataError, did_you_mean

Floats = NDArray[np.float64]
MANY = 0.5
"""Where more than this share of the rows have the time of another row, there are several series in the table."""


@dataclass(frozen=True)
class Arranged:
    """The rows of a table in order.

    Attributes:
        frame: the rows by series and time, with the rows that `gaps: fill` inserted.
        names: of the series; [""] where there is one.
        series: [rows] the number of each row's series, never falling.
        gap: [rows] bool, whether rows are missing between this row and the one before it.
        inserted: [rows] bool.
    """

    frame: pd.DataFrame
    names: list[str]
    series: NDArray[np.int64]
    gap: NDArray[np.bool_]
    inserted: NDArray[np.bool_]


def decide(
    frame: pd.DataFrame, split: Mapping[str, Any], options: Mapping[str, Any], notes: list[str]
) -> dict[str, Any]:
    """Find the time column, the column that tells series apart, and the regular step.

    Args:
        frame: the whole table, its cells typed (`deciding.typed`).
        split: `time` and `group` are columns.
        options: those of `prepare:`; `series` and `gaps` are used.
        notes: gets a line for each decision.

    Raises:
        DataError: a named column does not exist, or holds no times.
    """
    series = options.get("series") or split.get("group")
    for what, name in (("split.time", split.get("time")), ("prepare.series", series)):
        if name and str(name) not in frame.columns:
            raise DataError(f"{what}: no column {str(name)!r}{did_you_mean(str(name), frame.columns)}")
    missing = readings.rules_of(options, frame).missing_words
    known = frame.attrs[readings.ATTRIBUTE]["readings"]
    how: dict[str, Any] = {"series": str(series) if series else None, "gaps": str(options.get("gaps") or "split")}
    how |= _time_column(frame, known, split, notes)
    if how["time"] and _share_of_ties(frame, how, missing) > MANY:
        how |= _other_series(frame, known, how, missing, named=bool(split.get("time")), notes=notes)
    ordered = _ordered(frame, how, missing, [])
    how |= steps.decide(ordered.times, ordered.series, how["kind"]) if how["time"] else steps.NONE
    return how


def _time_column(
    frame: pd.DataFrame, known: Mapping[str, readings.Reading], split: Mapping[str, Any], notes: list[str]
) -> dict[str, Any]:
    """`time`, `clock` and how they are read: the column that was named, or the only one with dates."""
    dates = [name for name, reading in known.items() if reading["kind"] == "date"]
    clocks = [name for name, reading in known.items() if reading["kind"] == "time"]
    name = str(split["time"]) if split.get("time") else dates[0] if len(dates) == 1 else None
    if name is None:
        if dates:
            some = ", ".join(map(repr, dates))
            notes.append(f"rows taken in the order of the file: {some} are dates; name one with `split: {{time: ...}}`")
        return {"time": None, "clock": None, "kind": "number"}
    reading = known[name]
    if reading["kind"] not in ("date", "number", "time"):
        raise DataError(f"split.time: column {name!r} holds neither dates nor numbers, such as 2021-06-25")
    clock = None
    if reading["kind"] == "date" and len(clocks) == 1 and not _has_clock(frame[name]):
        clock = clocks[0]
    if not split.get("time"):
        notes.append(f"rows in order of {name!r}{f' and {clock!r}' if clock else ''}, the only column with dates")
    kept: dict[str, Any] = {key: reading[key] for key in ("dayfirst", "style") if key in reading}
    return {"time": name, "clock": clock, "kind": reading["kind"]} | kept


def _has_clock(dates: "pd.Series[Any]") -> bool:
    days = readings.as_days(dates, {}, frozenset()).values
    return bool((days[np.isfinite(days)] % 1 != 0).any())


def _times(frame: pd.DataFrame, how: Mapping[str, Any], missing: frozenset[str]) -> Floats:
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


def _share_of_ties(frame: pd.DataFrame, how: Mapping[str, Any], missing: frozenset[str]) -> float:
    """The share of the rows that have the time of another row of their series."""
    key = pd.DataFrame({"time": np.round(_times(frame, how, missing) * 86_400)})
    if how["series"]:
        key["series"] = cols.as_texts(frame[how["series"]], missing)
    return float(key.duplicated(keep=False).mean())


def _other_series(
    frame: pd.DataFrame, known: Mapping[str, readings.Reading], how: dict[str, Any], missing: frozenset[str],
    *, named: bool, notes: list[str],
) -> dict[str, Any]:  # fmt: skip
    """What to do where most rows share their time with another one: several series, or no time column."""
    time = how["time"]
    if not how["series"]:
        texts = [str(n) for n in frame.columns if known[str(n)]["kind"] == "category" or frame[n].dtype.kind in "iu"]
        fitting = [n for n in texts if n != time and _share_of_ties(frame, {**how, "series": n}, missing) < 0.05]
        fitting = [n for n in fitting if frame[n].nunique() * 5 <= len(frame)]
        if len(fitting) == 1:
            count = frame[fitting[0]].nunique()
            notes.append(f"{count} series told apart by {fitting[0]!r}: one row of each at a time of {time!r}")
            return {"series": fitting[0]}
    if named or how["series"]:
        raise DataError(
            f"most rows have the same time as another row in {time!r}; name the column that tells series apart: "
            f"`prepare: {{series: ...}}` (columns: {', '.join(map(str, frame.columns[:20]))})"
        )
    notes.append(
        f"rows taken in the order of the file: most rows share their date in {time!r} with another one; name the "
        "column of times with `split: {time: ...}`, and the one that tells series apart with `prepare: {series: ...}`"
    )
    return {"time": None, "clock": None, "kind": "number"}


@dataclass(frozen=True)
class _Ordered:
    """Rows sorted by series and time, one row at each time."""

    frame: pd.DataFrame
    names: list[str]
    series: NDArray[np.int64]
    times: Floats


def _ordered(frame: pd.DataFrame, how: Mapping[str, Any], missing: frozenset[str], notes: list[str]) -> _Ordered:
    """Sort the rows, leave out those without a time or a series, and all but the last of one time."""
    attributes, rows = frame.attrs, len(frame)
    keep = np.ones(rows, dtype=bool)
    times = _times(frame, how, missing) if how["time"] in frame.columns else np.arange(rows, dtype=np.float64)
    labels = np.full(rows, "", dtype=object)
    if how["series"] in frame.columns:
        labels = cols.as_texts(frame[how["series"]], missing)
        keep &= labels != cols.MISSING
    keep &= np.isfinite(times)
    if not keep.all():
        where = " and ".join(repr(name) for name in (how["time"], how["series"]) if name)
        notes.append(f"{int((~keep).sum())} rows left out that have no value of {where}")
    chosen = np.flatnonzero(keep)
    codes, names = pd.factorize(labels[keep])
    order = np.lexsort((times[keep], codes))
    codes, chosen = codes[order].astype(np.int64), chosen[order]
    same = np.diff(codes) == 0
    if (np.diff(chosen)[same] < 0).any():
        notes.append(f"rows were not in order of {how['time']!r}: sorted")
    times = times[chosen]
    tick = 1 if how["kind"] != "date" else 86_400
    twice = np.append(same & (np.abs(np.diff(times)) * tick < 1e-3), False)
    if twice.any():
        notes.append(f"{int(twice.sum())} rows left out that have the time of another row in {how['time']!r}: "
                     "the last one in the file is kept")  # fmt: skip
    sorted_frame = frame.iloc[chosen[~twice]].reset_index(drop=True)
    sorted_frame.attrs = attributes
    return _Ordered(sorted_frame, [str(name) for name in names], codes[~twice], times[~twice])


def arrange(
    frame: pd.DataFrame, how: Mapping[str, Any], missing: frozenset[str], notes: list[str], most: int | None = None
) -> Arranged:
    """Put rows in order and find, or fill, their gaps.

    Args:
        frame: rows, typed or as text.
        how: from `decide`.
        missing: words that stand for a missing value.
        notes: gets a line for each thing that was found.
        most: most rows to insert into one gap; None: all, and a DataError where that would be out of proportion.

    Raises:
        DataError: `gaps: fill` would insert many times the rows that there are.
    """
    ordered = _ordered(frame, how, missing, notes)
    rows = len(ordered.series)
    absent = np.zeros(rows, dtype=np.int64)
    if how["time"] in frame.columns and how["step"] and rows:
        absent = steps.absent_before(ordered.times, ordered.series, how, notes if most is None else [])
    if how["gaps"] == "ignore":
        absent[:] = 0
    if how["gaps"] != "fill" or not absent.any():
        _tell_gaps(absent, how, notes, most is None)
        return Arranged(ordered.frame, ordered.names, ordered.series, absent > 0, np.zeros(rows, dtype=bool))
    if most is not None:
        absent = np.minimum(absent, most)
    return _filled(ordered, how, absent, notes)


def _tell_gaps(absent: NDArray[np.int64], how: Mapping[str, Any], notes: list[str], training: bool) -> None:
    gaps = int((absent > 0).sum())
    if gaps and training:
        notes.append(
            f"{gaps} gaps in {how['time']!r}, {int(absent.sum())} steps of {steps.described(how)} are missing: no "
            "window spans one (`prepare: {gaps: fill}` inserts the rows with missing inputs, `ignore` takes them as "
            "if nothing were missing)"
        )


def _filled(ordered: _Ordered, how: Mapping[str, Any], absent: NDArray[np.int64], notes: list[str]) -> Arranged:
    """Insert `absent[k]` rows before row k: only their time and series are known."""
    rows, added = len(absent), int(absent.sum())
    if added > 10 * rows + 1000:
        raise DataError(
            f"prepare.gaps: fill would insert {added} rows of a step of {steps.described(how)} into {rows} rows; "
            "`split` cuts the series at its gaps"
        )
    notes.append(f"{added} rows inserted into {int((absent > 0).sum())} gaps of {how['time']!r}, their inputs missing")
    place = np.arange(rows) + np.cumsum(absent)
    labels = np.full(rows + added, -1, dtype=np.int64)
    labels[place] = np.arange(rows)
    inserted = labels < 0
    follows = np.searchsorted(place, np.arange(rows + added))  # the old row that each new row precedes or is
    ahead = place[follows] - np.arange(rows + added)
    times = steps.earlier(ordered.times[follows], ahead, how)
    labels[inserted] = rows + np.arange(added)
    frame = ordered.frame.reindex(labels).reset_index(drop=True)
    series = ordered.series[follows]
    _write_times(frame, how, times, inserted)
    if how["series"] in frame.columns:
        frame[how["series"]] = ordered.frame[how["series"]].iloc[follows].to_numpy()
    frame.attrs = ordered.frame.attrs
    return Arranged(frame, ordered.names, series, np.zeros(rows + added, dtype=bool), inserted)


def _write_times(frame: pd.DataFrame, how: Mapping[str, Any], times: Floats, where: NDArray[np.bool_]) -> None:
    """Write the times of inserted rows into their column, in its type."""
    name, column = how["time"], frame[how["time"]]
    if how["kind"] != "date":
        frame[name] = np.where(where, times, _times(frame, how, frozenset()))
        return
    stamps = pd.to_datetime(np.round(times[where] * 86_400_000), unit="ms")
    clock = how["clock"] if how["clock"] in frame.columns else None
    days = stamps.normalize() if clock else stamps
    if isinstance(column.dtype, pd.DatetimeTZDtype):
        frame.loc[where, name] = days.tz_localize("UTC").tz_convert(column.dtype.tz)
    elif column.dtype.kind == "M":
        frame.loc[where, name] = days
    else:
        frame[name] = column.astype(object)
        frame.loc[where, name] = [stamp.isoformat() for stamp in days]
    if clock:
        frame[clock] = frame[clock].astype(object)
        frame.loc[where, clock] = [stamp.strftime("%H:%M:%S") for stamp in stamps]
