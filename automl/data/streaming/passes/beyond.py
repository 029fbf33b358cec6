"""Targets and parts of a table whose targets do not fit into memory: read piece by piece, in a few sequential passes.

How cells are read is decided on a sample of the rows, with every different label in it. How it is
split: `automl.data.streaming.passes.parting`.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from automl.data import splits, targets
from automl.data.cells import deciding, readings
from automl.data.preparing.columns import LARGEST
from automl.data.streaming.passes import parting
from automl.data.streaming.passes.chosen import Chosen, units_of
from automl.data.streaming.passes.parting import Rows, count, slices
from automl.data.streaming.passes.scan import Scan
from automl.errors import DataError

LABELS = 100_000
"""Different targets of which all are kept; with more of them it is a quantity."""


def choose(scan: Scan, folder: Path, rows: int) -> Chosen:
    """See `chosen.choose`."""
    request, name = scan.request, scan.kept[0]
    over = Rows(scan, folder, rows)
    rules = readings.rules_of(request.options, next(over.pieces())[1])
    target, read = _target(over, name, rules)
    classes = target.kind == "classification"
    y = over.array("y", np.int64 if classes else np.float32, *(() if classes else (1,)))
    part, values = over.array("part", np.int8), y if classes else over.array("values", np.float64)
    for first, frame in over.pieces():
        own, keep = read(frame[name])
        values[first : first + len(frame)] = own
        part[first : first + len(frame)] = np.where(keep, 0, -1)
    left_out = count(part, -1)
    notes = list(target.notes)
    if left_out:
        notes.insert(0, f"{left_out} rows without a finite target {name!r} left out")
    parting.draw_rows(part, request, rows - left_out, notes)
    parting.split(over, part, values if classes else None, rules, notes)
    units = units_of(target)
    entry: dict[str, Any] = {"name": name, "kind": target.kind}
    if classes:
        _check_classes(part, values, target, name, notes)
        entry |= {"classes": target.classes}
    else:
        center, scale = _moments(part, values, name)
        entry |= {"center": [center], "scale": [scale]}
        for rows_ in slices(rows):
            y[rows_, 0] = (np.nan_to_num(values[rows_]) - center) / scale
    entry |= {"reading": target.reading} if target.reading else {}
    weighted = _weights(over, part, values if classes else None, int(units), rules)
    return Chosen(
        folder, rows, target.kind, target.classes, entry, units.to_json(), weighted, left_out, notes
    )  # fmt: skip


# -- targets ------------------------------------------------------------------------------------------------------


def _target(over: Rows, name: str, rules: readings.Rules) -> tuple[targets.Target, Callable[[Any], Any]]:
    """(how the target is read, a function from its cells [n] to ([n] codes or numbers, [n] whether there is one))."""
    seen: pd.Index[Any] = pd.Index([])
    for _, frame in over.pieces():
        if len(seen) <= LABELS:
            seen = pd.Index(seen.append(pd.Index(frame[name].dropna().unique())).unique())
    looked = over.sample(name, over.scan.request.sizes.known // 4)
    few = len(seen) <= LABELS
    shown = looked
    if few:
        rare = pd.Series(seen.difference(pd.Index(looked.unique()), sort=False), dtype=looked.dtype)
        shown = pd.concat([looked, rare], ignore_index=True)
    target = targets.read(shown, name, over.scan.request.options.get("task"), rules)
    notes = [note if "rows" not in note else f"{note} (of {len(looked):,} that were looked at)"
            for note in target.notes if "left out" not in note]  # fmt: skip
    target = replace(target, notes=notes)
    if target.kind == "classification":
        if not few:
            raise DataError(f"target {name!r} has more than {LABELS:,} classes: is it an identifier?")
        return target, _by_label(shown, target.y)
    return target, _by_number(name, target, rules)


def _by_label(shown: "pd.Series[Any]", codes: NDArray[np.int64]) -> Callable[[Any], Any]:
    numbers, labels = pd.factorize(shown.to_numpy(dtype=object))
    code = np.full(len(labels) + 1, -1, dtype=np.int64)  # the last one: no label
    code[numbers] = codes
    code[-1] = -1
    known = pd.Index(labels)

    def read(cells: "pd.Series[Any]") -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        where, distinct = pd.factorize(cells.to_numpy(dtype=object))
        found = code[known.get_indexer(pd.Index(distinct, dtype=object))] if len(distinct) else code[-1:]
        made = np.where(where < 0, -1, found[where])
        return made, made >= 0

    return read


def _by_number(name: str, target: targets.Target, rules: readings.Rules) -> Callable[[Any], Any]:
    def read(cells: "pd.Series[Any]") -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        if target.reading:
            numbers = readings.as_numbers(cells, target.reading, rules.missing_words, rules.comma).values
        else:
            numbers = pd.to_numeric(cells).to_numpy(dtype=np.float64, na_value=np.nan)
        keep = np.isfinite(numbers)
        if keep.any() and np.abs(numbers[keep]).max() > LARGEST:
            raise DataError(f"target {name!r} has values beyond {LARGEST:g}; rescale it")
        return numbers, keep

    return read


def _check_classes(
    part: NDArray[np.int8], codes: NDArray[np.int64], target: targets.Target, name: str, notes: list[str]
) -> None:
    """Training needs two classes; classes that a part lacks are noted."""
    counts = np.zeros((3, len(target.classes)), dtype=np.int64)
    for rows in slices(len(part)):
        for code in range(3):
            counts[code] += np.bincount(codes[rows][part[rows] == code], minlength=len(target.classes))
    if (counts[0] > 0).sum() < 2:
        raise DataError(f"target {name!r}: the training part has a single class; split by groups or time differently")
    for code, where in enumerate(splits.NAMES):
        absent = np.flatnonzero(counts[code] == 0)
        if len(absent) and counts[code].any():
            notes.append(f"no row of class {', '.join(str(target.classes[k]) for k in absent[:5])} in the {where} part")


def _moments(part: NDArray[np.int8], values: NDArray[np.float64], name: str) -> tuple[float, float]:
    """(mean, standard deviation) of the training rows."""
    count, total = 0, 0.0
    for rows in slices(len(part)):
        own = values[rows][part[rows] == 0]
        count, total = count + len(own), total + float(own.sum())
    mean = total / max(count, 1)
    spread = sum(float(np.square(values[rows][part[rows] == 0] - mean).sum()) for rows in slices(len(part)))
    if not spread > 0:
        raise DataError(f"target {name!r} has a single value in the training part: there is nothing to learn")
    return mean, float(np.sqrt(spread / count))


# -- weights --------------------------------------------------------------------------------------------------------


def _weights(
    over: Rows, part: NDArray[np.int8], codes: NDArray[np.int64] | None, units: int, rules: readings.Rules
) -> bool:
    """Write the weights, where there are any."""
    options = over.scan.request.options
    column, balance = options.get("weight"), options.get("class_weight") or "none"
    if balance not in ("none", "balanced"):
        raise DataError(f"prepare.class_weight: expected balanced or none, got {balance!r}")
    if column is None and balance == "none":
        return False
    weight = over.array("weight", np.float32)
    weight[:] = 1
    if column is not None:
        _weight_column(over, part, str(column), weight, rules)
    per_class = np.ones(units)
    if balance == "balanced":
        if codes is None:
            raise DataError("prepare.class_weight: only classes can be balanced, the target is a value")
        totals = np.zeros(units)
        for rows in slices(over.rows):
            train = part[rows] == 0
            totals += np.bincount(codes[rows][train], weights=weight[rows][train], minlength=units)
        per_class = np.where(totals > 0, totals.sum() / np.maximum(totals, 1e-12), 1.0)
    count, total = 0, 0.0
    for rows in slices(over.rows):
        if codes is not None:
            weight[rows] *= per_class[np.maximum(codes[rows], 0)]
        train = part[rows] == 0
        count, total = count + int(train.sum()), total + float(weight[rows][train].sum(dtype=np.float64))
    for rows in slices(over.rows):
        weight[rows] /= total / count
    return True


def _weight_column(
    over: Rows, part: NDArray[np.int8], column: str, weight: NDArray[np.float32], rules: readings.Rules
) -> None:
    reading = deciding.decide(over.sample(column, 100_000), column, replace(rules, types={column: "number"}))
    positive = False
    for first, frame in over.pieces():
        values = readings.as_numbers(frame[column], reading, rules.missing_words, rules.comma).values
        own = part[first : first + len(frame)]
        used = values[own >= 0]
        if not np.isfinite(used).all() or (used < 0).any():
            raise DataError(f"weight {column!r}: every row needs a finite weight of at least 0, and not all may be 0")
        positive = positive or bool((values[own == 0] > 0).any())
        weight[first : first + len(frame)] = np.nan_to_num(values)
    if not positive:
        raise DataError(f"weight {column!r}: every row needs a finite weight of at least 0, and not all may be 0")
