"""What a trial trains: a Python function, a command, or a described model with its data.

A `Task` is small and can be pickled: the driver sends it to each worker once. `open` does what is costly there
(imports, loading data) and gives a `Session`, which serves trials until there are no more.
"""

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from automl.worker.worker import Trial, Worker


class Session(Protocol):
    """A task that is ready to train, inside one worker."""

    def run(self, trial: "Trial") -> None:
        """Train one trial, reporting as it goes; returns when it has run its full length."""
        ...

    def serve(self, worker: "Worker") -> None:
        """Pull trials over the worker and run them until there are no more."""
        ...


class Task(Protocol):
    """What is sent to the workers."""

    def open(self, devices: tuple[str, ...]) -> Session:
        """Called once in each worker.

        Raises:
            AutoMLError: it cannot be trained at all (import fails, data are bad); the search ends with that.
        """
        ...


class OneByOne:
    """A session that trains one trial at a time."""

    def run(self, trial: "Trial") -> None:
        """Train one trial, reporting as it goes; returns when it has run its full length."""
        raise NotImplementedError

    def serve(self, worker: "Worker") -> None:
        worker.one_by_one(self)
