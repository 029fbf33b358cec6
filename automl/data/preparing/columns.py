"""How each column of a table is used, decided on the training rows alone; each decision is a JSON-able dict.

Roles: `number` (impute, scale), `category` (one-hot or codes), `date` (elapsed time, position in year, week and day),
`time` (time of day). How cells become numbers, dates or times is the column's reading, see `automl.data.cells`; it is
decided on all rows, and kept in the column's entry.
"""

import re
from collections.abc import Collection
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from automl.data import seen
from automl.data.cells import deciding, readings, sentinels, words
from automl.data.cells import numbers as styles
from automl.data.cells.readings import Reading, Rules
from automl.data.preparing import scaling
from automl.data.preparing.options import IMPUTES
from automl.errors import DataError, did_you_mean

Column = dict[str, Any]
_SIMPLE = ("string", "boolean", "integer", "floating", "empty", "mixed-integer-float")
_PAIR = re.compile(r"\d+(?:[.,]\d+)?\s*[/:;x×+-]\s*\d+(?:[.,]\d+)?(?:\s*[^\W\d]{1,6})?")
LARGEST = 1e100
"""Larger numbers are cut to this size, so that their squares are finite."""
MISSING = "\x00missing"
"""Stands for a missing value in a category's list of values."""


def plain(frame: pd.DataFrame, clocks: Collection[str] = ()) -> pd.DataFrame:
    """The table with names as text, periods as dates, durations as days, and lists, clock times etc. as text.

    Args:
        frame: the table.
        clocks: columns whose durations become text too, because training had them as text such as 8:15.
    """
    frame = frame.set_axis([str(name) for name in frame.columns], axis=1)
    changed: dict[str, Any] = {}
    if frame.columns.has_duplicates:
        return frame
    for k, dtype in enumerate(frame.dtypes.to_numpy()):
        period = isinstance(dtype, pd.PeriodDtype)
        if not period and dtype.kind not in "mO":
            continue
        name, values = str(frame.columns[k]), frame.iloc[:, k]
        if period:
            changed[name] = values.dt.to_timestamp()
        elif dtype.kind == "m" and name in clocks:
            changed[name] = values.map(words.canonical)
        elif dtype.kind == "m":
            changed[name] = values.dt.total_seconds() / 86_400
        elif isinstance(dtype, np.dtype) and pd.api.types.infer_dtype(values, skipna=True) not in _SIMPLE:
            changed[name] = values.map(lambda v: v if isinstance(v, str | float | int) else words.canonical(v) or None)
    return frame.assign(**changed) if changed else frame


def decide(train: pd.DataFrame, options: dict[str, Any], notes: list[str]) -> list[Column]:
    """Decide how to use each column.

    Args:
        train: the training rows; its `attrs` may have the readings of the whole table (`read_cells`).
        options: those of `prepare:`.
        notes: gets a line for each column that is left out or used in an unexpected way.

    Returns:
        One dict per column that is used.

    Raises:
        DataError: no column is left, or an option has a wrong value.
    """
    rules = readings.rules_of(options, train)
    known = train.attrs.get(readings.ATTRIBUTE, {}).get("readings") or deciding.decide_table(train, rules)
    for option, names in (("categories", options.get("categories", [])), ("types", options.get("types") or {})):
        for name in map(str, names):
            if name not in train.columns:
                raise DataError(f"prepare.{option}: no column {name!r}{did_you_mean(name, train.columns)}")
    columns = []
    for name in map(str, train.columns):
        column = _decide(train[name], name, known[name], rules, options, notes)
        if column is not None:
            columns.append(column)
    if not columns:
        raise DataError("no column is left to learn from: " + "; ".join(notes))
    return columns


def read_cells(frame: pd.DataFrame, options: dict[str, Any], texts: bool = False) -> pd.DataFrame:
    """The same table with the readings of its columns, decided on all its rows, in `attrs`.

    Columns of text that are all plain numbers become numbers, which take less memory; with `texts` they stay text.
    """
    decided, values = deciding.read_table(frame, readings.rules_of(options, frame))
    attributes = frame.attrs.get(readings.ATTRIBUTE, {})
    frame = frame.copy(deep=False) if texts or not values else frame.assign(**values)
    frame.attrs = {readings.ATTRIBUTE: {**attributes, "readings": decided}}
    return frame


