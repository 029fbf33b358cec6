"""Cells as text: the canonical spelling of a value of any type, and the words that stand for a missing value."""

import datetime
import re
from collections.abc import Collection
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from automl.data.cells import arrow

NEVER_VALUES = (
    "", "nan", "NaN", "-nan", "-NaN", "#N/A", "#N/A N/A", "#NA", "<NA>", "-1.#IND", "-1.#QNAN", "1.#IND", "1.#QNAN",
    "NaT", "#DIV/0!", "#VALUE!", "#REF!", "#NAME?", "#NUM!", "#NULL!", "0000-00-00", "0000-00-00 00:00:00",
)  # fmt: skip
"""Cells that are missing values in every column, also in a target."""
PERHAPS_VALUES = (
    "?", "-", "--", ".", "NA", "N/A", "N.A.", "na", "n/a", "n.a.", "null", "NULL", "Null", "None", "none",
)  # fmt: skip
"""Cells that are missing values in inputs and in numeric targets; in a target of classes they may be a class."""
_SPACES = str.maketrans({"\u00a0": " ", "\u202f": " ", "\u2007": " ", "\u2009": " "})
_ODD_SPACES = ("\u00a0", "\u202f", "\u2007", "\u2009")
_EDGES = re.compile(r"(?:^|\n)[ \t\r\v\f]|[ \t\r\v\f](?:\n|$)")
_INVISIBLE = " \t\r\n\v\f\u00a0\u202f\u2007\u2009\u200b\ufeff"


def clean(text: str) -> str:
    """`text` without spaces around it, with ordinary spaces for thin ones; `01` for `="01"` of Excel."""
    text = text.strip(_INVISIBLE)
    if text.startswith('="') and text.endswith('"') and len(text) > 3 and '"' not in text[2:-1]:
        text = text[2:-1].strip(_INVISIBLE)
    return text.translate(_SPACES) if not text.isascii() and any(s in text for s in _ODD_SPACES) else text


def canonical(value: Any) -> str:
    """The text of a value of any type, as a CSV file would have it; "" for a missing value.

    Whole numbers have no fraction (3 for 3.0), so that a column of numbers with gaps is spelled as one without.
    """
    if isinstance(value, str):
        return clean(value)
    if value is None or value is pd.NA or value is pd.NaT:
        return ""
    if isinstance(value, bool | np.bool_):
        return str(bool(value))
    if isinstance(value, float | np.floating):
        if np.isnan(value):
            return ""
        number = float(value)
        return str(int(number)) if number.is_integer() and abs(number) < 1e16 else str(value)
    if isinstance(value, pd.Timestamp | datetime.datetime | datetime.date | datetime.time):
        return value.isoformat()
    if isinstance(value, bytes):
        return clean(value.decode("utf-8", errors="replace"))
    return clean(str(value))


def distinct(values: "pd.Series[Any]") -> tuple[NDArray[np.int64], list[str]]:
    """([rows] codes, the distinct cells): cell k of the column is `cells[codes[k]]`, in canonical spelling."""
    text = arrow.text(values)
    if text is not None:
        codes, cells = arrow.distinct(text)
        spelled = _all_clean(cells)
    elif isinstance(values.dtype, np.dtype) and values.dtype.kind in "iufb":
        numbers, uniques = pd.factorize(values.to_numpy(), use_na_sentinel=False)
        codes, spelled = numbers.astype(np.int64), [canonical(value) for value in uniques]
    else:  # equal values of several types (1, True, 1.0) are to stay apart
        array = np.array([canonical(value) for value in values.to_numpy(dtype=object)], dtype=object)
        found, uniques = pd.factorize(array)
        codes, spelled = found.astype(np.int64), list(uniques)
    if len(set(spelled)) == len(spelled):
        return codes, spelled
    again, unique = pd.factorize(np.array(spelled, dtype=object))
    return again.astype(np.int64)[codes], list(unique)


def _all_clean(cells: list[str]) -> list[str]:
    """The cells in clean spelling; nearly all columns are clean already, which is seen at once."""
    joined = "\n".join(cells)
    if joined.isascii() and joined.count("\n") == len(cells) - 1 and not _EDGES.search(joined) and '="' not in joined:
        return cells
    return [clean(cell) for cell in cells]


def are_missing(cells: list[str], missing: Collection[str]) -> NDArray[np.bool_]:
    """[cells] bool, whether a cell is one of the words `missing`."""
    found = frozenset(missing).intersection(cells)
    if not found:
        return np.zeros(len(cells), dtype=bool)
    return np.fromiter((cell in found for cell in cells), dtype=bool, count=len(cells))
