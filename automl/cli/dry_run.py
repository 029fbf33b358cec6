"""`automl search --dry-run`: the plan, and one batch of the first config."""

import json as json_module
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from automl.specfile import Spec


@dataclass(frozen=True, slots=True)
class TrainedBatch:
    """One trained batch of the first config."""

    rows: tuple[int, int, int]  # of train, val and test
    parameters: int  # weights of the model
    batch: int  # rows
    seconds: float
    metrics: dict[str, float]

    def to_json(self) -> dict[str, Any]:
        """As plain data, without the metrics."""
        rows = dict(zip(("train", "val", "test"), self.rows, strict=True))
        return {"rows": rows, "parameters": self.parameters, "batch": self.batch, "seconds": round(self.seconds, 4)}


def print_plan(spec: str, changes: Mapping[str, Any], *, json: bool) -> None:
    """Print the resolved plan, the size of the space, and how training one batch went.

    Args:
        spec: a file or a preset.
        changes: entries of the spec by dotted path.
        json: print one JSON document instead of text.
    """
    from automl import specfile
    from automl.executors import devices
    from automl.view.pages import plan

    read = specfile.read(spec, overrides=changes, gpus=devices.count)
    for warning in read.warnings:
        typer.echo(f"warning: {warning}", err=True)
    trained = one_batch(read)
    if json:
        facts = {"schema": 1, **plan.document(read), "batch": trained and trained.to_json()}
        return typer.echo(json_module.dumps(facts, ensure_ascii=False, allow_nan=False))
    return typer.echo(f"{plan.text(read)}\n{_text(trained)}")


def _text(trained: TrainedBatch | None) -> str:
    if trained is None:
        return "batch     none: a dry run does not call your own training code"
    train, val, test = trained.rows
    milliseconds = trained.seconds * 1000
    return (
        f"rows      {train:,} for training, {val:,} for validation, {test:,} for the final test\n"
        f"batch     {trained.batch} rows, {trained.parameters:,} weights, trained in {milliseconds:.0f} ms"
    )


def one_batch(read: "Spec") -> TrainedBatch | None:
    """Load the data, build the model of the first config and train one batch of it, on the CPU.

    Returns:
        None where the spec names a training function or a command: these are not called.

    Raises:
        AutoMLError: data, model or config are wrong, or the study's metric is not measured.
    """
    import numpy as np

    from automl.core import seeds
    from automl.errors import TaskError
    from automl.tasks.builtin import BuiltinTask
    from automl.tasks.from_spec import task_of

    task = task_of(read)
    if not isinstance(task, BuiltinTask):
        return None
    from automl.training import Trainer

    session = task.open(("cpu",))
    config = read.space.default() or read.space.sample(np.random.default_rng(seeds.derive(read.seed, "dry run")))
    prepared = session.data.of(config)
    size = int(str(config.get("batch_size", 64)))
    small = replace(prepared, train=prepared.train.head(size), val=prepared.val.head(size))
    try:
        solo = Trainer(session.build, small, config, 1, read.seed, "cpu")
        start = time.perf_counter()
        metrics = solo.epoch()
    except (RuntimeError, TypeError, ValueError, KeyError, AttributeError) as error:
        raise TaskError(
            f"the model cannot be built or trained with {config}: {type(error).__name__}: {error}"
        ) from error
    rows = (len(prepared.train), len(prepared.val), len(prepared.test))
    parameters = sum(w.numel() for w in solo.weights().values())
    return TrainedBatch(rows, parameters, len(small.train), time.perf_counter() - start, metrics)
