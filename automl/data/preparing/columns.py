"""How each column of a table is used, decided on the training rows alone; each decision is a JSON-able dict.

Roles: `number` (impute, scale), `category` (one-hot or codes), `date` (elapsed time, position in year, week and day).
"""

import warnings
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from automl.data.preparing.options import IMPUTES, SCALES
from automl.errors import DataError, did_you_mean

Column = dict[str, Any]
LARGEST = 1e100
"""Larger numbers are cut to this size, so that their squares are finite."""
MISSING = "\x00missing"
"""Stands for a missing value in a category's list of values."""


def plain(frame: pd.DataFrame) -> pd.DataFrame:
    """The table with names as text, periods as dates, durations as days, and lists and the like as text."""
    frame = frame.set_axis([str(name) for name in frame.columns], axis=1)
    changed: dict[str, Any] = {}
    for name, values in frame.items():
        if isinstance(values.dtype, pd.PeriodDtype):
            changed[str(name)] = values.dt.to_timestamp()
        elif values.dtype.kind == "m":
            changed[str(name)] = values.dt.total_seconds() / 86_400
        elif values.dtype == object and any(isinstance(v, list | dict | set | np.ndarray) for v in values):
            changed[str(name)] = values.map(str)
    return frame.assign(**changed) if changed else frame


def decide(train: pd.DataFrame, options: dict[str, Any], notes: list[str]) -> list[Column]:
    """Decide how to use each column.

    Args:
        train: the training rows.
        options: those of `prepare:`.
        notes: gets a line for each column that is left out or used in an unexpected way.

    Returns:
        One dict per column that is used.

    Raises:
        DataError: no column is left, or an option has a wrong value.
    """
    forced = [str(name) for name in options.get("categories", [])]
    for name in forced:
        if name not in train.columns:
            raise DataError(f"prepare.categories: no column {name!r}{did_you_mean(name, train.columns)}")
    columns = []
    for name in train.columns:
        column = _decide(train[name], str(name), name in forced, options, notes)
        if column is not None:
            columns.append(column)
    if not columns:
        raise DataError("no column is left to learn from: " + "; ".join(notes))
    return columns


def _decide(
    values: "pd.Series[Any]", name: str, forced: bool, options: dict[str, Any], notes: list[str]
) -> Column | None:
    """The decision for one column; None: it is left out."""
    present = values.dropna()
    if present.empty:
        return _drop(name, "no value in any training row", notes)
    if forced or values.dtype.kind == "b":
        return _category(values, name, options, notes)
    if values.dtype.kind == "M":
        return _date(present, name, notes)
    if values.dtype.kind in "iuf":
        return _number(values, name, options, notes)
    if present.nunique() == 1:
        return _drop(name, f"constant ({present.iloc[0]!r})", notes)
    if present.map(lambda v: isinstance(v, bool)).all():
        return _category(values, name, options, notes)
    numbers = pd.to_numeric(present, errors="coerce")
    if numbers.notna().mean() >= 0.95:
        if numbers.isna().any():
            notes.append(f"column {name!r}: {int(numbers.isna().sum())} values that are not numbers read as missing")
        return _number(pd.to_numeric(values, errors="coerce"), name, options, notes)
    dates = as_dates(present)
    if dates.notna().mean() >= 0.95:
        return _date(dates.dropna(), name, notes)
    return _category(values, name, options, notes)


def _drop(name: str, why: str, notes: list[str]) -> Column | None:
    notes.append(f"column {name!r} left out: {why}")
    return None


def _number(values: "pd.Series[Any]", name: str, options: dict[str, Any], notes: list[str]) -> Column | None:
    numbers = values.to_numpy(dtype=np.float64, na_value=np.nan)
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
    if _is_identifier(present, name, len(numbers)):
        return _drop(name, "an identifier (whole numbers, all different)", notes)
    fill = _fill(present, str(options.get("impute", "median")))
    center, scale = _scaling(np.where(np.isnan(numbers), fill, numbers), str(options.get("scale", "standard")))
    missing = bool(np.isnan(numbers).mean() >= 0.01) and bool(options.get("indicators", True))
    return {"name": name, "role": "number", "fill": fill, "center": center, "scale": scale, "indicator": missing}


