"""Worker processes on this machine: one for each GPU, or one for each core where there is none.

Our own supervisor over `Process`, `Pipe` and `connection.wait`: in a `ProcessPoolExecutor` one killed worker fails
all other trials. Processes are spawned (a fork would share CUDA's state) or forked from a process that has done nothing
but import torch (see `forkserver`). They die with the driver, and whatever they have started dies with them.
"""

import faulthandler
import os
import signal
import sys
import threading
import time
import types
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from multiprocessing import connection, get_context, resource_tracker
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import cloudpickle

from automl.core.messages import Broken, Event, Lost, Order, Shutdown
from automl.driver.executor import Executor, Handle
from automl.errors import AutoMLError, EnvironmentProblem
from automl.executors import devices, forkserver, leftovers
from automl.executors.capture import DescriptorCapture, log_name, shorten
from automl.executors.forkserver import environment
from automl.tasks.command import exit_in_words
from automl.worker.link import Place
from automl.worker.worker import Capture, Task, Worker, no_capture

SPAWN = get_context("spawn")
CRASHES_AT_START = 3
KILLS_AT_START = 10
DUMP = next((number for number in signal.Signals if number.name == "SIGUSR2"), signal.SIGTERM)
"""Has a worker write its stacks to the log. (Windows, where no worker is started, does not have it.)"""
TIDY_S = 5.0  # between two looks at the size of logs


@dataclass
class _Slot:
    """One worker's process, its end of the pipe, and what it is bound to."""

    process: BaseProcess
    pipe: Connection
    device: str
    mark: str
    spoke: bool = False
    crashes: int = 0
    gone: bool = False


