"""How the cells of a column are read: decided once, on the whole column, and kept as JSON.

A reading is a dict: `{"kind": "number", "style": ...}`, `{"kind": "date", "dayfirst": ...}`, `{"kind": "time"}` or
`{"kind": "category"}`. Columns of a typed table that are numbers, dates or truth values are what their type says.
"""

import math
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from automl.data.cells import dates, numbers, words
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


def decide_table(frame: pd.DataFrame, rules: Rules) -> dict[str, Reading]:
    """The reading of every column.

    Args:
        frame: the whole table.
        rules: see there; unknown columns of `types` are not its concern.
    """
    evidence = [_Column(frame[name], str(name), rules) for name in frame.columns]
    seen: Counter[str] = Counter()
    for column in evidence:
        seen.update(column.evidence)
    points, commas = seen[".decimal"] + seen[",groups"], seen[",decimal"] + seen[".groups"]
    mark = None if points == commas else "." if points > commas else ","
    first = Counter(o for column in evidence for o in column.orders)
    day = None if first["day"] == first["month"] else first["day"] > first["month"]
    return {column.name: column.decide(mark, (mark == ",") if day is None else day) for column in evidence}


def decide(values: "pd.Series[Any]", name: str, rules: Rules) -> Reading:
    """The reading of one column, where no others are there to learn from."""
    column = _Column(values, name, rules)
    return column.decide(None, False)


class _Column:
    """One column while its reading is decided: its distinct cells, and what they show without a doubt."""

    def __init__(self, values: "pd.Series[Any]", name: str, rules: Rules) -> None:
        self.name, self.rules = name, rules
        self.evidence: Counter[str] = Counter()
        self.orders: Counter[str] = Counter()
        self.typed = typed_kind(values)
        if self.typed and rules.types.get(name) in (None, self.typed):
            self.cells, self.counts, self.plain = [], np.zeros(0, dtype=np.int64), True
            return
        codes, cells = words.distinct(values)
        keep = ~words.are_missing(cells, rules.missing_words)
        self.counts = np.bincount(codes, minlength=len(cells))[keep]
        self.cells = [cell for cell, present in zip(cells, keep, strict=True) if present]
        self.plain = bool(self.cells) and numbers.are_plain(self.cells)
        if self.plain:
            self.evidence = Counter(_plain_evidence(self.cells))
            return
        self.evidence = numbers.evidence(self.cells, self.counts)
        for _, shown, count in numbers.mostly(self.cells, self.counts, dates.order):
            if shown:
                self.orders[shown] += count

    def decide(self, mark: str | None, dayfirst: bool) -> Reading:
        """The reading. `mark`, `dayfirst`: what the other columns of the table show."""
        wanted = self.rules.types.get(self.name)
        if self.typed and wanted in (None, self.typed):
            return {"kind": self.typed, **({"style": numbers.PLAIN} if self.typed == "number" else {})}
        total = int(self.counts.sum())
        if not total or wanted == "category":
            return {"kind": "category"}
        ways: tuple[tuple[str, Callable[[], tuple[Reading, int]]], ...] = (
            ("number", lambda: self._number(mark)),
            ("date", lambda: self._date(dayfirst)),
            ("time", self._time),
            ("number", self._clock),
        )
        for kind, decided in ways:
            if wanted in (None, kind):
                reading, readable = decided()
                if readable >= numbers.MOSTLY * total or (wanted == kind and readable):
                    return reading if readable == total else {**reading, "unreadable": total - readable}
        if not wanted:
            return {"kind": "category"}
        return {"kind": wanted, **({"style": numbers.PLAIN} if wanted == "number" else {})}

    def _readable(self, read: Callable[[str], float]) -> int:
        """How many rows can be read; 0 where they are not nearly all, unless the user asked for it."""
        if self.name in self.rules.types:
            return sum(
                n for cell, n in zip(self.cells, self.counts.tolist(), strict=True) if not math.isnan(read(cell))
            )
        return sum(count for _, value, count in numbers.mostly(self.cells, self.counts, read) if not math.isnan(value))

    def _number(self, mark: str | None) -> tuple[Reading, int]:
        if self.plain and mark != "," and self.rules.decimal != ",":
            style, doubt = numbers.PLAIN, False
        else:
            style, doubt = numbers.style_of(self.cells, self.counts, self.rules.decimal, mark, self.rules.comma)
        few = len(self.cells) <= MOST_CODES or len(self.cells) <= 0.5 * self.counts.sum()
        if few and self.rules.types.get(self.name) != "number" and numbers.padded(self.cells, self.counts):
            return {"kind": "category", "codes": True}, int(self.counts.sum())
        reading: Reading = {"kind": "number", "style": style}
        if doubt:
            reading["doubt"] = True
        if self.plain and style == numbers.PLAIN:
            return reading, int(self.counts.sum())
        return reading, self._readable(lambda cell: numbers.read(cell, style, self.rules.comma))

    def _date(self, dayfirst: bool) -> tuple[Reading, int]:
        ambiguous = False
        if self.rules.dayfirst is not None:
            dayfirst = self.rules.dayfirst
        elif self.orders["day"] != self.orders["month"]:
            dayfirst = self.orders["day"] > self.orders["month"]
        elif self.orders["either"]:
            ambiguous = True
            dayfirst = dayfirst or any("." in cell for cell in self.cells[:20] if dates.order(cell))
        reading: Reading = {"kind": "date", "dayfirst": bool(dayfirst)}
        if ambiguous:
            reading["ambiguous"] = True
        elif self.orders:
            reading["shown"] = True
        return reading, self._readable(lambda cell: dates.days(cell, dayfirst))

    def _time(self) -> tuple[Reading, int]:
        return {"kind": "time"}, self._readable(dates.seconds)

    def _clock(self) -> tuple[Reading, int]:
        style = numbers.clock_style(self.cells)
        return {"kind": "number", "style": style}, self._readable(lambda cell: numbers.read(cell, style))


