"""`summary_of`: finds what is to be said about data that were loaded. Costs about a millisecond for each column."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from automl.data.cells.readings import missing_words
from automl.data.prepared import Part, Prepared
from automl.data.preparing.options import dropped
from automl.data.splits import NAMES
from automl.data.streaming.shards import Streamed
from automl.data.summary import baseline, columns, duplicates, leaks
from automl.data.summary.facts import FEW, LEFT_OUT, TARGET, ClassFacts, ColumnFacts, Summary, TargetFacts

GUESSES = (
    "that is a guess", "(a guess,", "is probably", "are probably one", "if that is wrong", "if it is none",
    "may stand for a missing value", "if they are codes", "if they are none", "that cannot be converted",
)  # fmt: skip
"""What notes about guesses say."""


@dataclass(frozen=True)
class Source:
    """What is known of the data besides what they became.

    Attributes:
        frame: the rows that are used as they were read, without the target, where they are a table in memory.
        beginning: `frame` is the beginning of a larger table.
        extra: the values of columns that are no inputs.
        roles: columns that are no inputs -> what they are used for.
        rows: how many rows were read; None: the notes say how many were left out.
        without_target: how many of them have no target; None: not known.
    """

    frame: pd.DataFrame | None = None
    beginning: bool = False
    extra: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    roles: Mapping[str, str] = field(default_factory=dict)
    rows: int | None = None
    without_target: int | None = None


def roles_of(options: Mapping[str, Any], split: Mapping[str, Any]) -> dict[str, str]:
    """Columns that are no inputs -> what they are used for. `options`: of `prepare:`; `split`: its rules."""
    roles = dict.fromkeys(dropped(options), "dropped")
    for name, role in ((split.get("time"), "time"), (split.get("group"), "group"), (options.get("weight"), "weight")):
        if name:
            roles[str(name)] = role
    return roles


def summary_of(prepared: Prepared, source: Source, look: int | None = columns.ROWS) -> Summary:
    """What was decided about the data.

    Args:
        prepared: the data.
        source: what else is known of them.
        look: in how many rows values are counted where that takes long; None: in all of them.
    """
    rows = {name: len(part) for name, part in zip(NAMES, prepared.apart, strict=True)}
    target, found = _target(prepared), list[ColumnFacts]()
    table = _table_of(prepared.preparation)
    if table is not None:
        total = sum(rows.values()) if source.beginning else None
        found = columns.of(table, prepared.notes, source.frame, look, total)
    if prepared.preparation["form"] == "series":
        found = _in_series(found, prepared.preparation)
    if table is not None or source.roles:
        found = _with_others(found, target, source, look)
    scores, guesses = baseline.of(prepared)
    return Summary(
        rows=rows,
        left_out_rows=_left_out(prepared.notes) if source.rows is None else max(source.rows - sum(rows.values()), 0),
        target=target,
        inputs="" if table is not None and prepared.preparation["form"] == "table" else _inputs(prepared),
        columns=tuple(found),
        used=0 if table is None else len(table["columns"]),
        unused=sum(column.role == LEFT_OUT for column in found),
        baselines=scores,
        guesses=guesses,
        leaks=leaks.find(prepared, _rows_of(prepared.train)),
        text=columns.sentences(found),
        doubts=(*duplicates.notes(prepared), *(n for n in prepared.notes if any(words in n for words in GUESSES))),
        notes=tuple(prepared.notes),
    )


def _left_out(notes: Sequence[str]) -> int:
    """How many rows the notes say were left out."""
    found = 0
    for note in notes:
        if match := re.match(r"(\d+) rows without a finite target .* left out$", note):
            found += int(match[1])
        elif match := re.match(r"(\d+) of (\d+) rows used ", note):
            found += int(match[2]) - int(match[1])
    return found


def _table_of(preparation: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The preparation of the table's columns; None where the data are no table."""
    if preparation["form"] == "series":
        table: Mapping[str, Any] = preparation["table"]
        return table
    return preparation if preparation["form"] == "table" else None


def _with_others(
    found: Sequence[ColumnFacts], target: TargetFacts, source: Source, look: int | None
) -> list[ColumnFacts]:
    """The target first, then the inputs, then columns that are used for something else."""
    own = {column.name for column in found}
    others = [ColumnFacts(name, role) for name, role in source.roles.items() if name not in own]
    others = [
        columns.counted(one, pd.Series(source.extra[one.name][:look]), missing_words(), len(source.extra[one.name]))
        if one.name in source.extra
        else one
        for one in others
    ]
    known = any(column.role == TARGET for column in (*found, *others))
    first = [] if known else [columns.of_target(target, source.without_target)]
    return [*first, *found, *others]


def _in_series(found: Sequence[ColumnFacts], preparation: Mapping[str, Any]) -> list[ColumnFacts]:
    """The columns of a series with what they are besides inputs, the targets first."""
    order, targets = preparation.get("order", {}), preparation["target"]["name"].split(", ")
    notes = {order.get("time"): "orders the rows", order.get("clock"): "orders the rows",
             **dict.fromkeys(order.get("columns") or [order.get("series")], "tells series apart")}  # fmt: skip
    made = []
    for column in found:
        if column.name in targets:
            column = replace(column, role=TARGET, note="its own past is an input")
        elif column.name in notes:
            column = replace(column, note="; ".join(filter(None, (notes[column.name], column.note))))
        made.append(column)
    return sorted(made, key=lambda column: column.role != TARGET)


def _rows_of(train: Part) -> NDArray[Any]:
    """[N, D] rows of the training part, of a streamed one those of its beginning."""
    return np.asarray(train.x[: leaks.ROWS] if isinstance(train, Streamed) else train.x)


def _target(prepared: Prepared) -> TargetFacts:
    """The name, kind, and distribution of the target: classes over all parts, values over the training part."""
    name, kind = str(prepared.preparation["target"].get("name", "target")), prepared.kind
    if kind == "classification":
        units = len(prepared.classes)
        counts = torch.stack([baseline.rows_of_classes(part, units) for part in prepared.apart])
        rows, train = counts.sum(0).tolist(), counts[0].tolist()
        order = sorted(range(units), key=lambda k: (-rows[k], k))
        classes = tuple(ClassFacts(str(prepared.classes[k]), rows[k], train[k]) for k in order)
        return TargetFacts(name, kind, classes, units, sum(n < FEW for n in train))
    if kind == "regression" and prepared.target_scale.numel() == 1 and len(prepared.train):
        entry, y = prepared.preparation["target"], baseline.targets_of(prepared)
        scale, center = float(entry["scale"][0]), float(entry["center"][0])
        least, median, most = (float(n) * scale + center for n in (y.min(), y.median(), y.max()))
        return TargetFacts(name, kind, spread=(least, median, most))
    return TargetFacts(name, kind)


def _inputs(prepared: Prepared) -> str:
    """One sample in words, where it is not a row of a table."""
    preparation, shape = prepared.preparation, prepared.inputs.shape
    form = preparation["form"]
    if form == "series":
        steps, values = shape
        return f"windows of {steps} steps of {values} values"
    if form == "array" and len(shape) == 3 and preparation.get("layout") != "as_is":
        return f"images of {' x '.join(map(str, shape))}"
    if prepared.inputs.kind == "tokens":
        return f"texts of {shape[0]} tokens"
    return f"{int(prepared.inputs):,} numbers" if len(shape) == 1 else f"arrays of {' x '.join(map(str, shape))}"
