"""The columns of a table: their part in it, what kind of values they hold, how many, and why some were left out."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from automl.data.cells import numbers, readings, words
from automl.data.summary.facts import INPUT, LEFT_OUT, TARGET, ColumnFacts, TargetFacts

ROWS = 1000
"""Rows in which missing and different values are counted while a search begins; `automl data` counts in all."""
MOST = 500
"""Columns whose values are looked at while a search begins."""
SENTENCE = 4
"""The least number of words in each of a column's different texts from which on they are sentences."""


def of(
    preparation: Mapping[str, Any],
    notes: Sequence[str],
    frame: pd.DataFrame | None,
    look: int | None,
    rows: int | None = None,
) -> list[ColumnFacts]:
    """The inputs, and what might have been inputs.

    Args:
        preparation: of the table.
        notes: of the preparation.
        frame: the rows that are used, without the target; None: they are not at hand.
        look: in how many rows values are counted; None: in all.
        rows: of the whole table, where `frame` is its beginning.
    """
    why, used = left_out(notes), {column["name"]: column for column in preparation["columns"]}
    known = {} if frame is None else frame.attrs.get(readings.ATTRIBUTE, {}).get("readings", {})
    missing = frozenset(preparation.get("reading", {}).get("missing", ()))
    if frame is not None:
        rows, frame = rows or len(frame), _sampled(frame, look)
    found = []
    for k, name in enumerate(preparation["expects"]):
        column, reading = used.get(name), known.get(name, {})
        kind = column["role"] if column else reading.get("kind", "")
        note = why.get(name, "") if column is None else _how(column, reading, notes)
        facts = ColumnFacts(name, INPUT if column else LEFT_OUT, kind, note=note)
        if frame is not None and name in frame.columns and (look is None or k < MOST):
            facts = counted(facts, frame[name], missing, rows)
        found.append(facts)
    return found


def of_target(target: TargetFacts, missing: int | None) -> ColumnFacts:
    """The column of the target. `missing`: rows without one."""
    if target.classes:
        examples = tuple(one.label for one in target.classes[:3])
        return ColumnFacts(target.name, TARGET, "category", missing, target.count, examples=examples)
    return ColumnFacts(target.name, TARGET, "number", missing)


def left_out(notes: Sequence[str]) -> dict[str, str]:
    """{column: why it was left out}, from the notes of `automl.data.preparing.columns`."""
    found = {}
    for note in notes:
        if match := re.fullmatch(r"column ('.*?'|\".*?\") left out: (.*)", note, re.DOTALL):
            found[_unquoted(match[1])] = match[2]
    return found


def sentences(columns: Sequence[ColumnFacts]) -> tuple[str, ...]:
    """The columns that were left out and hold sentences."""
    texts = [c for c in columns if c.role == LEFT_OUT and c.kind in ("", "category") and len(c.examples) > 1]
    return tuple(c.name for c in texts if min(len(example.split()) for example in c.examples) >= SENTENCE)


def counted(
    facts: ColumnFacts,
    values: "pd.Series[Any]",
    missing: frozenset[str],
    rows: int | None = None,
) -> ColumnFacts:
    """The same with how many values are missing and different, and some of them; `rows`: of the whole table."""
    codes, cells = words.distinct(values)
    absent = words.are_missing(cells, missing)
    present = [cell for cell, gone in zip(cells, absent, strict=True) if not gone]
    part = len(values) if len(values) < (rows or 0) else 0
    return replace(facts, missing=int(absent[codes].sum()), distinct=len(present), counted=part,
                   examples=tuple(present[:3]))  # fmt: skip


def _sampled(frame: pd.DataFrame, look: int | None) -> pd.DataFrame:
    """The table, or `look` evenly spaced rows of it."""
    if look is None or len(frame) <= look:
        return frame
    return frame.iloc[np.unique(np.linspace(0, len(frame) - 1, look).astype(np.int64))]


def _how(column: Mapping[str, Any], reading: Mapping[str, Any], notes: Sequence[str]) -> str:
    """How an input is read, where that is not plain."""
    if column["role"] == "date" and (reading.get("shown") or reading.get("ambiguous")):
        order = "day/month/year" if column.get("dayfirst") else "month/day/year"
        return f"read as {order}{', a guess' if reading.get('ambiguous') else ''}"
    if column["role"] == "number" and (style := numbers.described(column.get("style", numbers.PLAIN))):
        return f"numbers with {style}"
    if column["role"] == "category" and reading.get("codes"):
        return "codes such as 1E2" if reading.get("exponents") else "codes with leading zeros"
    start = f"column {column['name']!r}: the "
    kept = next((note for note in notes if note.startswith(start) and "commonest of" in note), "")
    return kept.removeprefix(f"column {column['name']!r}: ")


def _unquoted(name: str) -> str:
    """A name from its `repr`."""
    import ast

    try:
        return str(ast.literal_eval(name))
    except (ValueError, SyntaxError):
        return name[1:-1]
