"""Rows against the schema: names, types, and what training has seen."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from automl.errors import did_you_mean
from automl.serving.inputs.schema import TYPES, Field, InputSchema
from automl.serving.problem import Refused

SIMPLE = frozenset({str, int, float, bool, type(None)})
LONGEST_CELL = 10_000
MOST_WARNINGS = 20


@dataclass(frozen=True)
class Columns:
    """The columns that a model looks at, as plain Python values.

    Attributes:
        values: a list for each column, all of the same length.
        rows: their length.
    """

    values: dict[str, list[Any]]
    rows: int


def columns_of(rows: list[Any], schema: InputSchema) -> Columns:
    """Rows of a JSON body, dicts or lists, as columns.

    Raises:
        Refused: a column is not known or missing, or a cell is a list or a dict; the place is named.
    """
    first = rows[0]
    if isinstance(first, list):
        rows = [_named(row, k, schema.names) for k, row in enumerate(rows)]
    needed = [one.name for one in schema.used]
    try:
        values = {name: [row[name] for row in rows] for name in needed}
        plain = set(map(len, rows)) == {len(needed)} and set(map(type, rows)) == {dict}  # then there are no others
    except (KeyError, TypeError, IndexError):
        plain = False
    if not plain:
        _check_names(rows, schema, frozenset(needed))
    _check_cells(values)
    return Columns(values, len(rows))


def columns_checked(columns: dict[str, list[Any]], rows: int, schema: InputSchema) -> Columns:
    """The columns of a JSON body, lists of the same length, as those that the model looks at.

    Raises:
        Refused: as `columns_of`.
    """
    needed = [one.name for one in schema.used]
    _check_names([columns], schema, frozenset(needed))
    values = {name: columns[name] for name in needed}
    _check_cells(values)
    return Columns(values, rows)


def _check_cells(values: dict[str, list[Any]]) -> None:
    for name, cells in values.items():
        types = set(map(type, cells))
        if not types <= SIMPLE:
            k = next(k for k, cell in enumerate(cells) if type(cell) not in SIMPLE)
            raise Refused(422, "wrong_type", "a cell is a number, a text, true, false or null", f"rows[{k}].{name}")
        if str in types and max(len(cell) for cell in cells if type(cell) is str) > LONGEST_CELL:
            raise Refused(422, "cell_too_long", f"a cell has at most {LONGEST_CELL} characters", name)


def _check_names(rows: list[Any], schema: InputSchema, required: frozenset[str]) -> None:
    """Check that each row is an object with the columns that are needed, and no unknown ones."""
    allowed = frozenset(schema.names) | schema.ignored
    for k, row in enumerate(rows):
        if type(row) is not dict:
            raise Refused(422, "wrong_type", "each row is an object with a value for each column", f"rows[{k}]")
        if not required <= row.keys() <= allowed:
            _refuse_names(row, k, allowed, required)


def _named(row: Any, k: int, names: Sequence[str]) -> dict[str, Any]:
    if not isinstance(row, list) or len(row) != len(names):
        some = f"{', '.join(names[:8])}{', ...' if len(names) > 8 else ''}"
        raise Refused(422, "wrong_shape", f"each row has {len(names)} values in this order: {some}", f"rows[{k}]")
    return dict(zip(names, row, strict=True))


def _refuse_names(row: dict[str, Any], k: int, allowed: frozenset[str], required: frozenset[str]) -> None:
    for name in row:
        if name not in allowed:
            hint = did_you_mean(name, allowed)
            raise Refused(422, "unknown_column", f"the model knows no column {name[:80]!r}{hint}", f"rows[{k}]")
    gone = next(name for name in sorted(required) if name not in row)
    raise Refused(422, "missing_column", f"column {gone!r} is missing; send null where there is no value", f"rows[{k}]")


def frame_checked(frame: pd.DataFrame, schema: InputSchema) -> pd.DataFrame:
    """A table of a CSV or Arrow body with known names, each once.

    Raises:
        Refused: a column is not known, missing, or there twice.
    """
    names = [str(name) for name in frame.columns]
    frame = frame.set_axis(names, axis=1)
    frame.attrs = dict(frame.attrs)
    allowed = frozenset(schema.names) | schema.ignored
    for name in names:
        if name not in allowed:
            hint = did_you_mean(name, allowed)
            raise Refused(422, "unknown_column", f"the model knows no column {name[:80]!r}{hint}", "header")
        if names.count(name) > 1:
            raise Refused(422, "double_column", f"two columns are named {name!r}; give each column once", "header")
    for one in schema.used:
        if one.name not in names:
            raise Refused(422, "missing_column", f"column {one.name!r} is missing", "header")
    return frame


def refuse_unreadable(unread: Iterable[str], columns: Columns | None) -> None:
    """Refuse cells that cannot be read. `unread`: what the preparation says of its columns.

    Raises:
        Refused: with the place of the first one, where the rows came as JSON.
    """
    for message in unread:
        if message.startswith("column ") and " not seen in training" not in message:
            raise Refused(422, "invalid_value", message, _place(message, columns))


def _place(message: str, columns: Columns | None) -> str | None:
    """The row of the cell that a message about a column gives as its first example."""
    for name, cells in (columns.values if columns else {}).items():
        if message.startswith(f"column {name!r}: "):
            example = message.rpartition("(")[2].rstrip(")").partition(", ")[0].strip("'\"")
            row = next((k for k, cell in enumerate(cells) if str(cell).strip() == example), None)
            return name if row is None else f"rows[{row}].{name}"
    return None


def out_of_range(raw: NDArray[np.float64], schema: InputSchema) -> NDArray[np.bool_]:
    """[rows, columns] whether a number, date or time is below or above all that training has seen."""
    return np.asarray((raw < schema.least) | (raw > schema.most))


def range_warnings(outside: NDArray[np.bool_], raw: NDArray[np.float64], fields: Sequence[Field]) -> list[str]:
    """A warning for each column with values outside of the range that training has seen."""
    messages = []
    for k in np.flatnonzero(outside.any(axis=0))[:MOST_WARNINGS]:
        rows, seen = np.flatnonzero(outside[:, k]), fields[k].seen
        value = raw[rows[0], k]
        span = f"{seen['least']:g} to {seen['most']:g}"
        kind = {"date": " (days since 1970)", "time": " (seconds since midnight)"}.get(fields[k].role, "")
        messages.append(
            f"column {fields[k].name!r}: {len(rows)} outside of {span}, the range in training{kind} ({value:g})"
        )
    return messages


def refuse_unseen(warnings: Sequence[str]) -> None:
    """With `--strict`: refuse what would be a warning."""
    if warnings:
        raise Refused(422, "not_seen_in_training", "; ".join(warnings[:3]), "rows")


def kind_name(role: str) -> str:
    """The name of a role for people."""
    return TYPES.get(role, role)
