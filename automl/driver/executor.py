"""The Executor protocol: what carries messages and starts, watches and kills workers. Members are the other files here.

An executor decides nothing: the driver says how many workers, answers their messages, and asks for another worker
where one was lost.
"""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from automl.core.messages import Event, Order
    from automl.worker.worker import Task

Handle = Callable[["Event"], None]


@runtime_checkable
class Executor(Protocol):
    """Runs workers somewhere. Called from the driver's thread alone."""

    def start(self, task: "Task", workers: int, folder: Path | None) -> int:
        """Start up to `workers` workers (0: as many as the machine has devices or cores); returns how many.

        Raises:
            EnvironmentProblem: the machine cannot run them.
        """
        ...

    def poll(self, handle: Handle, timeout_s: float) -> None:
        """Wait up to `timeout_s` for events and call `handle` with each; it may `send` in answer."""
        ...

    def send(self, worker: int, order: "Order") -> None:
        """Send to a worker. One that is dead or gone is no error: `Lost` tells of it."""
        ...

    def restart(self, worker: int) -> None:
        """Replace a worker, killing it where it still runs."""
        ...

    def recycle(self, worker: int) -> bool:
        """Put a fresh process in the place of an idle worker; False where there is no process to replace."""
        return False

    def dump(self, worker: int) -> None:
        """Have a worker that hangs write where it is to its trial's log, if that is possible."""
        return

    def log(self, trial: int) -> str:
        """The file of what a trial printed, below the study's folder; empty where there is none."""
        return ""

    def device(self, worker: int) -> str:
        """The device a worker is bound to, as shown on the screen."""
        ...

    def stop(self, grace_s: float) -> None:
        """End all workers: those that have not gone by themselves after `grace_s` are killed. Idempotent."""
        ...
