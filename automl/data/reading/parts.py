"""Whether parts that came with the data (train, val, test) fit together: columns, their types, and labels."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from automl.errors import DataError, did_you_mean

_SHOWN = 5  # names in a message


def check_frames(parts: Mapping[str, pd.DataFrame]) -> list[str]:
    """Check that all parts have the columns of the first one, with the same kinds of values.

    Args:
        parts: {name of a part: its inputs}, the first one first.

    Returns:
        a note for each part with columns that the first one lacks, which are left out.

    Raises:
        DataError: a part lacks a column, or has text where the first one has numbers.
    """
    (first, frame), *others = parts.items()
    notes = []
    for name, other in others:
        missing = [str(column) for column in frame.columns if column not in other.columns]
        more = [str(column) for column in other.columns if column not in frame.columns]
        if missing:
            near = did_you_mean(missing[0], more)
            raise DataError(
                f"data: part {name} has no column {_listed(missing)}, which {first} has{near}; add it, or leave it out "
                "of all parts"
            )
        for column in frame.columns:
            one, two = _kind(frame[column]), _kind(other[column])
            if one and two and one != two:
                raise DataError(
                    f"data: column {str(column)!r} holds {one} in part {first} and {two} in part {name}; give it the "
                    "same type in all parts"
                )
        if more:
            notes.append(f"column {_listed(more)} of part {name} left out: part {first} does not have it")
    return notes


def check_labels(parts: Mapping[str, Any]) -> None:
    """Check that the labels of all parts are of one type, and that no part has none of the first one's classes.

    Args:
        parts: {name of a part: its targets}, the first one first.

    Raises:
        DataError: they do not agree.
    """
    (first, labels), *others = ((name, pd.Series(np.asarray(y).reshape(len(y), -1)[:, 0])) for name, y in parts.items())
    for name, other in others:
        one, two = _kind(labels, parse=False), _kind(other, parse=False)
        if one and two and one != two:
            raise DataError(
                f"data: the labels are {one} in part {first} and {two} in part {name} "
                f"({labels.tolist()[0]!r} and {other.tolist()[0]!r}); give them the same type"
            )
        if one == two == "text" and not set(labels.dropna()) & set(other.dropna()) and not other.dropna().empty:
            raise DataError(
                f"data: part {name} has the classes {_listed(sorted(map(str, set(other.dropna()))))}, part {first} has "
                f"{_listed(sorted(map(str, set(labels.dropna()))))}: none in common"
            )


def _kind(column: "pd.Series[Any]", *, parse: bool = True) -> str:
    """What a column holds, in words; empty where it has no value. `parse`: text that is a number counts as one."""
    present = column.dropna()
    if present.empty:
        return ""
    if pd.api.types.is_bool_dtype(present.dtype):
        return "true and false"
    if pd.api.types.is_numeric_dtype(present.dtype):
        return "numbers"
    if pd.api.types.is_datetime64_any_dtype(present.dtype):
        return "dates"
    values = present.head(1000)
    if all(isinstance(value, int | float | np.number) and not isinstance(value, bool) for value in values):
        return "numbers"
    if parse and pd.to_numeric(values, errors="coerce").notna().all():
        return "numbers"
    return "text" if all(isinstance(value, str) for value in values) else ""


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(map(repr, names[:_SHOWN])) + more
