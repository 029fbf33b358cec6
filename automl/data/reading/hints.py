"""What is probably wrong with a file in which a column is not found, in a few words with the remedy."""

from collections.abc import Sequence

import pandas as pd

from automl.data.cells.numbers import are_plain
from automl.data.cells.readings import ATTRIBUTE

_MARKS = {"^": "^", "~": "~", ":": ":", "\x01": "\\x01", "\x1f": "\\x1f", "/": "/", "!": "!", "\u00a7": "\u00a7"}
LINES = 50
"""So many rows are looked at for a header that is not in the first line."""


def why_missing(name: str, frame: pd.DataFrame) -> str:
    """Why a file may have no column `name`; empty where nothing is to be seen, or where the table is no file.

    Args:
        name: of the column.
        frame: the table as it was read.
    """
    if not from_file(frame):
        return ""
    names = [str(column) for column in frame.columns]
    if len(names) == 1 and (mark := _other_mark(name, names[0])):
        return f"; the cells seem to be separated by {mark!r}: `prepare: {{separator: {mark!r}}}`"
    if f"'{name}'" in names:
        return "; the names stand in single quotation marks, which belong to them in a CSV file: write double ones"
    if sum(are_plain([column]) for column in names) * 2 >= len(names) > 1:
        return f"; the first line of the file has to name the columns, and has {', '.join(names[:4])}"
    above = _row_with(name, frame)
    return f"; row {above} below the first line holds that name: remove what stands above it" if above else ""


def from_file(frame: pd.DataFrame) -> bool:
    """Whether a table was read from a file of separated cells."""
    return bool(frame.attrs.get(ATTRIBUTE, {}).get("file"))


def repeated_headers(frame: pd.DataFrame) -> "pd.Series[bool]":
    """[rows] whether a row repeats the header, as where files were joined."""
    names: Sequence[str] = [str(column) for column in frame.columns]
    same = (frame.iloc[:, 0] == names[0]).fillna(False).astype(bool)
    if not from_file(frame) or not same.any() or len(names) < 2:
        return pd.Series(False, index=frame.index)
    rows = frame[same]
    whole = (rows.astype(object) == pd.Series(names, index=frame.columns)).all(axis=1)
    return whole.reindex(frame.index, fill_value=False).astype(bool)


def _other_mark(name: str, header: str) -> str:
    for mark in _MARKS:
        if name in [part.strip().strip('"') for part in header.split(mark)]:
            return mark
    words = [word.strip('"') for word in header.split()]
    return " " if name in words and len(words) > 1 else ""


def _row_with(name: str, frame: pd.DataFrame) -> int:
    """The number of the first row, from 1, in which a cell is `name`; 0: none of the first ones."""
    cells = frame.head(LINES).astype(str)
    hit = (cells == name).any(axis=1).to_numpy()
    return int(hit.argmax()) + 1 if hit.any() else 0
