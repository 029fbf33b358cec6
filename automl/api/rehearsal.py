"""What a search would find out before its first trial, found out without one: for `automl validate`."""

from dataclasses import replace
from typing import TYPE_CHECKING

from automl import metrics
from automl.api.from_spec import study_of
from automl.errors import DataError, SpecError, did_you_mean
from automl.specfile import options

if TYPE_CHECKING:
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
    from automl.data import targets
    from automl.data.cells import readings
    from automl.data.preparing import columns
    from automl.data.reading import readers

    path = read.folder / str(read.data)
    try:
        small = path.is_file() and path.stat().st_size <= MOST_BYTES and readers.kind_of(path) in readers.TABLES
    except (OSError, ValueError):
        return
    if not small:
        return
    frame = columns.plain(readers.read_table(path, read.prepare))
    target = str(read.target)
    if target not in frame.columns or read.prepare.get("text"):
        return
    if read.prepare.get("window"):
        if not frame[target].astype(str).str.contains(r"\d").any():
            raise DataError(f"target {target!r}: no row has a number; a series predicts numbers")
        return
    rules = readings.rules_of(dict(read.prepare), frame)
    kind = targets.read(frame[target], target, read.prepare.get("task"), rules).kind
    measured = ["train_loss", *(f"val_{name}" for name in metrics.names(kind))]
    if read.metric.name not in measured:
        near = did_you_mean(read.metric.name, measured)
        reason = f"metric: {read.metric.name!r} is not measured for {kind}{near}"
        raise SpecError(f"{reason} (measured: {', '.join(measured)})")
    if kind == "regression" and read.prepare.get("class_weight") == "balanced":
        raise DataError("class_weight: only classes can be balanced, the target is a value")