def _decide(
    values: "pd.Series[Any]", name: str, reading: Reading, rules: Rules, options: dict[str, Any], notes: list[str]
) -> Column | None:
    """The decision for one column; None: it is left out."""
    kind = reading["kind"]
    if kind == "number":
        read = readings.as_numbers(values, reading, rules.missing_words, rules.comma)
        if np.isnan(read.values).all() and not read.unreadable:
            return _drop(name, "no value in any training row", notes)
        _tell(reading, name, notes)
        _tell_sentinel(values, read.values, name, notes)
        column = _number(read.values, name, options, notes)
        if column is not None and reading["style"] != styles.PLAIN:
            column["style"] = reading["style"]
        return _with_seen(column, read.values)
    codes, cells = words.distinct(values)
    missing = words.are_missing(cells, rules.missing_words)
    if missing[codes].all():
        return _drop(name, "no value in any training row", notes)
    if len(cells) - missing.sum() == 1 and (kind != "category" or not missing.any()):
        return _drop(name, f"constant ({cells[int(np.flatnonzero(~missing)[0])]!r})", notes)
    _tell(reading, name, notes)
    if kind == "date":
        days = readings.as_days(values, reading, rules.missing_words).values
        if not readings.typed_kind(values):
            _tell_sentinel(values, days, name, notes, dates=True)
        column = _date(days[np.isfinite(days)], name, notes)
        return _with_seen(column and {**column, "dayfirst": bool(reading.get("dayfirst"))}, days)
    if kind == "time":
        seconds = readings.as_seconds(values, rules.missing_words).values
        return _with_seen(_time(seconds[np.isfinite(seconds)], name, notes), seconds)
    texts = as_texts(values, rules.missing_words)
    column = _category(texts, name, options, notes)
    return column and {**column, "seen": seen.of_categories(texts, column["values"])}


def _with_seen(column: Column | None, numbers: NDArray[np.float64]) -> Column | None:
    """The decision with what the training rows showed of the column."""
    finite = np.where(np.isfinite(numbers), np.clip(numbers, -LARGEST, LARGEST), np.nan)
    return column and {**column, "seen": seen.of_numbers(finite)}


def _tell(reading: Reading, name: str, notes: list[str]) -> None:
    """Note what is not plain about how a column is read."""
    if reading.get("unreadable"):
        what = {"number": "numbers", "date": "dates", "time": "times of day"}[reading["kind"]]
        notes.append(f"column {name!r}: {reading['unreadable']} values that are not {what} read as missing")
    style = styles.described(reading.get("style", styles.PLAIN))
    if style:
        doubt = ' (set `prepare: {decimal: ","}` if that is wrong)' if reading.get("doubt") else ""
        notes.append(f"column {name!r}: numbers with {style}{doubt}")
    elif reading.get("doubt"):
        notes.append(f'column {name!r}: a point read as decimal mark (set `prepare: {{decimal: ","}}` if it is none)')
    if reading.get("codes"):
        codes = "codes such as 1E2" if reading.get("exponents") else "codes with leading zeros"
        notes.append(
            f"column {name!r}: {codes}, read as categories (`prepare: {{types: {{{name}: number}}}}`"
            " reads them as numbers)"
        )
    elif reading.get("padded") or reading.get("exponents"):
        how = "such as 1E2" if reading.get("exponents") else "with leading zeros"
        remedy = f"`prepare: {{types: {{{name}: category}}}}` if they are codes"
        notes.append(f"column {name!r}: numbers {how} ({remedy})")
    if reading.get("units"):
        some = ", ".join(map(repr, reading["units"]))
        notes.append(f"column {name!r}: numbers in units that cannot be converted ({some}) stay text")
    if reading.get("compact"):
        remedy = f"`prepare: {{types: {{{name}: number}}}}` if they are none"
        notes.append(f"column {name!r}: dates of digits alone, year first ({remedy})")
    if reading["kind"] == "date" and (reading.get("ambiguous") or reading.get("shown")):
        day = reading["dayfirst"]
        first = "day/month/year" if day else "month/day/year"
        remedy = f"`prepare: {{dayfirst: {'false' if day else 'true'}}}`"
        doubt = f"; that is a guess, no date shows it: set {remedy} if it is wrong"
        notes.append(f"column {name!r}: dates read as {first}{doubt if reading.get('ambiguous') else ''}")


