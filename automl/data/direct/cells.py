"""Columns of plain Python values, read as `automl.data.preparing.tables.Cells` reads those of a DataFrame.

A column is one of numbers, of truth values or of texts, each with gaps (None). Other columns raise `Mixed`: pandas
has rules of its own for them.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from automl.data.cells import dates, numbers, readings, words
from automl.data.preparing import tables
from automl.data.preparing.columns import MISSING, Column, category_codes, whole_number

Floats = NDArray[np.float64]
_NONE = type(None)
LARGEST_INTEGER = 2**63
REMEMBERED = 10_000
"""So many spellings of a column's categories are remembered."""


class Mixed(Exception):
    """Values of several types in one column, or of a type that JSON has not."""


def kind_of(values: Sequence[Any]) -> str:
    """ "integer", "float" (integers with gaps or fractions too), "bool" or "text" (a column of gaps too).

    Raises:
        Mixed: it is none of them.
    """
    types = set(map(type, values))
    if types == {int}:
        return "integer"
    if types <= {int, float, _NONE} and types != {_NONE}:
        return "float"
    if types <= {str, _NONE}:
        return "text"
    if types == {bool}:
        return "bool"
    raise Mixed


def as_floats(values: Sequence[Any]) -> Floats:
    """[rows] of a column of numbers, NaN for None.

    Raises:
        Mixed: an integer is too large for a column of integers.
    """
    try:
        array = np.array(values, dtype=np.float64)
    except OverflowError:
        raise Mixed from None
    if (np.abs(array) >= LARGEST_INTEGER).any() and any(type(v) is int and abs(v) >= LARGEST_INTEGER for v in values):
        raise Mixed
    return array


def spelled(values: Sequence[Any], kind: str) -> list[Any]:
    """The values whose canonical spelling pandas would see: a column with a gap or a fraction has floats only."""
    return [None if v is None else float(v) for v in values] if kind == "float" else list(values)


class DirectCells:
    """Reads the columns of one preparation; it remembers spellings of categories, so it serves many requests."""

    def __init__(self, preparation: Mapping[str, Any]) -> None:
        self.missing = frozenset(preparation["reading"]["missing"])
        self.comma = tables.comma_of(preparation)
        self.missing_numbers = [float(word) for word in self.missing if word and numbers.are_plain([word])]
        self.codes: dict[str, dict[str, float]] = {c["name"]: {} for c in preparation["columns"]}

    def read(self, column: Column, values: Sequence[Any], unread: list[str]) -> Floats:
        """[rows] numbers, days or seconds; or codes of categories, 0 for unseen ones. NaN: missing or unreadable.

        `unread` gets a few words where cells cannot be read, or were not seen in training.

        Raises:
            Mixed: the column is to be read by pandas.
        """
        kind = kind_of(values)
        match column["role"]:
            case "number":
                return self._numbers(column, values, kind, unread)
            case "date":
                dayfirst = bool(column.get("dayfirst"))
                return self._each(column, values, kind, lambda cell: dates.days(cell, dayfirst), "not a date", unread)
            case "time":
                return self._each(column, values, kind, dates.time_of_day, "not a time of day", unread)
            case _:
                return self._categories(column, values, kind, unread)

    def _numbers(self, column: Column, values: Sequence[Any], kind: str, unread: list[str]) -> Floats:
        if kind == "text":
            style = column.get("style", numbers.PLAIN)
            return self._read(
                column, values, kind, lambda cells: numbers.read_all(cells, style, self.comma), "not a number", unread
            )
        array = as_floats(values)
        if self.missing_numbers:
            array[np.isin(array, self.missing_numbers)] = np.nan
        return array

    def _each(
        self, column: Column, values: Sequence[Any], kind: str, read: Callable[[str], float], what: str,
        unread: list[str],
    ) -> Floats:  # fmt: skip
        def read_all(cells: list[str]) -> Floats:
            return np.array([read(cell) for cell in cells], dtype=np.float64)

        return self._read(column, values, kind, read_all, what, unread)

    def _read(
        self, column: Column, values: Sequence[Any], kind: str, read: Callable[[list[str]], Floats], what: str,
        unread: list[str],
    ) -> Floats:  # fmt: skip
        """Read the distinct cells only."""
        if kind in ("integer", "float"):
            as_floats(values)  # large integers are for pandas
        cells = [words.canonical(value) for value in spelled(values, kind)]
        present = [cell for cell in dict.fromkeys(cells) if cell not in self.missing]
        known = dict(zip(present, read(present).tolist(), strict=True)) if present else {}
        strange = [cell for cell, number in known.items() if number != number]
        if strange:
            count = sum(cell in strange for cell in cells)
            unread.append(tables.unreadable_values(column["name"], what, _as_read(count, strange)))
        nan = float("nan")
        return np.array([known.get(cell, nan) for cell in cells], dtype=np.float64)

    def _categories(self, column: Column, values: Sequence[Any], kind: str, unread: list[str]) -> Floats:
        if kind in ("integer", "float"):
            as_floats(values)
        known = self.codes[column["name"]]
        if len(known) > REMEMBERED:
            known.clear()
        cells = values if kind == "text" else [words.canonical(value) for value in spelled(values, kind)]
        for cell in set(cells) - known.keys():
            known[cell] = self._code(column, "" if cell is None else cell)
        codes = np.array([known[cell] for cell in cells], dtype=np.float64)
        if (codes == 0).any():
            texts = [whole_number(words.clean(cell)) for cell, code in zip(cells, codes, strict=True) if code == 0]
            unread.append(tables.unseen_values(column["name"], texts))
        return codes

    def _code(self, column: Column, cell: str) -> float:
        text = words.clean(cell)
        if text in self.missing:
            return float("nan")
        return float(category_codes(column, np.array([whole_number(text)], dtype=object))[0])


def missing_code(column: Column) -> int:
    """The code of a missing value in a column of categories; 0 where training had none."""
    return column["values"].index(MISSING) + 1 if MISSING in column["values"] else 0


def _as_read(count: int, examples: list[str]) -> readings.Read:
    return readings.Read(np.zeros(0), count, examples[:2])
