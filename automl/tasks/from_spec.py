"""What a specification trains, as a task for the workers."""

from typing import TYPE_CHECKING

from automl.tasks.builtin import BuiltinTask
from automl.tasks.command import CommandTask
from automl.tasks.function import ReferencedTask
from automl.tasks.fusing import mixes
from automl.tasks.warm.weights import Weights
from automl.training.samples.units import Unit
from automl.worker.worker import Task

if TYPE_CHECKING:
    from automl.specfile import Spec


def task_of(spec: "Spec") -> Task:
    """The function, the command, or the model and data that `spec` names, as a task."""
    if spec.train:
        return ReferencedTask(spec.train, spec.folder)
    if spec.command:
        names = (*spec.space.names, *spec.space.constants)
        return CommandTask(
            tuple(spec.command), names, spec.folder, spec.plan.horizon, metric=spec.metric.name, report=spec.report
        )
    assert spec.model is not None
    assert spec.data is not None
    assert spec.plan.horizon is not None
    return BuiltinTask(
        spec.model,
        spec.data,
        spec.plan.horizon,
        spec.metric,
        target=spec.target,
        split=spec.split,
        prepare=spec.prepare,
        folder=spec.folder,
        seed=spec.seed,
        spec=spec.to_json(),
        further=spec.objectives.names[1:],
        outputs=bool(spec.pack or (spec.ensemble and spec.finalists)),
        patience=spec.patience or 0,
        unit=Unit.of(spec.steps),
        weights=_weights(spec),
        val_rows=spec.steps.get("val_rows") if spec.steps else 0,
        adjust=spec.adjust,
        fuse=spec.fuse,
        mixes=mixes(spec.model, spec.space),
        settings={
            "precision": spec.precision,
            "compile": spec.compile,
            "oom": spec.oom,
            "parallel": spec.parallel,
            "augment": dict(spec.augment),
        },
    )


def _weights(spec: "Spec") -> Weights | None:
    """The weights with which the trials of a specification begin; None: with random ones."""
    if spec.weights is None:
        return None
    written = str(spec.weights["weights"])
    return Weights(spec.folder / written, written, spec.space, spec.weights.get("trial"))
