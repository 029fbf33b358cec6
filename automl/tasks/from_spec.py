"""What a specification trains, as a task for the workers."""

from typing import TYPE_CHECKING

from automl.tasks.builtin import BuiltinTask
from automl.tasks.command import CommandTask
from automl.tasks.function import ReferencedTask
from automl.tasks.fusing import mixes
from automl.worker.worker import Task

if TYPE_CHECKING:
    from automl.specfile import Spec


def task_of(read: "Spec") -> Task:
    """What a spec trains."""
    if read.train:
        return ReferencedTask(read.train, read.folder)
    if read.command:
        return CommandTask(tuple(read.command), (*read.space.names, *read.space.constants), read.folder, read.epochs)
    assert read.model is not None
    assert read.data is not None
    assert read.epochs is not None
    return BuiltinTask(
        read.model,
        read.data,
        read.epochs,
        read.metric,
        target=read.target,
        split=read.split,
        prepare=read.prepare,
        folder=read.folder,
        seed=read.seed,
        spec=read.to_json(),
        outputs=bool(read.ensemble and read.finalists),
        patience=read.patience or 0,
        fuse=read.fuse,
        mixes=mixes(read.model, read.space),
        settings={
            "precision": read.precision,
            "compile": read.compile,
            "oom": read.oom,
            "parallel": read.parallel,
            "augment": dict(read.augment),
        },
    )