def _plain_evidence(cells: list[str]) -> dict[str, int]:
    """What plain numbers show of the decimal mark: a fraction that is no group of three digits shows a point."""
    return {".decimal": 1} if numbers.shows_point(cells) else {}


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
        extra = {float(word) for word in missing if _is_plain(word)}
        if extra:
            array = np.where(np.isin(array, list(extra)), np.nan, array)
        return Read(array, 0, [])
    return _read(values, missing, lambda cells: numbers.read_all(cells, reading["style"], comma))


def as_days(values: "pd.Series[Any]", reading: Reading, missing: frozenset[str]) -> "Read":
    """[rows] days since 1970, NaN where there is no date."""
    if typed_kind(values) == "date":
        zoned = isinstance(values.dtype, pd.DatetimeTZDtype)
        dates_ = values.dt.tz_convert("UTC").dt.tz_localize(None) if zoned else values
        days = (dates_ - pd.Timestamp("1970-01-01")) / pd.Timedelta(days=1)
        return Read(np.asarray(days.to_numpy(dtype=np.float64, na_value=np.nan)), 0, [])
    dayfirst = bool(reading.get("dayfirst"))
    return _read(values, missing, lambda cells: np.array([dates.days(cell, dayfirst) for cell in cells], dtype=float))


def as_seconds(values: "pd.Series[Any]", missing: frozenset[str]) -> "Read":
    """[rows] seconds since midnight, NaN where there is no time of day."""
    if typed_kind(values) == "date":
        days = as_days(values, {}, missing).values
        return Read((days % 1) * 86_400, 0, [])
    return _read(values, missing, lambda cells: np.array([dates.seconds(cell) for cell in cells], dtype=float))


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


def _is_plain(word: str) -> bool:
    return bool(word) and numbers.are_plain([word])


def typed(frame: pd.DataFrame, rules: Rules) -> pd.DataFrame:
    """The table with numbers and dates where its cells are such; how they were written is kept in `attrs`."""
    decided = decide_table(frame, rules)
    changed: dict[str, Any] = {}
    for name, reading in decided.items():
        column = frame[name]
        if typed_kind(column):
            continue
        if reading["kind"] == "number":
            changed[name] = as_numbers(column, reading, rules.missing_words, rules.comma).values
        elif reading["kind"] == "date":
            days = as_days(column, reading, rules.missing_words).values
            changed[name] = pd.to_datetime((days * 86_400_000).round(), unit="ms", errors="coerce")
        else:
            codes, cells = words.distinct(column)
            spelled = np.array([None if c in rules.missing_words else c for c in cells], dtype=object)
            changed[name] = pd.Series(spelled[codes], index=column.index, dtype=object)
    result = frame.assign(**changed)
    result.attrs = {ATTRIBUTE: {**frame.attrs.get(ATTRIBUTE, {}), "readings": decided}}
    return result
