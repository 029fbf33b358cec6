"""How the cells of a column are read, once that is decided (`automl.data.cells.deciding`).

A reading is a dict: `{"kind": "number", "style": ...}`, `{"kind": "date", "dayfirst": ...}`, `{"kind": "time"}` or
`{"kind": "category"}`. Columns of a typed table that are numbers, dates or truth values are what their type says.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from automl.data.cells import arrow, dates, numbers, words
from automl.errors import DataError, did_you_mean

Reading = dict[str, Any]
KINDS = ("category", "number", "date", "time")
ATTRIBUTE = "automl"
"""Key of `DataFrame.attrs` under which a table says how it was read: {"file": ..., "readings": ...}."""
MOST_CODES = 64
"""Codes with leading zeros are categories where there are no more of them than this, or they repeat."""


@dataclass(frozen=True)
class Rules:
    """What the user said, and what the file shows, of how cells are to be read.

    Attributes:
        missing: further words that stand for a missing value.
        decimal: "." or ","; None: found out for each column.
        dayfirst: whether 05/06/2021 is the fifth of June; None: found out for each column.
        types: columns whose kind the user named, one of `KINDS`.
        comma: whether cells are separated by something else than commas.
        file: whether the cells come from a file of text, where 1 is a number; text that a program gave stays text.
    """

    missing: tuple[str, ...] = ()
    decimal: str | None = None
    dayfirst: bool | None = None
    types: Mapping[str, str] = field(default_factory=dict)
    comma: bool = False
    file: bool = False

    @property
    def missing_words(self) -> frozenset[str]:
        """All words that stand for a missing value in an input."""
        return missing_words(self.missing)


def missing_words(further: Any = ()) -> frozenset[str]:
    """The words that stand for a missing value in an input, those of the user among them."""
    return frozenset((*words.NEVER_VALUES, *words.PERHAPS_VALUES, *(str(word) for word in further)))


def rules_of(options: Mapping[str, Any], frame: "pd.DataFrame | pd.Series[Any] | None" = None) -> Rules:
    """The rules of the options of `prepare:` for a table.

    Raises:
        DataError: an option has a wrong value.
    """
    missing = options.get("missing") or ()
    missing = [missing] if isinstance(missing, str | int | float) else missing
    decimal, dayfirst = options.get("decimal"), options.get("dayfirst")
    if decimal not in (None, ".", ","):
        raise DataError(f'prepare.decimal: expected "." or ",", got {decimal!r}')
    if dayfirst not in (None, True, False):
        raise DataError(f"prepare.dayfirst: expected true or false, got {dayfirst!r}")
    types = options.get("types") or {}
    if not isinstance(types, Mapping):
        raise DataError(f"prepare.types: expected columns with their types, such as {{zip: category}}, got {types!r}")
    for name, kind in types.items():
        if kind not in KINDS:
            hint = did_you_mean(str(kind), KINDS)
            raise DataError(f"prepare.types: {name}: expected one of {', '.join(KINDS)}, got {kind!r}{hint}")
    kinds = {str(name): str(kind) for name, kind in types.items()}
    kinds |= {str(name): "category" for name in options.get("categories") or ()}
    words_given = tuple(words.canonical(word) for word in missing)
    return Rules(words_given, decimal, dayfirst, kinds, comma_of(frame), bool(_file(frame)))


def comma_of(frame: "pd.DataFrame | pd.Series[Any] | None") -> bool:
    """Whether a table comes from a file whose cells are separated by something else than commas."""
    return bool(_file(frame).get("separator", ",") != ",")


def _file(frame: "pd.DataFrame | pd.Series[Any] | None") -> dict[str, Any]:
    """What `attrs` says of the file that a table comes from; empty where it comes from a program."""
    return {} if frame is None else frame.attrs.get(ATTRIBUTE, {}).get("file", {})


def typed_kind(values: "pd.Series[Any]") -> str:
    """The kind that the type of a column says; "" for text and mixtures, whose cells say it."""
    kind = values.dtype.kind
    if isinstance(values.dtype, pd.CategoricalDtype):
        return ""
    return "category" if kind == "b" else "date" if kind == "M" else "number" if kind in "iuf" else ""


def as_numbers(values: "pd.Series[Any]", reading: Reading, missing: frozenset[str], comma: bool) -> "Read":
    """The numbers of a column, NaN where one is missing or cannot be read."""
    if typed_kind(values) in ("number", "category"):
        array = values.to_numpy(dtype=np.float64, na_value=np.nan)
        extra = _numbers_among(missing)
        if extra:
            array = np.where(np.isin(array, extra), np.nan, array)
        return Read(array, 0, [])
    if reading["style"] == numbers.PLAIN and (text := arrow.text(values)) is not None:
        plain = arrow.plain_numbers(arrow.present(text, missing))
        if plain is not None:
            return Read(plain, 0, [])
    return _read(values, missing, lambda cells: numbers.read_all(cells, reading["style"], comma))


def as_days(values: "pd.Series[Any]", reading: Reading, missing: frozenset[str]) -> "Read":
    """[rows] days since 1970, NaN where there is no date."""
    if typed_kind(values) == "date":
        return Read(arrow.microseconds_as_days(arrow.microseconds(values)), 0, [])
    dayfirst = bool(reading.get("dayfirst"))
    return _read(values, missing, lambda cells: dates.days_all(cells, dayfirst))


def as_seconds(values: "pd.Series[Any]", missing: frozenset[str]) -> "Read":
    """[rows] seconds since midnight, NaN where there is no time of day."""
    if typed_kind(values) == "date":
        micro = arrow.microseconds(values)
        return Read(np.where(micro == arrow.NO_TIME, np.nan, micro % arrow.DAY / 1e6), 0, [])
    return _read(values, missing, lambda cells: np.array([dates.time_of_day(cell) for cell in cells], dtype=float))


@dataclass(frozen=True)
class Read:
    """A column as numbers.

    Attributes:
        values: [rows] float64, NaN where there is none.
        unreadable: how many cells are neither missing nor readable.
        examples: some of them.
    """

    values: NDArray[np.float64]
    unreadable: int
    examples: list[str]


def _read(values: "pd.Series[Any]", missing: frozenset[str], read: Any) -> Read:
    codes, cells = words.distinct(values)
    absent = words.are_missing(cells, missing)
    present = [cell for cell, gone in zip(cells, absent, strict=True) if not gone]
    known = np.full(len(cells), np.nan)
    known[~absent] = read(present)
    unread = np.isnan(known) & ~absent
    count = int(unread[codes].sum()) if unread.any() else 0
    return Read(known[codes], count, [cells[k] for k in np.flatnonzero(unread)[:2]])


@lru_cache
def _numbers_among(missing: frozenset[str]) -> tuple[float, ...]:
    """The words for a missing value that are numbers, such as -999."""
    return tuple({float(word) for word in missing if _is_plain(word)})


def _is_plain(word: str) -> bool:
    return bool(word) and numbers.are_plain([word])
