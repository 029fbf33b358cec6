"""What the first rows of a table in a file show: its target, and the options of `prepare:` that say how it is read."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from automl.data import targets
from automl.data.cells import deciding, readings
from automl.data.cells.numbers import PLAIN
from automl.data.preparing import columns
from automl.data.reading.many.table import Table
from automl.data.reading.readers import TABLES, is_parquet, kind_of
from automl.errors import DataError, did_you_mean

BYTES = 2**25
"""Memory for the rows that are looked at."""


@dataclass(frozen=True)
class Survey:
    """What a table looks like.

    Attributes:
        names: its columns.
        target: the column to predict.
        task: what kind of target it is.
        majority: share of the rows in the largest class; 0 for a target of numbers.
        classes: how many classes there are; 0 for a target of numbers.
        prepare: options of `prepare:` -> (value, what it says, for people).
    """

    names: list[str]
    target: str
    task: Literal["classification", "regression"]
    majority: float
    classes: int
    prepare: dict[str, tuple[Any, str]]


def survey(path: Path, target: str | None = None) -> Survey:
    """Look at the first rows of a table, up to 32 MiB of them.

    Args:
        path: a CSV, TSV or Parquet file.
        target: the column to predict; None: the last one.

    Raises:
        DataError: the file is no table with a header and two columns, has no such column, or no such target can be
            learned.
    """
    if kind_of(path) not in TABLES:
        raise DataError(f"{path}: not a table; expected a file of the kind {', '.join(TABLES)}, also compressed")
    frame = _first_rows(path)
    names = [str(name) for name in frame.columns]
    if len(names) < 2 or frame.empty:
        raise DataError(f"{path}: not a table with a header, at least two columns and a row")
    if not is_parquet(path) and any(_is_fraction(name) for name in names):
        raise DataError(f"{path}: its first line holds numbers; put a line before it that names the columns")
    target = names[-1] if target is None else target
    if target not in names:
        raise DataError(f"{path}: no column {target!r}{did_you_mean(target, names)} (columns: {', '.join(names[:20])})")
    rules = readings.rules_of({}, frame)
    try:
        read = targets.read(frame[target], target, None, rules)
    except DataError as error:
        raise DataError(f"{path}: {error}; name another column with --target") from None
    classes = len(read.classes)
    counts = np.bincount(read.y[read.keep]) if classes else np.zeros(1)
    majority = float(counts.max() / counts.sum()) if classes else 0.0
    inputs = frame.drop(columns=target)
    return Survey(names, target, read.kind, majority, classes, _options(frame, inputs, rules, path))


def _first_rows(path: Path) -> pd.DataFrame:
    table = Table.of(path)
    rows = max(1000, int(BYTES / max(table.row_bytes(), 1.0)))
    frame = next(table.chunks(rows))
    attributes = frame.attrs
    frame = columns.plain(frame)
    frame.attrs = attributes
    return frame


def _options(
    frame: pd.DataFrame, inputs: pd.DataFrame, rules: readings.Rules, path: Path
) -> dict[str, tuple[Any, str]]:
    """The options that say what was found out, where it is not what every table has."""
    found: dict[str, tuple[Any, str]] = {}
    file = frame.attrs.get(readings.ATTRIBUTE, {}).get("file", {})
    separator, encoding = file.get("separator", ","), file.get("encoding", "utf-8")
    if separator != ("\t" if kind_of(path) in (".tsv", ".tab") else ","):
        found["separator"] = ("tab" if separator == "\t" else separator, "between the cells of a line")
    if not encoding.startswith("utf"):
        found["encoding"] = (encoding, "of the file")
    decided = deciding.decide_table(inputs, rules)
    marks = {
        r["style"]["decimal"] for r in decided.values() if r.get("style", PLAIN) != PLAIN and "decimal" in r["style"]
    }
    points = any(_shows_point(inputs[name]) for name, r in decided.items() if r.get("style") == PLAIN)
    if marks == {","} and not points:
        found["decimal"] = (",", "in numbers")
    orders = [r for r in decided.values() if r["kind"] == "date" and (r.get("shown") or r.get("ambiguous"))]
    if orders and len({r["dayfirst"] for r in orders}) == 1:
        order = "day/month/year" if orders[0]["dayfirst"] else "month/day/year"
        sure = any(r.get("shown") for r in orders)
        found["dayfirst"] = (
            orders[0]["dayfirst"],
            f"dates are {order}" + ("" if sure else ": a guess, no date shows it"),
        )
    codes = {name: "category" for name, r in decided.items() if r.get("codes")}
    if codes:
        found["types"] = (codes, "codes, not quantities")
    return found


def _shows_point(column: "pd.Series[Any]") -> bool:
    """Whether a column of plain numbers has a decimal point."""
    return column.dtype.kind == "f" or bool(column.astype(str).str.contains(".", regex=False).any())


def _is_fraction(name: str) -> bool:
    """Whether a column's name is a number such as 5.1; years are names."""
    try:
        return not float(name).is_integer()
    except (ValueError, OverflowError):
        return False
