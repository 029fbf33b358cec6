"""One worker in this process and thread: for debugging, notebooks and tests. A debugger works inside trials."""

from collections import deque
from dataclasses import dataclass, field
from pathlib import Path

from automl.core.messages import Event, Order, Shutdown
from automl.driver.executor import Executor, Handle
from automl.executors.capture import StreamCapture
from automl.study import paths
from automl.worker.link import Place
from automl.worker.worker import Task, Worker, no_capture


@dataclass
class Inline(Executor):
    """Runs one worker in this process: `poll` runs it until there is no more work, and sending calls the driver."""

    _task: Task | None = field(default=None, init=False)
    _folder: Path | None = field(default=None, init=False)
    _handle: Handle | None = field(default=None, init=False)
    _orders: deque[Order] = field(default_factory=deque, init=False)

    def start(self, task: Task, workers: int, folder: Path | None) -> int:
        self._task, self._folder = task, folder
        return 1

    def sends(self) -> bool:
        return False

    def poll(self, handle: Handle, timeout_s: float) -> None:
        if self._task is None:
            return
        task, self._task, self._handle = self._task, None, handle
        capture = StreamCapture(self._folder / paths.LOGS) if self._folder else no_capture
        worker = Worker(self.place(), _Link(self), capture)
        worker.open(task).serve(worker)

    def place(self) -> Place:
        """Where the worker runs."""
        return Place(folder=self._folder)

    def send(self, worker: int, order: Order) -> None:
        self._orders.append(order)

    def restart(self, worker: int) -> None:
        """Does nothing: this process is the worker, and cannot be replaced."""

    def device(self, worker: int) -> str:
        return "cpu"

    def stop(self, grace_s: float) -> None:
        self._orders.clear()


@dataclass(frozen=True)
class _Link:
    """The worker's link: sending calls the driver, whose answer has been sent when that call returns."""

    executor: Inline

    def send(self, event: Event) -> None:
        assert self.executor._handle is not None
        self.executor._handle(event)

    def receive(self) -> Order:
        orders = self.executor._orders
        return orders.popleft() if orders else Shutdown()
