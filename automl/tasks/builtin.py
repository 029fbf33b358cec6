"""The built-in task: this package trains a model on data; what each trial trains is all in its config."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from automl.tasks import fusing
from automl.tasks.recipe import Recipe
from automl.worker.worker import Task

if TYPE_CHECKING:
    from automl.tasks.session import TrainingSession


@dataclass(frozen=True)
class BuiltinTask(Recipe, Task):
    """A `Recipe` (see there for the fields) that can be sent to workers.

    Example:
        >>> BuiltinTask("mlp", "digits", epochs=10, metric=Metric("val_loss"))
    """

    @property
    def group(self) -> Callable[[Mapping[str, Any]], str] | None:
        """Which trials may train as one batched model, see `fusing.group`."""
        return fusing.group(self)

    @property
    def forkable(self) -> bool:
        """Whether a worker may be forked from a process that has imported torch: it runs none of the user's code."""
        return not self.runs_user_code

    def with_data(self) -> "BuiltinTask":
        """The same task with its data in it, for workers on machines that do not have the files.

        A table that is streamed from disk stays where it is: each machine must have it.
        """
        from automl.data.streaming.shards import Streamed

        loaded = self.load()
        return self if isinstance(loaded.train, Streamed) else replace(self, sent=loaded)

    def open(self, devices: tuple[str, ...]) -> "TrainingSession":
        """On one device many trials train together as far as they can; on several, one trial at a time on all."""
        from automl.tasks.ranks import RankGroup
        from automl.tasks.session import TrainingSession

        if len(devices) > 1:
            return TrainingSession(self, devices[0], ranks=RankGroup(self, devices))
        from automl.tasks import lane_loop

        return TrainingSession(self, devices[0], loop=lane_loop.serve)