def _tell_sentinel(
    values: "pd.Series[Any]", read: NDArray[np.float64], name: str, notes: list[str], *, dates: bool = False
) -> None:
    said = sentinels.note(f"column {name!r}", read, lambda row: words.canonical(values.iloc[row]), dates=dates)
    if said:
        notes.append(said)


def _drop(name: str, why: str, notes: list[str]) -> Column | None:
    notes.append(f"column {name!r} left out: {why}")
    return None


def _number(numbers: NDArray[np.float64], name: str, options: dict[str, Any], notes: list[str]) -> Column | None:
    infinite = np.isinf(numbers)
    if infinite.any():
        notes.append(f"column {name!r}: {int(infinite.sum())} infinite values read as missing")
        numbers = np.where(infinite, np.nan, numbers)
    numbers = np.clip(numbers, -LARGEST, LARGEST)
    present = numbers[np.isfinite(numbers)]
    if len(present) == 0:
        return _drop(name, "no finite value in any training row", notes)
    if present.min() == present.max() and len(present) == len(numbers):
        return _drop(name, f"constant ({present[0]:g})", notes)
    said = name in options.get("quantities", ()) or (options.get("types") or {}).get(name) == "number"
    if not said and _is_identifier(present, name, len(numbers)):
        return _drop(name, "an identifier (whole numbers, all different)", notes)
    fill = _fill(present, str(options.get("impute", "median")))
    how = str(options.get("scale", "standard"))
    filled = present if fill is None else np.where(np.isnan(numbers), fill, numbers)
    center, scale = scaling.center_and_scale(filled, how)
    share = float(np.isnan(numbers).mean())
    missing = share >= 0.01 and fill is not None and bool(options.get("indicators", True))
    column = {"name": name, "role": "number", "fill": fill, "center": center, "scale": scale, "indicator": missing}
    return {**column, **scaling.bending((filled - center) / scale, how)}


def _is_identifier(present: NDArray[np.float64], name: str, rows: int) -> bool:
    """Whether a column numbers the rows: whole numbers, all different, and dense or named like an identifier."""
    if len(present) < rows or rows < 20 or (present != np.round(present)).any() or len(np.unique(present)) < rows:
        return False
    steps = np.diff(np.sort(present))
    named = name.lower() in ("id", "index", "row", "rowid", "uuid") or name.lower().endswith(("_id", " id", "-id"))
    return named or (float(np.median(steps)) <= 2 and present.max() - present.min() <= 4 * rows)


def _fill(present: NDArray[np.float64], how: str) -> float | None:
    """The value that replaces missing ones; None: they stay missing."""
    if how == "none":
        return None
    if how == "median":
        return float(np.median(present))
    if how == "mean":
        return float(present.mean())
    if how == "zero":
        return 0.0
    if how == "most_frequent":
        values, counts = np.unique(present, return_counts=True)
        return float(values[counts.argmax()])
    raise DataError(f"prepare.impute: unknown value {how!r}{did_you_mean(how, IMPUTES)}; one of {', '.join(IMPUTES)}")


def _category(texts: NDArray[Any], name: str, options: dict[str, Any], notes: list[str]) -> Column | None:
    counts = pd.Series(texts).value_counts()
    counts = counts.sort_index().sort_values(ascending=False, kind="stable")  # ties always in the same order
    if len(counts) == 1:
        return _drop(name, "constant", notes)
    if len(counts) == len(texts) and len(texts) > 20:
        return _drop(name, _pairs(texts) or "text that differs in every row", notes)
    most = int(options.get("max_categories", 64))
    if len(counts) > 0.5 * len(texts) and len(counts) > most:
        free = f"free text ({len(counts)} different values in {len(texts)} rows)"
        return _drop(name, _pairs(texts) or free, notes)
    if len(counts) > most:
        notes.append(
            f"column {name!r}: the {most} commonest of {len(counts)} values kept, the others treated as unseen"
        )
        counts = counts.iloc[:most]
    return {"name": name, "role": "category", "values": sorted(str(value) for value in counts.index)}


