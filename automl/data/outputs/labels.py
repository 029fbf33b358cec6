"""Targets of several labels, of which a row may have any number: columns of 0 and 1, or cells such as "red;blue"."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from automl.data.cells import readings, words
from automl.data.cells.readings import Rules
from automl.data.targets import Target
from automl.errors import DataError

ANSWERS = {"0": 0.0, "1": 1.0, "false": 0.0, "true": 1.0, "no": 0.0, "yes": 1.0, "n": 0.0, "y": 1.0}
"""What is read as the answer to whether a row has a label."""
FEWEST = 5
"""A label that fewer rows have is left out."""


def of_columns(columns: Mapping[str, Any], rules: Rules) -> Target:
    """Labels that are columns; rows that lack the answer of one are left out.

    Args:
        columns: the name of each label -> its values [rows].
        rules: how cells are read where they are text.

    Returns:
        The target: `classes` are the labels, `y` [rows, labels] 0 or 1.

    Raises:
        DataError: a column holds something else.
    """
    absent, found = readings.missing_words(rules.missing), []
    for name, values in columns.items():
        texts = [_plain(value) for value in pd.Series(values).astype(object)]
        wrong = next((text for text in texts if text.casefold() not in ANSWERS and text not in {*absent, ""}), None)
        if wrong is not None:
            raise DataError(f"label {name!r}: expected 0 or 1 (or no and yes), got {wrong!r}")
        found.append([ANSWERS.get(text.casefold(), np.nan) for text in texts])
    y = np.array(found).T
    keep = np.asarray(np.isfinite(y).all(axis=1))
    return _target(y, list(columns), keep)


def of_cells(values: Any, name: str, separator: str) -> Target:
    """Labels that are named in one cell each row; an empty cell has none.

    Args:
        values: [rows].
        name: of the column.
        separator: what stands between two labels.

    Returns:
        As `of_columns`.

    Raises:
        DataError: there are fewer than two labels that several rows have.
    """
    rows = [{one for part in _plain(value).split(separator) if (one := words.clean(part))} for value in values]
    counts: dict[str, int] = {}
    for own in rows:
        for one in own:
            counts[one] = counts.get(one, 0) + 1
    labels = sorted(one for one, count in counts.items() if count >= FEWEST)
    if len(labels) < 2:
        raise DataError(
            f"target {name!r}: {len(labels)} labels of {FEWEST} rows or more, separated by {separator!r}; is "
            "`prepare: {label_separator: ...}` right?"
        )
    y = np.array([[float(one in own) for one in labels] for own in rows])
    made = _target(y, labels, np.ones(len(y), dtype=bool))
    if rare := sorted(set(counts) - set(labels)):
        some = ", ".join(map(repr, rare[:4]))
        made.notes.append(f"target {name!r}: labels of fewer than {FEWEST} rows left out: {some}")
    return made


def _plain(value: Any) -> str:
    """A cell as text, whole numbers without a fraction; a missing one is empty."""
    if value is None or (isinstance(value, float) and value != value) or value is pd.NA:
        return ""
    return str(int(value)) if isinstance(value, float | np.floating) and float(value).is_integer() else str(value)


def _target(y: NDArray[np.float64], labels: list[str], keep: NDArray[np.bool_]) -> Target:
    if not keep.any():
        raise DataError("no row has an answer for every label")
    for name, column in zip(labels, y[keep].T, strict=True):
        if column.min() == column.max():
            raise DataError(f"label {name!r}: all rows have the answer {int(column[0])}: there is nothing to learn")
    notes = [f"{len(labels)} labels, of which a row may have several; {y[keep].sum(1).mean():.2g} on average"]
    if not keep.all():
        notes.append(f"{(~keep).sum()} rows without an answer for every label left out")
    return Target("regression", y, list(labels), keep, notes)
