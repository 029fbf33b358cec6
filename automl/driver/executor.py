"""The Executor protocol: what starts, watches and kills workers, and carries messages between them and the driver.

An executor decides nothing: the driver says how many workers there are, answers their messages, and asks for another
worker where one was lost. The executors that come with automl are in `automl.executors`.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Protocol, runtime_checkable

from automl.core.messages import Event, Order
from automl.errors import EnvironmentProblem
from automl.worker.worker import Task

Handle = Callable[[Event], None]


@runtime_checkable
class Executor(Protocol):
    """Runs workers somewhere. Called from the driver's thread alone."""

    def start(self, task: Task, workers: int, folder: Path | None) -> int:
        """Start up to `workers` workers (0: as many as the machine has devices or cores); returns how many.

        Raises:
            EnvironmentProblem: the machine cannot run them.
        """
        ...

    def sends(self) -> bool:
        """Whether the task is sent to other processes; else it need not be something that can be pickled."""
        return True

    def usual(self) -> int:
        """How many workers `start` would begin if it could choose; 0: that is not known before."""
        return 0

    def load(self) -> float | None:
        """The largest share of a memory that the workers take, where `add` may start more beside them on a device.

        Of what was free of it before they started: 0 to 1. None: it is not known, or the number of workers is fixed.
        """
        return None

    def add(self, beside: int, share: float) -> int:
        """Start a further worker on the devices of worker `beside`; returns its number. Called if `load` is a number.

        Args:
            beside: one of those that `start` has started.
            share: of the memory of a device that the new worker may take.
        """
        raise EnvironmentProblem(f"{type(self).__name__} starts no further workers")

    def poll(self, handle: Handle, timeout_s: float) -> None:
        """Wait up to `timeout_s` for events and call `handle` with each; it may `send` in answer."""
        ...

    def send(self, worker: int, order: Order) -> None:
        """Send to a worker. It is no error if the worker is dead: `Lost` reports that."""
        ...

    def restart(self, worker: int) -> None:
        """Replace a worker by a fresh one; kill it if it still runs."""
        ...

    def recycle(self, worker: int) -> bool:
        """Replace the process of an idle worker by a fresh one; False if there is no process to replace."""
        return False

    def leaving(self, worker: int) -> bool:
        """Whether the worker's machine was told that it will be taken away: its trials are saved and go elsewhere."""
        return False

    def dump(self, worker: int) -> None:
        """Have a worker that hangs write its stacks to its trial's log, if that is possible."""
        return

    def log(self, trial: int) -> str:
        """The file with what a trial printed, relative to the study's folder; empty if there is none."""
        return ""

    def device(self, worker: int) -> str:
        """The device a worker is bound to, as shown on the screen."""
        ...

    def stop(self, grace_s: float) -> None:
        """End all workers: those that have not ended by themselves after `grace_s` seconds are killed. Idempotent."""
        ...