def _pairs(texts: NDArray[Any]) -> str:
    """What to do with cells that hold two numbers each, such as 135/85; empty: they do not."""
    some = texts[:100]
    if sum(_PAIR.fullmatch(str(text)) is not None for text in some) < styles.MOSTLY * len(some):
        return ""
    return f"two numbers in a cell, such as {str(some[0])!r}: give each a column of its own to learn from them"


def _date(days: NDArray[np.float64], name: str, notes: list[str]) -> Column | None:
    """The decision for a column of dates, in days since 1970; `clock`: whether it has times of day."""
    if not len(days) or days.min() == days.max():
        return _drop(name, "constant date", notes)
    notes.append(f"column {name!r}: a date, read as elapsed days and position in year, week and day")
    scale = float(days.std()) or 1.0
    clock = bool((days % 1 != 0).any())
    return {
        "name": name,
        "role": "date",
        "fill": float(np.median(days)),
        "center": float(days.mean()),
        "scale": scale,
        "clock": clock,
    }


def _time(seconds: NDArray[np.float64], name: str, notes: list[str]) -> Column | None:
    """The decision for a column of times of day, in seconds since midnight."""
    if not len(seconds) or seconds.min() == seconds.max():
        return _drop(name, "constant time of day", notes)
    notes.append(f"column {name!r}: a time of day, read as its hour and its position on the clock")
    scale = float(seconds.std()) or 1.0
    fill, center = float(np.median(seconds)), float(seconds.mean())
    return {"name": name, "role": "time", "fill": fill, "center": center, "scale": scale}


def as_texts(values: "pd.Series[Any]", missing: frozenset[str]) -> NDArray[Any]:
    """[rows] of text, the same for equal values (3, 3.0, "3" and "3.0"), `MISSING` for missing values."""
    codes, cells = words.distinct(values)
    absent = words.are_missing(cells, missing)
    spelled = [MISSING if gone else whole_number(cell) for cell, gone in zip(cells, absent, strict=True)]
    return np.array(spelled, dtype=object)[codes]


def whole_number(cell: str) -> str:
    """A whole number without the fraction that programs write where a column has gaps: 3 for 3.0."""
    return cell[:-2] if cell.endswith(".0") and cell[:-2].removeprefix("-").isdigit() else cell


def category_codes(column: Column, texts: NDArray[Any]) -> NDArray[np.int64]:
    """[rows] the number of each text's value, from 1; 0: training did not see it.

    A number finds the value that is the same number, and a truth value the one that is the same word, where there is
    only one: 1 finds "01", True finds "true".
    """
    values = column["values"]
    codes, distinct = pd.factorize(texts)
    found = pd.Index(values).get_indexer(pd.Index(distinct)) + 1
    if (found == 0).any():
        alike = _alike(values)
        found = np.array(
            [k or alike.get(_sense(cell), 0) for k, cell in zip(found, distinct, strict=True)], dtype=np.int64
        )
    return np.asarray(found[codes] if len(found) else codes, dtype=np.int64)


def _alike(values: list[str]) -> dict[Any, int]:
    """The number of the value with each sense that only one value has."""
    senses = [_sense(value) for value in values]
    alike = {sense: k + 1 for k, sense in enumerate(senses) if sense is not None and senses.count(sense) == 1}
    known = set(senses) - {None}
    if known <= {"true", "false"}:  # truth values, which programs also write as 1 and 0, and the other way round
        alike |= {number: alike[word] for number, word in ((1.0, "true"), (0.0, "false")) if word in alike}
    elif known <= {0.0, 1.0}:
        alike |= {word: alike[number] for number, word in ((1.0, "true"), (0.0, "false")) if number in alike}
    return alike


def _sense(cell: str) -> Any:
    if cell.lower() in ("true", "false"):
        return cell.lower()
    return float(cell) if styles.are_plain([cell]) else None
