"""What a search would find out before its first trial, found out without one: for `automl validate`."""

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from automl import metrics
from automl.api.from_spec import study_of
from automl.errors import DataError, SpecError, did_you_mean
from automl.metrics.kinds.kind import Kind
from automl.specfile import options
from automl.training.hyperparameters import check_loss

if TYPE_CHECKING:
    import pandas as pd

    from automl.data.cells.readings import Rules
    from automl.specfile import Spec

MOST_BYTES = 2**25
"""Of a table whose target is looked at; a larger one would take too long."""


def rehearse(read: "Spec") -> None:
    """Ask the strategy for a config, and look at the target of a table. Imports no torch, and trains nothing.

    Raises:
        AutoMLError: what the search would raise, as a sentence that begins with the entry it is about.
    """
    if read.constraints or read.strategy.get("name") != "auto":
        _strategy(read)
    if read.model and not read.prepare.get("form"):
        _target(read)


def _strategy(read: "Spec") -> None:
    if not options.is_light("strategies", read.strategy):
        return
    study = study_of(replace(read, first=()), None, {}, {})
    try:
        study.strategy.suggest(study.history, 1)
    except SpecError as error:
        about = "constraints" if read.constraints and "keeps all" in str(error) else "strategy"
        raise SpecError(f"{about}: {error}") from None
    finally:
        study.close()


def _target(read: "Spec") -> None:
    """Check that the target of a table fits `prepare.task` and the metric."""
    from automl.data.cells import readings
    from automl.data.outputs import asked
    from automl.data.preparing import columns
    from automl.data.preparing.options import variant
    from automl.data.reading import readers

    path = read.folder / str(read.data)
    try:
        small = path.is_file() and path.stat().st_size <= MOST_BYTES and readers.kind_of(path) in readers.TABLES
    except (OSError, ValueError):
        return
    if not small:
        return
    frame = columns.plain(readers.read_table(path, read.prepare))
    names = read.target if isinstance(read.target, list) else [str(read.target)]
    target = names[0]
    if not set(names) <= set(frame.columns) or read.prepare.get("text"):
        return
    if read.prepare.get("window"):
        if not frame[target].astype(str).str.contains(r"\d").any():
            raise DataError(f"target {target!r}: no row has a number; a series predicts numbers")
        return
    rules = readings.rules_of(dict(read.prepare), frame)
    found = asked.read({name: frame[name] for name in names}, read.prepare, rules)
    kind = Kind.of_target(found.kind, variant(read.prepare))
    measured = ["train_loss", *(f"val_{name}" for name in metrics.ranking(kind))]
    if read.metric.name not in measured:
        near = did_you_mean(read.metric.name, measured)
        reason = f"metric: {read.metric.name!r} is not measured for {kind.words}{near}"
        raise SpecError(f"{reason} (measured: {', '.join(measured)})")
    if kind == "regression" and read.prepare.get("class_weight") == "balanced":
        raise DataError("class_weight: only classes can be balanced, the target is a value")
    if kind != "regression" and read.prepare.get("target_scale", "standard") != "standard":
        raise DataError("prepare.target_scale: it is for values, and this target has classes")
    cut = kind.variant == "labels" and read.adjust == "thresholds"
    if kind != "classification" and read.adjust != "none" and not cut:
        raise SpecError(f"adjust: {read.adjust} is for classes; this task is {kind}: leave it out")
    if (loss := read.space.constants.get("loss")) is not None:
        check_loss(str(loss), kind.variant or str(kind))
    _rows(read, frame[found.keep], rules)


def _rows(read: "Spec", frame: "pd.DataFrame", rules: "Rules") -> None:
    """Check that there are rows and columns to learn from, and that weights, groups and times can be read.

    Args:
        read: the specification.
        frame: the rows that have a target.
        rules: how cells are read.
    """
    from automl.data.cells import deciding, readings
    from automl.data.preparing.options import dropped
    from automl.data.splits import SMALLEST

    rows = min(len(frame), int(read.prepare.get("rows") or len(frame)))
    if rows < SMALLEST:
        raise DataError(f"{rows} rows are too few: at least {SMALLEST} are needed for three parts")
    group, time, weight = read.split.get("group"), read.split.get("time"), read.prepare.get("weight")
    targets = read.target if isinstance(read.target, list) else [read.target]
    left = set(frame.columns) - {*targets, group, time, weight, *dropped(read.prepare)}
    if not left:
        raise DataError("prepare.drop: no column is left to learn from")
    if group in frame.columns and (groups := frame[group].nunique()) < 3:
        raise DataError(f"split by group: {groups} groups cannot make three parts")
    if time in frame.columns:
        reading = deciding.decide(frame[time], str(time), rules)
        if reading["kind"] == "category" or reading.get("unreadable"):
            raise DataError(f"split.time: some rows of {time!r} have no date that can be read, such as 2021-06-25")
    if weight in frame.columns:
        reading = deciding.decide(frame[weight], str(weight), replace(rules, types={str(weight): "number"}))
        values = readings.as_numbers(frame[weight], reading, rules.missing_words, rules.comma).values
        if not np.isfinite(values).all() or (values < 0).any() or not values.any():
            raise DataError(f"weight {weight!r}: every row needs a finite weight of at least 0, and not all may be 0")