@dataclass
class Local(Executor):
    """`threads`: torch threads of a worker without a GPU (0: cores / workers).

    `gpus`: GPUs that a worker has; 2: each trial trains on two of them, 0.5: two workers share one.
    `forked`: fork workers from a process that has imported torch, where that is possible; None: as the task wants it.
    """

    threads: int = 0
    gpus: float = 1.0
    forked: bool | None = None
    oom_kills: Callable[[], int] = devices.oom_kills  # how many processes the system has killed for want of memory
    _slots: list[_Slot] = field(default_factory=list, init=False)
    _task: Task | None = field(default=None, init=False)
    _folder: Path | None = field(default=None, init=False)
    _shares: list[tuple[str, ...]] = field(default_factory=list, init=False)  # the GPUs of each worker
    _mark: str = field(default="", init=False)
    _context: Any = field(default=SPAWN, init=False)  # makes processes: spawned, or forked from a warm one
    _spawned: int = field(default=0, init=False)
    _killed_for_memory: int = field(default=0, init=False)
    _tidied: float = field(default=0.0, init=False)

    def start(self, task: Task, workers: int, folder: Path | None) -> int:
        self._task, self._folder, self._shares = task, folder, devices.shares(devices.gpus(), self.gpus)
        forked = task.forkable if self.forked is None else self.forked
        self._context = (forkserver.context() if forked else None) or SPAWN
        self._mark, self._killed_for_memory = leftovers.mark_of(folder), self.oom_kills()
        leftovers.sweep(self._mark)  # of a driver that was killed
        count = workers or len(self._shares) or devices.cores()
        self.threads = self.threads or max(1, devices.cores() // count)
        self._slots = [self._spawn(k) for k in range(count)]
        return count

    def _spawn(self, worker: int) -> _Slot:
        gpus = self._shares[worker % len(self._shares)] if self._shares else ()
        place = Place(worker, tuple(f"cuda:{k}" for k in range(len(gpus))) or ("cpu",), self._folder)
        ours, theirs = self._context.Pipe()
        self._spawned += 1
        mark = f"{self._mark}{self._spawned}/"
        resource_tracker.ensure_running()  # it is ours, not the worker's
        variables = {"CUDA_VISIBLE_DEVICES": ",".join(gpus), "OMP_NUM_THREADS": str(self.threads), leftovers.MARK: mark}
        with environment(**variables), _without_main():
            pickled, variables = cloudpickle.dumps(self._task), dict(os.environ)
            process = self._context.Process(
                target=_main if self._context is SPAWN else _main_forked,
                args=(pickled, place, theirs, os.getpid() if self._context is SPAWN else variables),
                name=f"automl-worker-{worker}",
                daemon=False,
            )
            process.start()
        theirs.close()
        return _Slot(process, ours, f"gpu{','.join(gpus)}" if gpus else f"cpu{worker}", mark)

    def poll(self, handle: Handle, timeout_s: float) -> None:
        waiting: dict[Any, int] = {}
        for worker, slot in enumerate(self._slots):
            if not slot.gone:
                waiting[slot.pipe] = worker
                waiting[slot.process.sentinel] = worker
        ready = connection.wait(list(waiting), timeout_s)
        for worker in dict.fromkeys(waiting[item] for item in ready):
            self._hear(worker, handle)
        for worker, slot in enumerate(self._slots):
            if not slot.gone and not slot.process.is_alive():  # its children may hold sentinel and pipe open
                self._hear(worker, handle)
        if self._folder and time.monotonic() - self._tidied > TIDY_S:
            self._tidied = time.monotonic()
            for file in (self._folder / "logs").glob("*.log"):
                with suppress(OSError):
                    shorten(file)

    def _hear(self, worker: int, handle: Handle) -> None:
        """All messages that have arrived from a worker; then, if it has died, that."""
        slot = self._slots[worker]
        while (event := self._next(worker, slot)) is not None:
            slot.spoke = True
            handle(event)
            if slot is not self._slots[worker]:
                return
        if not slot.process.is_alive() and not slot.gone:
            slot.gone = True
            leftovers.sweep(slot.mark)
            handle(self._lost(worker, slot.process.exitcode or 0))

    def _next(self, worker: int, slot: _Slot) -> Event | None:
        """The next message that has arrived; a worker that cannot speak any more is killed."""
        try:
            event: Event | None = slot.pipe.recv() if slot.pipe.poll() else None
        except (EOFError, OSError):  # it has closed its end: it is about to be gone, or user code closed our pipe
            _wait(slot.process, 1)
            _kill(slot.process)
            return None
        except Exception as error:  # it was not written for this process
            return Broken(worker, AutoMLError(f"worker {worker} sent what cannot be read: {error!r}"))
        return event

    def _lost(self, worker: int, code: int) -> Lost:
        before, self._killed_for_memory = self._killed_for_memory, self.oom_kills()
        if code == -signal.SIGKILL and self._killed_for_memory > before:
            return Lost(worker, "the system ran out of memory and killed the worker", "oom")
        return Lost(worker, exit_in_words(code))

    def send(self, worker: int, order: Order) -> None:
        with suppress(OSError):
            self._slots[worker].pipe.send(order)

    def restart(self, worker: int) -> None:
        """
        Raises:
            EnvironmentProblem: workers die before they say a word, several times in a row.
        """
        old = self._slots[worker]
        _kill(old.process)
        if not old.gone:
            leftovers.sweep(old.mark)
        crashes = 0 if old.spoke else old.crashes + 1
        by_others = old.process.exitcode == -signal.SIGKILL  # this may well go better the next time
        if crashes >= (KILLS_AT_START if by_others else CRASHES_AT_START):
            code = exit_in_words(old.process.exitcode or 0)
            log = f"; see {self._folder / 'logs'}" if self._folder else ""
            raise EnvironmentProblem(f"worker {worker} ended with {code} before it could work, {crashes} times{log}")
        old.pipe.close()
        self._slots[worker] = self._spawn(worker)
        self._slots[worker].crashes = crashes

    def recycle(self, worker: int) -> bool:
        self.restart(worker)
        return True

    def dump(self, worker: int) -> None:
        process = self._slots[worker].process
        if process.is_alive() and process.pid is not None:
            with suppress(ProcessLookupError):
                os.kill(process.pid, DUMP)
                time.sleep(0.1)

    def log(self, trial: int) -> str:
        file = f"logs/{log_name(trial)}"
        return file if self._folder and (self._folder / file).exists() else ""

    def device(self, worker: int) -> str:
        return self._slots[worker].device

    def stop(self, grace_s: float) -> None:
        for worker, slot in enumerate(self._slots):
            if not slot.gone:
                self.send(worker, Shutdown())
        for slot in self._slots:
            _wait(slot.process, grace_s)
            _kill(slot.process)
            slot.pipe.close()
        if self._slots:
            leftovers.sweep(self._mark)
        self._slots = []


def _wait(process: BaseProcess, seconds: float) -> None:
    """Until it has ended, at most `seconds`. (`join` waits for a pipe that its children may hold open.)"""
    deadline = time.monotonic() + seconds
    while process.is_alive() and time.monotonic() < deadline:
        time.sleep(0.005)


def _kill(process: BaseProcess) -> None:
    """SIGKILL the worker and whatever it started in its process group."""
    if process.is_alive() and process.pid is not None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        process.kill()
    process.join()


@contextmanager
def _without_main() -> Iterator[None]:
    """Spawn without running the caller's script again: tasks travel by value, so scripts need no `__main__` guard."""
    main = sys.modules["__main__"]
    sys.modules["__main__"] = types.ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


def _main(pickled: bytes, place: Place, pipe: Connection, driver: int) -> None:
    """A spawned worker process from its first line to its last."""
    _die_with(driver)
    _work(pickled, place, pipe)


def _main_forked(pickled: bytes, place: Place, pipe: Connection, variables: Mapping[str, str]) -> None:
    """A forked worker process; `variables`: the environment that a spawned one would have begun with."""
    os.environ.clear()
    os.environ.update(variables)
    forkserver.die_with_driver()
    _work(pickled, place, pipe)


def _work(pickled: bytes, place: Place, pipe: Connection) -> None:
    os.setpgid(0, 0)  # its own group, to be killed with all its children; and Ctrl-C is the driver's alone
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    faulthandler.enable()
    faulthandler.register(DUMP, all_threads=True)
    capture: Capture = DescriptorCapture(place.folder / "logs", place.worker) if place.folder else no_capture
    with suppress(EOFError, BrokenPipeError, ConnectionResetError):  # the driver is gone
        worker = Worker(place, _PipeLink(pipe), capture)
        worker.open(cloudpickle.loads(pickled)).serve(worker)


def _die_with(driver: int) -> None:
    """Have the kernel kill this process when the driver dies (Linux); elsewhere a thread watches for it."""
    if sys.platform == "linux":
        forkserver.die_with_parent()
    else:
        threading.Thread(target=_watch, args=(driver,), daemon=True).start()
    if os.getppid() != driver:
        os._exit(1)


def _watch(driver: int) -> None:
    while os.getppid() == driver:
        threading.Event().wait(1.0)
    os.killpg(0, signal.SIGKILL)


@dataclass(frozen=True)
class _PipeLink:
    """A worker's end of the pipe."""

    pipe: Connection

    def send(self, event: Event) -> None:
        self.pipe.send(event)

    def receive(self) -> Order:
        order: Order = self.pipe.recv()
        return order
