"""Which rows are used, and their targets, parts and weights: all that is decided before inputs are prepared."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from automl.core import seeds
from automl.data import curves, splits, targets
from automl.data.cells import deciding, readings
from automl.data.folds import Folds
from automl.data.folds import assign as assign_folds
from automl.data.outputs import asked, outputs_of
from automl.data.prepared import Part
from automl.data.preparing import transform
from automl.data.reading.raw import Raw
from automl.data.shapes import Outputs
from automl.errors import DataError
from automl.metrics.kinds.kind import Kind


@dataclass(frozen=True)
class Selection:
    """The rows that are used, with everything but their prepared inputs. N: their number.

    Attributes:
        raw: the used rows as read.
        target: what was found out about the target column (of all rows).
        y: [N] int64 codes, or [N, targets] float64 in the data's unit.
        parts: [N] int8, the part of each row: 0 = train, 1 = val, 2 = test.
        outputs: what a model for this target returns.
        target_entry: JSON-able, what `preparation["target"]` will hold.
        weight: [N] float32, mean 1 over the training rows, or None.
        folds: of the training rows, where the split has folds.
    """

    raw: Raw
    target: targets.Target
    y: NDArray[Any]
    parts: splits.Parts
    outputs: Outputs
    target_entry: dict[str, Any]
    weight: Tensor | None
    folds: Folds | None = None

    @property
    def kind(self) -> Kind:
        """Of the task."""
        return Kind.of_target(self.target.kind, self.target_entry)

    @property
    def model_y(self) -> NDArray[Any]:
        """y as models see it: [N] int64 codes, or [N, targets] float32 in standard units."""
        if self.target.kind == "classification":
            return self.y.astype(np.int64)
        center, scale = np.asarray(self.target_entry["center"]), np.asarray(self.target_entry["scale"])
        return np.asarray((self.y - center) / scale, dtype=np.float32)

    def split(self, preparation: dict[str, Any]) -> tuple[Part, Part, Part]:
        """Training, validation and test rows, their inputs prepared; what is held out is validated on where folds are.

        Targets of training rows are on the curve that is learned, where there is one.
        """
        train, val, test = (self._part(self.parts == code, preparation) for code in range(3))
        if self.folds is not None:
            held = self.folds.home >= 0
            val = train if held.all() else train.at(torch.nonzero(held).flatten())
        if self.outputs.curve is not None:
            y = curves.inside(self.outputs.curve, train.y.double().numpy()).astype(np.float32)
            train = replace(train, y=torch.from_numpy(y))
        return replace(train, folds=self.folds), val, test

    def _part(self, rows: NDArray[np.bool_], preparation: dict[str, Any]) -> Part:
        """The rows for which `rows` is true."""
        weight = None if self.weight is None else self.weight[torch.from_numpy(rows)]
        return Part(transform.transform(preparation, self.raw.x[rows]), torch.from_numpy(self.model_y[rows]), weight)


def select(
    raw: Raw, split: Mapping[str, Any], options: Mapping[str, Any], seed: int, others: Sequence[str] = ()
) -> Selection:
    """Read the target, drop rows without one, and split the others.

    Args:
        raw: the data as read; changed in place to the rows that are used, and gets notes.
        split: the rules of `split:`.
        options: those of `prepare:`.
        seed: of the split.
        others: further targets, which are among `raw.extra`.

    Raises:
        DataError: the target cannot be learned, or the rows cannot be split or weighted as asked for.
    """
    rules = readings.rules_of(options, raw.y if isinstance(raw.y, pd.Series) else None)
    target = asked.read({raw.target: raw.y, **{name: raw.extra[name] for name in others}}, options, rules)
    classes = target.kind == "classification"
    raw.notes += target.notes
    y, time = _keep_rows(raw, target, options, seed), str(split.get("time") or "")
    by: dict[str, NDArray[Any] | None] = {
        "labels": y if classes else None,
        "groups": raw.extra[str(split["group"])].astype(str) if split.get("group") else None,
        "order": times_of(raw.extra[time], time, rules, raw.notes) if time else None,
    }
    parts = splits.assign(len(y), split, seeds.derive(seed, "split"), given=raw.parts, **by)
    folded = None
    if count := splits.folds_of(split):
        parts[parts == 1] = 0  # a validation part that came with the data
        rows = {name: None if values is None else values[parts == 0] for name, values in by.items()}
        folded = assign_folds(count, seeds.derive(seed, "folds"), int((parts == 0).sum()), **rows)
        raw.notes.append(f"{count} folds: a trial trains {count} models, and is scored on rows each has not seen")
    if classes:
        _check_classes(y, parts, target, raw)
        if folded is not None:
            _check_folds(y[parts == 0], folded, target, raw)
    train = parts == 0
    entry = outputs_of.entry([raw.target, *others], target, y[train], options)
    outputs = outputs_of.classes(raw, entry) if classes else outputs_of.values(raw, entry, y, train, options)
    if classes and options.get("target_scale", "standard") != "standard":
        raise DataError("prepare.target_scale: it is for values, and this target has classes")
    weight = _weights(raw, y, train, len(target.classes), options, rules)
    return Selection(raw, target, y, parts, outputs, entry, weight, folded)


def columns_kept_out(options: Mapping[str, Any], rules: Mapping[str, Any]) -> tuple[str, ...]:
    """Columns that are not inputs: weights, groups, times."""
    return tuple(dict.fromkeys(str(v) for v in (options.get("weight"), rules.get("group"), rules.get("time")) if v))


def _keep_rows(raw: Raw, target: targets.Target, options: Mapping[str, Any], seed: int) -> NDArray[Any]:
    """Drop rows without a target from `raw`; with `rows: N` keep N, in proportion to the classes. Returns their y."""
    y, rows = target.y, np.flatnonzero(target.keep)
    most = int(options.get("rows", 0))
    if 0 < most < len(rows):
        strata = y[rows] if target.kind == "classification" else np.zeros(len(rows), dtype=np.int64)
        share = most / len(rows)
        drawn = splits.assign(len(rows), {"train": share, "val": 1 - share}, seeds.derive(seed, "rows"), labels=strata)
        raw.notes.append(f"{most} of {len(rows)} rows used (prepare.rows)")
        rows = rows[drawn == 0]
    if len(rows) < len(target.keep):
        raw.x = raw.x.iloc[rows].reset_index(drop=True) if isinstance(raw.x, pd.DataFrame) else raw.x[rows]
        raw.extra = {name: values[rows] for name, values in raw.extra.items()}
        raw.parts = None if raw.parts is None else raw.parts[rows]
        y = y[rows]
    return y


def times_of(values: Any, name: str, rules: readings.Rules, notes: list[str]) -> NDArray[Any]:
    """[N] numbers to sort by: the values themselves, or days since 1970 for dates, or seconds for times of day.

    Args:
        values: [N] the cells of the column.
        name: of the column.
        rules: how cells are read.
        notes: gets a line where the order of day and month was guessed or found.

    Raises:
        DataError: a row has no time that can be read.
    """
    column = pd.Series(values)
    reading = deciding.decide(column, name, rules)
    read = as_order(column, reading, rules)
    if read is None or not np.isfinite(read.values).all():
        raise DataError(f"split.time: some rows of {name!r} have no date that can be read, such as 2021-06-25")
    if reading.get("ambiguous") or reading.get("shown"):
        order = "day/month/year" if reading["dayfirst"] else "month/day/year"
        doubt = " (a guess, no date shows it: set `prepare: {dayfirst: ...}`)" if reading.get("ambiguous") else ""
        notes.append(f"column {name!r}: dates read as {order}{doubt}")
    return read.values


def as_order(column: "pd.Series[Any]", reading: readings.Reading, rules: readings.Rules) -> readings.Read | None:
    """The column as numbers to sort by; None: it is text."""
    match reading["kind"]:
        case "number":
            return readings.as_numbers(column, reading, rules.missing_words, rules.comma)
        case "date":
            return readings.as_days(column, reading, rules.missing_words)
        case "time":
            return readings.as_seconds(column, rules.missing_words)
        case _:
            return None


def _check_classes(y: NDArray[Any], parts: splits.Parts, target: targets.Target, raw: Raw) -> None:
    """Training needs two classes; classes that a part lacks are noted."""
    seen = np.unique(y[parts == 0])
    if len(seen) < 2:
        raise DataError(
            f"target {raw.target!r}: the training part has a single class; split by groups or time differently"
        )
    for part, name in enumerate(splits.NAMES):
        absent = sorted(set(range(len(target.classes))) - set(y[parts == part].tolist()))
        if absent and (parts == part).any():
            some = ", ".join(str(target.classes[k]) for k in absent[:5])
            raw.notes.append(f"no row of class {some} in the {name} part")


def _check_folds(y: NDArray[Any], folded: Folds, target: targets.Target, raw: Raw) -> None:
    """The model of each fold needs two classes to learn; which folds lack one is noted. `y`: of the training rows."""
    lacking: dict[str, int] = {}
    for number in range(folded.count):
        for rows, where in ((folded.train_rows(number), "train on"), (folded.held_rows(number), "hold out")):
            part = y[folded.home.numpy() >= 0][rows.numpy()] if where == "hold out" else y[rows.numpy()]
            seen = np.bincount(part, minlength=len(target.classes)) > 0
            if where == "train on" and seen.sum() < 2:
                raise DataError(
                    f"split.folds: fold {number + 1} of {folded.count} would train on a single class of target "
                    f"{raw.target!r}; take fewer folds, or split by groups or time differently"
                )
            for k in np.flatnonzero(~seen):
                text = f"{where} no row of class {target.classes[k]}"
                lacking[text] = lacking.get(text, 0) + 1
    raw.notes += [f"{count} of {folded.count} folds {text}" for text, count in list(lacking.items())[:5]]


def _weights(
    raw: Raw, y: NDArray[Any], train: NDArray[np.bool_], units: int, options: Mapping[str, Any],
    rules: readings.Rules,
) -> Tensor | None:  # fmt: skip
    """[N] float32, mean 1 over the training rows: weight column times class balance; None without either."""
    column, balance = options.get("weight"), options.get("class_weight") or "none"
    if balance not in ("none", "balanced"):
        raise DataError(f"prepare.class_weight: expected balanced or none, got {balance!r}")
    if column is None and balance == "none":
        return None
    weight = np.ones(len(y)) if column is None else _weight_column(raw, str(column), train, rules)
    if balance == "balanced":
        if y.ndim != 1:
            raise DataError("prepare.class_weight: only classes can be balanced, the target is a value")
        totals = np.bincount(y[train], weights=weight[train], minlength=units)
        weight = weight * np.where(totals > 0, totals.sum() / np.maximum(totals, 1e-12), 1.0)[y]
    return torch.from_numpy((weight / weight[train].mean()).astype(np.float32))


def _weight_column(raw: Raw, column: str, train: NDArray[np.bool_], rules: readings.Rules) -> NDArray[np.float64]:
    if column not in raw.extra:
        raise DataError(f"prepare.weight: arrays have no column {column!r}")
    values = pd.Series(raw.extra[column])
    reading = deciding.decide(values, column, replace(rules, types={column: "number"}))
    weight = readings.as_numbers(values, reading, rules.missing_words, rules.comma).values
    if not np.isfinite(weight).all() or (weight < 0).any() or weight[train].sum() == 0:
        raise DataError(f"weight {column!r}: every row needs a finite weight of at least 0, and not all may be 0")
    return weight
