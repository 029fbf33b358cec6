"""The target: whether it is classes or values, and its codes or numbers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from automl.data.cells.readings import Rules
from automl.data.cells.targets import from_text, is_text
from automl.data.preparing.columns import LARGEST
from automl.data.preparing.options import dropped
from automl.errors import DataError

FEW_VALUES = 10
"""One of several targets with at most so many different values may be meant as classes, and is told."""
MOST_CLASSES = 30
"""Whole numbers with more distinct values than this are read as quantities, not as classes."""
SET = "as set in `prepare`"
NO_RULES = Rules()


@dataclass(frozen=True)
class Target:
    """What a target column is.

    Attributes:
        kind: "classification" or "regression".
        y: [rows] int64 codes, or [rows, targets] float64 in the data's unit.
        classes: the label of each code (classification), sorted.
        keep: [rows] bool, False where the row has no target.
        notes: what was decided.
        reading: JSON-able, how the target's cells are read; empty where they came with a type.
    """

    kind: Literal["classification", "regression"]
    y: NDArray[Any]
    classes: list[Any]
    keep: NDArray[np.bool_]
    notes: list[str]
    reading: dict[str, Any] = field(default_factory=dict)


def read(values: Any, name: str, task: str | None, rules: Rules = NO_RULES) -> Target:
    """Find out what kind of target this is, and bring it to codes or numbers.

    Args:
        values: [rows] or [rows, targets].
        name: of the target, for messages.
        task: "classification" or "regression" to decide it, None to go by the values.
        rules: how cells are read where they are text.

    Raises:
        DataError: there is nothing to learn, or the values do not fit the task.
    """
    if task not in (None, "classification", "regression"):
        raise DataError(f"prepare.task: expected classification or regression, got {task!r}")
    array = np.asarray(values)
    if array.ndim == 2:
        return _read_several(array, name)
    column = pd.Series(array) if not isinstance(values, pd.Series) else values.reset_index(drop=True)
    notes: list[str] = []
    reading: dict[str, Any] = {}
    words = ""
    if is_text(column):
        texts = [str(text) for text in column.dropna().unique()[:100] if str(text).strip()]
        words = f": it has words, such as {texts[0][:40]!r}, and no number" if texts else ""
        column, reading = from_text(column, name, task, rules, notes)
    keep = column.notna().to_numpy(copy=True)
    if column.dtype.kind == "f":
        keep &= np.isfinite(column.to_numpy(dtype=np.float64, na_value=np.nan))
    if not keep.any():
        raise DataError(f"target {name!r} {f'cannot be read as values{words}' if words else 'has no value in any row'}")
    if not keep.all():
        notes.insert(0, f"{(~keep).sum()} rows without a finite target {name!r} left out")
    present = column[keep]
    kind, reason = (task, SET) if task else _guess_kind(present)
    if int(present.nunique()) < 2:
        left_out = f" ({notes[0]})" if notes else ""
        only = label_of(present.iloc[0])
        raise DataError(f"target {name!r} has a single value, {only!r}: there is nothing to learn{left_out}")
    read_kind = _read_numbers if kind == "regression" else _read_classes
    return replace(read_kind(column, keep, name, reason, notes), reading=reading)


def in_order(target: Target, name: str, order: Sequence[Any] | None) -> Target:
    """A target of classes with its codes in this order of labels; unchanged where there is none.

    Raises:
        DataError: a class of the rows is not in the order.
    """
    if order is None:
        return target
    places = {str(label): k for k, label in enumerate(order)}
    if lacking := [label for label in target.classes if str(label) not in places]:
        some = ", ".join(map(repr, lacking[:4]))
        raise DataError(f"prepare.order: the target {name!r} has also {some}; name every class, the lowest first")
    codes = np.array([places[str(label)] for label in target.classes], dtype=np.int64)
    y = np.where(target.keep, codes[target.y], -1)
    known = {str(label): label for label in target.classes}
    return replace(target, y=y, classes=[known.get(str(label), label_of(label)) for label in order])


def names_of(target: Sequence[str]) -> list[str]:
    """The names of targets.

    Raises:
        DataError: there is none, or one is named twice.
    """
    names = [str(name) for name in target]
    if not names:
        raise DataError("target: name at least one column")
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise DataError(f"target: {twice!r} is named twice")
    return names


def with_others(kept_out: Sequence[str], others: Sequence[str], options: Mapping[str, Any]) -> tuple[str, ...]:
    """Columns that are no inputs, the further targets among them.

    Raises:
        DataError: a further target is dropped, or is the weight, group or time of rows.
    """
    for name in others:
        if name in dropped(options):
            raise DataError(f"prepare.drop: {name!r} is a target")
        if name in kept_out:
            raise DataError(f"target: {name!r} is the weight, group or time of a row")
    return (*kept_out, *others)


def read_columns(columns: Mapping[str, Any], task: str | None, rules: Rules = NO_RULES) -> Target:
    """Several targets that are columns of a table: numbers, of which a row may lack some.

    Args:
        columns: the name of each target -> its values [rows].
        task: None or "regression".
        rules: how cells are read where they are text.

    Returns:
        The targets, `y` NaN where a value is missing; `keep` has the rows with at least one; `reading` is that of each
        column whose cells came as text, by its name.

    Raises:
        DataError: one of them is not numeric, or has a single value.
    """
    if task not in (None, "regression"):
        raise DataError(f"several targets are values; prepare.task cannot be {task}: search for one target of classes")
    found = {}
    for name, values in columns.items():
        column = pd.Series(values)
        try:
            found[name] = read(column, name, "regression", rules)
        except DataError as error:
            why = "; several targets must be numbers: search for classes alone" if is_text(column) else ""
            raise DataError(f"{error}{why}") from error
    y = np.column_stack([one.y for one in found.values()])
    keep = np.asarray(np.isfinite(y).any(axis=1))
    notes = [note for one in found.values() for note in one.notes if not note.endswith((f"({SET})", "left out"))]
    notes.append(f"targets {', '.join(map(repr, found))}: regression, a model predicts all {len(found)}")
    if not keep.all():
        notes.append(f"{(~keep).sum()} rows without a value of any target left out")
    for name, one in found.items():
        if lacking := int((keep & ~one.keep).sum()):
            notes.append(
                f"target {name!r}: no value in {lacking} of {int(keep.sum())} rows, which count for the others"
            )
        if (few := len(np.unique(one.y[one.keep]))) <= FEW_VALUES:
            notes.append(f"target {name!r}: {few} different values, predicted as a quantity")
    reading = {name: one.reading for name, one in found.items() if one.reading}
    return Target("regression", y, [], keep, notes, reading)


def _guess_kind(present: "pd.Series[Any]") -> tuple[Literal["classification", "regression"], str]:
    """(kind, the reason)."""
    if present.dtype.kind not in "iuf":
        return "classification", "not numeric"
    numbers = present.to_numpy(dtype=np.float64)
    distinct = len(np.unique(numbers))
    if (numbers != np.round(numbers)).any():
        return "regression", "fractions"
    most = MOST_CLASSES if present.dtype.kind in "iu" else 10
    if distinct <= most and len(numbers) >= 5 * distinct:
        return (
            "classification",
            f"{distinct} distinct whole numbers; set `prepare: {{task: regression}}` if they are quantities",
        )
    return (
        "regression",
        f"{distinct} distinct whole numbers; set `prepare: {{task: classification}}` if they are classes",
    )


def _read_numbers(
    column: "pd.Series[Any]", keep: NDArray[np.bool_], name: str, reason: str, notes: list[str]
) -> Target:
    try:
        numbers = pd.to_numeric(column[keep]).to_numpy(dtype=np.float64)
    except (ValueError, TypeError) as error:
        raise DataError(f"target {name!r} is not numeric, so regression is not possible: {error}") from error
    if np.abs(numbers).max() > LARGEST:
        raise DataError(f"target {name!r} has values beyond {LARGEST:g}; rescale it")
    y: NDArray[Any] = np.full((len(column), 1), np.nan)
    y[keep, 0] = numbers
    return Target("regression", y, [], keep, [*notes, f"target {name!r}: regression ({reason})"])


def _read_classes(
    column: "pd.Series[Any]", keep: NDArray[np.bool_], name: str, reason: str, notes: list[str]
) -> Target:
    present = column[keep]
    classes = [label_of(value) for value in sorted(present.unique(), key=_order)]
    distinct = int(present.nunique())
    if distinct > 0.5 * len(present) and distinct > MOST_CLASSES:
        raise DataError(f"target {name!r} has {distinct} classes in {len(present)} rows: is it an identifier?")
    code = {label: k for k, label in enumerate(classes)}
    numbers, values = pd.factorize(present.to_numpy(dtype=object))
    codes = np.full(len(column), -1, dtype=np.int64)
    codes[keep] = np.array([code[label_of(value)] for value in values], dtype=np.int64)[numbers]
    note = f"target {name!r}: classification, {distinct} classes ({reason})"
    return Target("classification", codes, classes, keep, [*notes, note])


def _read_several(array: NDArray[Any], name: str) -> Target:
    """Several targets, [rows, targets]: always numbers."""
    if array.dtype.kind not in "iufb":
        raise DataError(
            f"target {name!r} has {array.shape[1]} columns of type {array.dtype}: several targets must be numbers"
        )
    y = array.astype(np.float64)
    keep = np.asarray(np.isfinite(y).all(axis=1))
    if not keep.any():
        raise DataError(f"target {name!r} has no value in any row")
    return Target("regression", y, [], keep, [f"target {name!r}: regression of {array.shape[1]} values"])


def label_of(value: Any) -> Any:
    """A JSON-able label: numpy scalars become Python's, whole floats become ints, other types text."""
    value = value.item() if isinstance(value, np.generic) else value
    if isinstance(value, bool | int | str):
        return value
    return (int(value) if value.is_integer() else value) if isinstance(value, float) else str(value)


def _order(value: Any) -> tuple[int, Any]:
    """Sort key of a label: numbers before texts."""
    label = label_of(value)
    return (1, label) if isinstance(label, str) else (0, label)
