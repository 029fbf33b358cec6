"""The order of a series' rows: its time column, its regular step, its gaps, and the several series of one table.

What is decided in training is a dict, JSON-able, that is kept with the model, so that rows to predict are put in
order in the same way: `time` and `clock` (columns, or None), `kind` ("date" or "number"), `dayfirst`, `style`,
`columns` (that tell series apart), `series` (their names as one text, or None), `gaps` ("split", "fill" or "ignore"),
`unit` ("months", "weekdays", "days" or "number"), `step` (in that unit; 0: none), `day` (of the month; 0: its last),
`mask` (of the days of the week, Monday first) and `zone` (whether times have an offset).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from automl.data.cells import readings
from automl.data.preparing import columns as cols
from automl.data.preparing import options as options_of
from automl.data.preparing.ordering import steps, timecolumns
from automl.data.preparing.ordering.steps import counted
from automl.errors import DataError, did_you_mean

Floats = NDArray[np.float64]


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
    frame: pd.DataFrame, target: str | None, split: Mapping[str, Any], options: Mapping[str, Any], notes: list[str]
) -> dict[str, Any]:
    """Find the time column, the column that tells series apart, and the regular step.

    Args:
        frame: the whole table, its cells typed (`deciding.typed`).
        target: the column to predict, which is no time.
        split: `time` and `group` are columns.
        options: those of `prepare:`; `series` and `gaps` are used.
        notes: gets a line for each decision.

    Raises:
        DataError: a named column does not exist, or holds no times.
    """
    series = options_of.series_columns(options, split)
    times = [str(split["time"])] if split.get("time") else []
    for what, names in (("split.time", times), ("prepare.series", series)):
        for name in names:
            if name not in frame.columns:
                raise DataError(f"{what}: no column {name!r}{did_you_mean(name, frame.columns)}")
    missing = readings.rules_of(options, frame).missing_words
    known = frame.attrs[readings.ATTRIBUTE]["readings"]
    how: dict[str, Any] = {**timecolumns.telling(series), "gaps": str(options.get("gaps") or "split")}
    found: list[str] = []
    how |= timecolumns.find(frame, known, series, target, split, missing, found)
    ties = timecolumns.share_of_ties(frame, how, missing) if how["time"] else 0.0
    if ties > timecolumns.MANY:
        how |= timecolumns.other_series(frame, known, how, target, missing, named=bool(split.get("time")), notes=found)
    elif ties >= timecolumns.FEW and not how["series"]:
        how |= timecolumns.uneven_series(frame, known, how, target, missing, found)
    notes += found if how["time"] else found[-1:]
    ordered = _ordered(frame, how, missing, [])
    how["zone"] = bool(how["time"]) and timecolumns.has_zone(frame[how["time"]])
    how |= steps.decide(ordered.times, ordered.series, how["kind"]) if how["time"] else steps.NONE
    if how["time"] and not how["step"] and how["kind"] != "time" and len(ordered.times) > 2:
        notes.append(f"the times in {how['time']!r} have no regular step: each row is taken as one step")
    return how


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
    times = (
        timecolumns.times(frame, how, missing) if how["time"] in frame.columns else np.arange(rows, dtype=np.float64)
    )
    labels = np.full(rows, "", dtype=object)
    if how["series"]:
        labels = timecolumns.labels(frame, how, missing)
        keep &= labels != cols.MISSING
    keep &= np.isfinite(times)
    if not keep.all():
        where = " and ".join(repr(name) for name in (how["time"], *how["columns"]) if name)
        notes.append(f"{counted(int((~keep).sum()), 'row')} left out, without a value of {where}")
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
        notes.append(f"{counted(int(twice.sum()), 'row')} left out, at the time of another row in {how['time']!r}: "
                     f"the last one in the file is kept{_why_twice(times[twice], how)}")  # fmt: skip
    sorted_frame = frame.iloc[chosen[~twice]].reset_index(drop=True)
    sorted_frame.attrs = attributes
    return _Ordered(sorted_frame, [str(name) for name in names], codes[~twice], times[~twice])


def _why_twice(times: Floats, how: Mapping[str, Any]) -> str:
    """A few words where all the times that occur twice lie in an hour that clocks may repeat."""
    if how["kind"] == "date" and bool(steps.clocks_change(times).all()):
        return " (an hour that clocks repeat in autumn; times with an offset, such as 02:00+02:00, would keep both)"
    return ""


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
            f"{counted(gaps, 'gap')} in {how['time']!r}, {counted(int(absent.sum()), 'row')} at a step of "
            f"{steps.described(how)} missing: no window spans one (`prepare: {{gaps: fill}}` inserts the rows with "
            "missing inputs, `ignore` takes the rest as if nothing were missing)"
        )


def _filled(ordered: _Ordered, how: Mapping[str, Any], absent: NDArray[np.int64], notes: list[str]) -> Arranged:
    """Insert `absent[k]` rows before row k: only their time and series are known."""
    rows, added = len(absent), int(absent.sum())
    if added > 10 * rows + 1000:
        raise DataError(
            f"prepare.gaps: fill would insert {added} rows of a step of {steps.described(how)} into {rows} rows; "
            "`split` cuts the series at its gaps"
        )
    gaps = counted(int((absent > 0).sum()), "gap")
    notes.append(f"{counted(added, 'row')} inserted into {gaps} of {how['time']!r}, their inputs missing")
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
    for name in how["columns"]:
        frame[name] = ordered.frame[name].iloc[follows].to_numpy()
    frame.attrs = ordered.frame.attrs
    return Arranged(frame, ordered.names, series, np.zeros(rows + added, dtype=bool), inserted)


def _write_times(frame: pd.DataFrame, how: Mapping[str, Any], times: Floats, where: NDArray[np.bool_]) -> None:
    """Write the times of inserted rows into their column, in its type."""
    name, column = how["time"], frame[how["time"]]
    if how["kind"] != "date":
        frame[name] = np.where(where, times, timecolumns.times(frame, how, frozenset()))
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