def _is_identifier(present: NDArray[np.float64], name: str, rows: int) -> bool:
    """Whether a column numbers the rows: whole numbers, all different, and dense or named like an identifier."""
    if len(present) < rows or rows < 20 or (present != np.round(present)).any() or len(np.unique(present)) < rows:
        return False
    steps = np.diff(np.sort(present))
    named = name.lower() in ("id", "index", "row", "rowid", "uuid") or name.lower().endswith(("_id", " id", "-id"))
    return named or (float(np.median(steps)) <= 2 and present.max() - present.min() <= 4 * rows)


def _fill(present: NDArray[np.float64], how: str) -> float:
    """The value that replaces missing ones."""
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


def _scaling(numbers: NDArray[np.float64], how: str) -> tuple[float, float]:
    """(center, scale) so that (value - center) / scale is of ordinary size; scale is never 0."""
    if how == "standard":
        center, scale = numbers.mean(), numbers.std()
    elif how == "robust":
        low, center, high = np.percentile(numbers, [25, 50, 75])
        scale = (high - low) / 1.349
    elif how == "minmax":
        center, scale = numbers.min(), numbers.max() - numbers.min()
    elif how == "none":
        center, scale = 0.0, 1.0
    else:
        raise DataError(f"prepare.scale: unknown value {how!r}{did_you_mean(how, SCALES)}; one of {', '.join(SCALES)}")
    return float(center), float(scale) if np.isfinite(scale) and scale > 0 else float(numbers.std()) or 1.0


def _category(values: "pd.Series[Any]", name: str, options: dict[str, Any], notes: list[str]) -> Column | None:
    texts = as_texts(values)
    counts = pd.Series(texts).value_counts()
    counts = counts.sort_index().sort_values(ascending=False, kind="stable")  # ties always in the same order
    if len(counts) == 1:
        return _drop(name, "constant", notes)
    if len(counts) == len(texts) and len(texts) > 20:
        return _drop(name, "text that differs in every row", notes)
    most = int(options.get("max_categories", 64))
    if len(counts) > 0.5 * len(texts) and len(counts) > most:
        return _drop(name, f"free text ({len(counts)} different values in {len(texts)} rows)", notes)
    if len(counts) > most:
        notes.append(
            f"column {name!r}: the {most} commonest of {len(counts)} values kept, the others treated as unseen"
        )
        counts = counts.iloc[:most]
    return {"name": name, "role": "category", "values": sorted(str(value) for value in counts.index)}


def _date(dates: "pd.Series[Any]", name: str, notes: list[str]) -> Column | None:
    """The decision for a column of dates; `clock`: whether it has times of day."""
    days = as_days(dates)
    if days.min() == days.max():
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


def as_texts(values: "pd.Series[Any]") -> NDArray[Any]:
    """[rows] of text, the same for equal values (3, 3.0 and "3"; True and "True"), `MISSING` for missing values."""

    def spell(value: Any) -> str:
        if isinstance(value, float | np.floating) and float(value).is_integer():
            return str(int(value))
        return str(value).strip()

    missing = values.isna().to_numpy()
    codes, distinct = pd.factorize(values)  # so that each distinct value is spelled once
    spelled = np.array([spell(value) for value in distinct] + [MISSING], dtype=object)
    return spelled[np.where(missing, len(spelled) - 1, codes)]


def as_dates(values: "pd.Series[Any]") -> "pd.Series[Any]":
    """Dates in UTC, without a time zone; NaT where no date can be read. pandas guesses the format."""
    if values.dtype.kind == "M":
        dates = values
    else:
        texts = values.astype(str)
        if not texts.head(50).str.contains(r"\d{1,4}[-/.:]\d{1,2}").any():
            return pd.Series(pd.NaT, index=values.index)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # pandas warns that it guesses the format
            dates = pd.to_datetime(texts, errors="coerce", utc=True)
    zoned = isinstance(dates.dtype, pd.DatetimeTZDtype)
    return dates.dt.tz_convert("UTC").dt.tz_localize(None) if zoned else dates


def as_days(dates: "pd.Series[Any]") -> NDArray[np.float64]:
    """[rows] days since 1970, NaN where there is no date."""
    days = (as_dates(dates) - pd.Timestamp("1970-01-01")) / pd.Timedelta(days=1)
    return np.asarray(days.to_numpy(dtype=np.float64, na_value=np.nan))
