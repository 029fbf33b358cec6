"""What rows a model takes: names, kinds, ranges and categories that training has seen, and sample rows."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from automl.data.preparing.columns import MISSING

MOST_VALUES = 200
"""So many categories of a column are listed in descriptions."""
TYPES = {"number": "number", "date": "date", "time": "time of day", "category": "category"}


@dataclass(frozen=True)
class Field:
    """A column that rows have.

    Attributes:
        name: of the column.
        role: number, category, date, time, or unused (allowed, and ignored).
        values: the categories.
        seen: what training showed of it; empty for models of earlier versions.
    """

    name: str
    role: str
    values: tuple[str, ...] = ()
    seen: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """For programs and the page."""
        entry: dict[str, Any] = {"name": self.name, "role": self.role}
        if self.role == "category":
            entry["values"] = list(self.values[:MOST_VALUES])
        if "least" in self.seen:
            entry["range"] = [self.seen["least"], self.seen["most"]]
        if "missing" in self.seen:
            entry["missing_in_training"] = self.seen["missing"]
        return entry


@dataclass(frozen=True)
class InputSchema:
    """What rows a model takes.

    Attributes:
        form: "table", "array", "text" or "series".
        fields: the columns of a table or series, in the order of the training table.
        ignored: further columns that may be there: the target's.
        shape: of one sample, for arrays.
        seen: of arrays: what training showed.
        sample: a few rows as clients send them.
        least, most: the ranges of the columns that are used, in the preparation's order; NaN where not known.
    """

    form: str
    fields: tuple[Field, ...] = ()
    ignored: frozenset[str] = frozenset()
    shape: tuple[int, ...] = ()
    seen: Mapping[str, Any] = field(default_factory=dict)
    sample: tuple[Any, ...] = ()
    least: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    most: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))

    @property
    def names(self) -> tuple[str, ...]:
        """The columns that rows have, in order."""
        return tuple(one.name for one in self.fields)

    @property
    def used(self) -> tuple[Field, ...]:
        """The columns that the model looks at."""
        return tuple(one for one in self.fields if one.role != "unused")

    def to_json(self) -> dict[str, Any]:
        """For programs and the page."""
        columns = {"columns": [one.to_json() for one in self.fields]} if self.fields else {}
        shape = {"shape": list(self.shape)} if self.shape else {}
        ranges = {"range": [self.seen["least"], self.seen["most"]]} if "least" in self.seen else {}
        return {"form": self.form, **columns, **shape, **ranges, "sample": list(self.sample)}


def schema_of(preparation: Mapping[str, Any], sample: Any) -> InputSchema:
    """The schema of a saved model's preparation. `sample`: its sample rows."""
    form = preparation["form"]
    target = preparation.get("target", {})
    rows = tuple(sample or ())
    if form == "array":
        shape = tuple(int(n) for n in preparation["shape"])
        return InputSchema(form, shape=shape, seen=preparation.get("seen", {}), sample=rows[:2])
    if form == "text":
        return InputSchema(form, sample=rows[:2])
    table = preparation["table"] if form == "series" else preparation
    used = {column["name"]: column for column in table["columns"]}
    fields = tuple(_field(name, used.get(name)) for name in table["expects"])
    ranges = [(c.get("seen", {}).get("least", np.nan), c.get("seen", {}).get("most", np.nan)) for c in table["columns"]]
    least, most = np.array(ranges, dtype=np.float64).reshape(-1, 2).T
    ignored = frozenset(map(str, target.get("columns") or filter(None, [target.get("name")])))
    return InputSchema(form, fields, ignored, sample=_plain(rows, form), least=least, most=most)


def _field(name: str, column: Mapping[str, Any] | None) -> Field:
    if column is None:
        return Field(name, "unused")
    values = tuple(value for value in column.get("values", ()) if value != MISSING)
    return Field(name, column["role"], values, column.get("seen", {}))


def _plain(rows: tuple[Any, ...], form: str) -> tuple[Any, ...]:
    """The sample rows: two of a table, the whole window of a series."""
    return rows if form == "series" else rows[:2]
