"""Decides how the cells of each column are read: once, on the whole column, from its distinct cells."""

import math
from collections import Counter
from collections.abc import Callable
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from automl.data.cells import arrow, dates, numbers, words
from automl.data.cells.readings import (
    ATTRIBUTE,
    MOST_CODES,
    Reading,
    Rules,
    as_days,
    as_numbers,
    typed_kind,
)

MOST_WORDS = 3
"""Different words beside numbers that do not make a column one of categories."""
FEWEST_NUMBERS = 20
"""Different numbers that a column needs to be one of numbers although there are words in it."""
FEWEST_DAYS = 3
"""Different dates of digits alone that a column needs to be one of dates."""
MOST_UNITS = 8
"""A column whose numbers have more different units than these holds codes."""


def decide_table(frame: pd.DataFrame, rules: Rules) -> dict[str, Reading]:
    """The reading of every column.

    Args:
        frame: the whole table.
        rules: see there; unknown columns of `types` are not its concern.
    """
    return read_table(frame, rules)[0]


def read_table(frame: pd.DataFrame, rules: Rules) -> tuple[dict[str, Reading], dict[str, NDArray[np.float64]]]:
    """(the reading of every column, the values of those whose text cells are all plain numbers, by name)."""
    evidence = [_Column(frame[name], str(name), rules) for name in frame.columns]
    seen: Counter[str] = Counter()
    for column in evidence:
        seen.update(column.evidence)
    points, commas = seen[".decimal"] + seen[",groups"], seen[",decimal"] + seen[".groups"]
    mark = None if points == commas else "." if points > commas else ","
    first = Counter(o for column in evidence for o in column.orders)
    day = None if first["day"] == first["month"] else first["day"] > first["month"]
    decided = {column.name: column.decide(mark, (mark == ",") if day is None else day) for column in evidence}
    plain = {"kind": "number", "style": numbers.PLAIN}
    values = {c.name: c.values for c in evidence if c.values is not None and decided[c.name] == plain}
    return decided, values


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
        self._values, self._padded, self._exponents, self.plain, self.total = values, True, True, True, 0
        self.values: NDArray[np.float64] | None = None
        if self.typed and rules.types.get(name) in (None, self.typed):
            return
        text = arrow.text(values)
        present = None if text is None else arrow.present(text, rules.missing_words)
        self.values = None if present is None else arrow.plain_numbers(present)
        if present is not None and self.values is not None:
            self.total = len(present) - present.null_count
            self._padded, self._exponents = arrow.any_padded(present), arrow.any_coded(present)
            self.evidence = Counter(self._plain_evidence(present))
            return
        self.total = int(self.counts.sum())
        self.plain = bool(self.cells) and numbers.are_plain(self.cells)
        if self.plain:
            self.evidence = Counter({".decimal": 1} if numbers.shows_point(self.cells) else {})
            return
        self.evidence = numbers.evidence(self.cells, self.counts)
        for _, shown, count in numbers.mostly(self.cells, self.counts, dates.order):
            if shown:
                self.orders[shown] += count

    def _plain_evidence(self, present: Any) -> dict[str, int]:
        """What plain numbers show of the decimal mark: a fraction that is no group of three digits shows a point."""
        if not arrow.any_with(present, "."):
            return {}
        some = present.drop_null().slice(0, 200).to_pylist()
        return {".decimal": 1} if numbers.shows_point(some) or numbers.shows_point(self.cells) else {}

    @cached_property
    def _distinct(self) -> tuple[list[str], NDArray[np.int64]]:
        codes, cells = words.distinct(self._values)
        keep = ~words.are_missing(cells, self.rules.missing_words)
        counts = np.bincount(codes, minlength=len(cells))[keep]
        return [cell for cell, present in zip(cells, keep, strict=True) if present], counts.astype(np.int64)

    @property
    def cells(self) -> list[str]:
        """The distinct cells that are not missing."""
        return self._distinct[0]

    @property
    def counts(self) -> NDArray[np.int64]:
        """How often each of `cells` occurs."""
        return self._distinct[1]

    def decide(self, mark: str | None, dayfirst: bool) -> Reading:
        """The reading. `mark`, `dayfirst`: what the other columns of the table show."""
        wanted = self.rules.types.get(self.name)
        if self.typed and wanted in (None, self.typed):
            return {"kind": self.typed, **({"style": numbers.PLAIN} if self.typed == "number" else {})}
        total = self.total
        if not total or wanted == "category":
            return {"kind": "category"}
        ways: tuple[tuple[str, Callable[[], tuple[Reading, int]]], ...] = (
            ("date", self._compact),
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
            return self._number_beside_words(mark) or self._category()
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
        padded = self._padded and numbers.padded(self.cells, self.counts) > 0
        exponents = self._exponents and numbers.coded(self.cells, self.counts)
        if (padded or exponents) and self.rules.types.get(self.name) != "number" and self._few:
            return {"kind": "category", "codes": True, **({"exponents": True} if exponents else {})}, self.total
        reading: Reading = {"kind": "number", "style": style}
        if doubt:
            reading["doubt"] = True
        if padded or exponents:
            reading["exponents" if exponents else "padded"] = True
        if self.plain and style == numbers.PLAIN:
            return reading, self.total
        return reading, self._readable(lambda cell: numbers.read(cell, style, self.rules.comma))

    def _number_beside_words(self, mark: str | None) -> Reading:
        """The reading of many different numbers beside up to three words that repeat, such as `unknown` and `<5`."""
        kept, others = [], 0
        for k, cell in enumerate(self.cells):
            if numbers.split(cell) is not None:
                kept.append(k)
            elif self.counts[k] > 1 and others < MOST_WORDS:
                others += 1
            else:
                return {}
        count = int(self.counts[kept].sum())
        if len(kept) < FEWEST_NUMBERS or count < 0.5 * self.total:
            return {}
        cells, counts = [self.cells[k] for k in kept], self.counts[kept]
        style, doubt = numbers.style_of(cells, counts, self.rules.decimal, mark, self.rules.comma)
        readable = int(counts[~np.isnan(numbers.read_all(cells, style, self.rules.comma))].sum())
        if readable < numbers.MOSTLY * count or numbers.padded(cells, counts):
            return {}
        reading: Reading = {"kind": "number", "style": style, "unreadable": self.total - readable}
        return {**reading, "doubt": True} if doubt else reading

    @property
    def _few(self) -> bool:
        """Whether codes are few, or repeat."""
        return len(self.cells) <= MOST_CODES or len(self.cells) <= 0.5 * self.total

    def _compact(self) -> tuple[Reading, int]:
        """Dates of digits alone, such as 20210625: several, and nearly all cells."""
        if self.values is not None and not _may_be_days(self.values):
            return {}, 0
        if self.name not in self.rules.types and len(self.cells) < FEWEST_DAYS:
            return {}, 0
        reading: Reading = {"kind": "date", "dayfirst": False, "compact": True}
        return reading, self._readable(lambda cell: dates.days(cell, False) if dates.is_compact(cell) else math.nan)

    def _category(self) -> Reading:
        """A column of text; `units`: those of its numbers, where they are several."""
        used = [unit for unit in numbers.units_of(self.cells, self.counts) if unit]
        kept = 1 < len(used) <= MOST_UNITS and numbers.has_fractions(self.cells)  # 12A and 12B are codes
        return {"kind": "category", "units": used[:3]} if kept else {"kind": "category"}

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


def _may_be_days(values: NDArray[np.float64]) -> bool:
    """Whether all numbers lie between 19000101 and 20991231, or do with hours, minutes and seconds behind them."""
    low, high = np.nanmin(values), np.nanmax(values)
    return any(19000101 * f <= low and high < 20991232 * f for f in (1, 10**4, 10**6))


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
