"""`Summary`: what was decided about the data, as plain data that a worker can send and a ledger can keep."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

FACT = "data_summary"
"""The fact of a study under which its ledger keeps a summary."""
FEW = 5
"""Classes with fewer training rows than this are rare."""
MOST_COLUMNS, MOST_CLASSES, MOST_NOTES, MOST_LETTERS = 200, 40, 100, 400
"""So much of a summary is kept in a study."""
INPUT, TARGET, LEFT_OUT = "input", "target", "left out"
"""Roles of columns; others are "weight", "group", "time", "series", "dropped", "text"."""


@dataclass(frozen=True)
class ColumnFacts:
    """One column of a table.

    Attributes:
        name: of the column.
        role: "input", "target", "left out", or what else it is used for.
        kind: "number", "category", "date", "time", or "" where it was not looked at.
        missing: rows without a value; None: not counted.
        distinct: how many different values it has; None: not counted.
        counted: in how many rows that was counted, where it was not in all of them; 0: in all.
        examples: some of its values.
        note: why it was left out, or how it is read.
    """

    name: str
    role: str
    kind: str = ""
    missing: int | None = None
    distinct: int | None = None
    counted: int = 0
    examples: tuple[str, ...] = ()
    note: str = ""

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "ColumnFacts":
        """What `asdict` made. Raises KeyError, TypeError or ValueError where it is something else."""
        missing, distinct = (None if data[name] is None else int(data[name]) for name in ("missing", "distinct"))
        name, role, kind, note = (str(data[name]) for name in ("name", "role", "kind", "note"))
        return cls(name, role, kind, missing, distinct, int(data["counted"]), _texts(data["examples"]), note)


@dataclass(frozen=True)
class ClassFacts:
    """One class of the target: its label, its rows in all parts, and its training rows."""

    label: str
    rows: int
    train: int


@dataclass(frozen=True)
class TargetFacts:
    """The target.

    Attributes:
        name: of the column.
        kind: of the task: "classification", "regression" or "next_token".
        classes: of a classification, the commonest first; where there are many, some common ones and some rare ones.
        count: how many classes there are.
        rare: how many of them have fewer than `FEW` training rows.
        spread: (least, median, most) training value of a regression with one target, in the data's unit.
    """

    name: str
    kind: str
    classes: tuple[ClassFacts, ...] = ()
    count: int = 0
    rare: int = 0
    spread: tuple[float, float, float] | None = None

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "TargetFacts":
        """What `asdict` made. Raises KeyError, TypeError or ValueError where it is something else."""
        classes = tuple(ClassFacts(str(c["label"]), int(c["rows"]), int(c["train"])) for c in data["classes"])
        spread = data["spread"]
        if spread is not None:
            least, median, most = spread
            spread = (float(least), float(median), float(most))
            if not all(map(math.isfinite, spread)):
                raise ValueError("the spread of the target is not finite")
        name, kind, count, rare = str(data["name"]), str(data["kind"]), int(data["count"]), int(data["rare"])
        return cls(name, kind, classes, count, rare, spread)


@dataclass(frozen=True)
class Summary:
    """What was decided about the data.

    Attributes:
        rows: in each part, by its name.
        left_out_rows: rows that were read and are in no part.
        target: see `TargetFacts`.
        inputs: of one sample, in words, where it is not a row of a table: "images of 1 x 28 x 28".
        columns: of a table.
        used, unused: how many columns are inputs, and how many were left out.
        baselines: what a constant guess scores on the validation rows, `{"val_accuracy": 0.9, ...}`.
        guesses: that guess in words, by the same names: "always 'no'".
        leaks: column -> how well it tells the target alone.
        text: columns that were left out because they hold sentences.
        doubts: what was guessed about how columns are read, and the option that says it.
        notes: all decisions, a sentence each.
    """

    rows: Mapping[str, int]
    left_out_rows: int
    target: TargetFacts
    inputs: str = ""
    columns: tuple[ColumnFacts, ...] = ()
    used: int = 0
    unused: int = 0
    baselines: Mapping[str, float] = field(default_factory=dict)
    guesses: Mapping[str, str] = field(default_factory=dict)
    leaks: Mapping[str, str] = field(default_factory=dict)
    text: tuple[str, ...] = ()
    doubts: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """As plain values, lists for tuples: the same as what JSON gives back."""
        plain: dict[str, Any] = json.loads(json.dumps(asdict(self)))
        return plain

    @classmethod
    def from_json(cls, data: object) -> "Summary | None":
        """What `to_json` made; None where there is nothing, or something else (a study may be a stranger's)."""
        try:
            return cls._from_json(data)  # type: ignore[arg-type]
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError):
            return None

    @classmethod
    def _from_json(cls, data: Mapping[str, Any]) -> "Summary":
        baselines = {str(name): float(value) for name, value in data["baselines"].items()}
        if not all(map(math.isfinite, baselines.values())):
            raise ValueError("a baseline is not finite")
        return cls(
            {str(part): int(count) for part, count in data["rows"].items()},
            int(data["left_out_rows"]),
            TargetFacts.from_json(data["target"]),
            str(data["inputs"]),
            tuple(map(ColumnFacts.from_json, data["columns"])),
            int(data["used"]),
            int(data["unused"]),
            baselines,
            _texts_by_name(data["guesses"]),
            _texts_by_name(data["leaks"]),
            *(_texts(data[key]) for key in ("text", "doubts", "notes")),
        )

    def shortened(self) -> "Summary":
        """The same without the least important columns, classes and notes: what a study keeps of a wide table."""
        last = MOST_CLASSES // 2
        classes = self.target.classes
        if len(classes) > MOST_CLASSES:
            classes = (*classes[:last], *classes[-last:])
        telling = sorted(range(len(self.columns)), key=lambda k: (_plainness(self.columns[k]), k))[:MOST_COLUMNS]
        return replace(
            self,
            target=replace(self.target, classes=tuple(replace(c, label=_cut(c.label)) for c in classes)),
            columns=tuple(_cut_column(self.columns[k]) for k in sorted(telling)),
            leaks={_cut(name): how for name, how in list(self.leaks.items())[:MOST_NOTES]},
            text=tuple(map(_cut, self.text[:MOST_NOTES])),
            doubts=tuple(map(_cut, self.doubts[:MOST_NOTES])),
            notes=tuple(map(_cut, self.notes[:MOST_NOTES])),
        )


def of_study(facts: Mapping[str, Any]) -> Summary | None:
    """The summary that a study has kept; None where it has none: it trains no table, or was begun by an old version."""
    return Summary.from_json(facts.get(FACT))


def _texts(values: Sequence[Any]) -> tuple[str, ...]:
    if isinstance(values, str):
        raise TypeError("expected a list of texts")
    return tuple(map(str, values))


def _texts_by_name(values: Mapping[str, Any]) -> dict[str, str]:
    return {str(name): str(text) for name, text in values.items()}


def _plainness(column: ColumnFacts) -> int:
    """0 for the target, 1 for columns of which there is something to say, 2 for the others."""
    return 0 if column.role == TARGET else 1 if column.note or column.role != INPUT else 2


def _cut_column(column: ColumnFacts) -> ColumnFacts:
    examples = tuple(_cut(example, 60) for example in column.examples)
    return replace(column, name=_cut(column.name), note=_cut(column.note), examples=examples)


def _cut(text: str, most: int = MOST_LETTERS) -> str:
    return text if len(text) <= most else text[: most - 3] + "..."
