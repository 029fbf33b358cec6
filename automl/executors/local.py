"""Worker processes on this machine: one for each GPU, or one for each core where there is none.

Our own supervisor over `Process`, `Pipe` and `connection.wait`: in a `ProcessPoolExecutor` one killed worker fails
all other trials. Processes are spawned (a fork would share CUDA's state) or forked from a process that has done nothing
but import torch (see `forkserver`). They die with the driver, and whatever they have started dies with them.
"""

import os
import signal
import sys
import time
import types
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from multiprocessing import connection, get_context, resource_tracker
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, Literal

import cloudpickle

from automl.core.machine.gpus import ORDER, label
from automl.core.machine.memory import SharedMemory
from automl.core.messages import Broken, Event, Lost, Order, Shutdown
from automl.driver.executor import Executor, Handle
from automl.errors import AutoMLError, EnvironmentProblem
from automl.executors import devices as machine
from automl.executors import forkserver, leftovers, worker_process
from automl.executors.capture import shorten
from automl.executors.forkserver import environment
from automl.study import paths
from automl.tasks.command import exit_in_words
from automl.worker.link import Place
from automl.worker.worker import Task

SPAWN = get_context("spawn")
CRASHES_AT_START = 3  # of a worker that has not sent a message, in a row, which end the search
KILLS_AT_START = 10  # the same, where somebody has killed it
TIDY_S = 5.0  # between two checks of the size of logs


@dataclass
class _Process:
    """One worker's process.

    Attributes:
        pipe: our end of the pipe to it.
        device: what it is bound to, as shown on the screen.
        mark: what marks it and its descendants, see `leftovers`.
        spoke: whether a message has come from it.
        crashes: how many processes of this worker before it died without a message, in a row.
        gone: whether its death has been reported.
        with_server: whether it has died because the process that it was forked from did.
    """

    process: BaseProcess
    pipe: Connection
    device: str
    mark: str
    spoke: bool = False
    crashes: int = 0
    gone: bool = False
    with_server: bool = False


@dataclass
class Local(Executor):
    """Runs workers as processes of this machine.

    Args:
        threads: torch threads of a worker without a GPU; 0: OMP_NUM_THREADS where it is set, else cores / workers.
        gpus: GPUs that a worker has; 2: each trial trains on two of them, 0.5: two workers share one; "auto": one, and
            further workers beside it as long as memory allows them and they pay off (see `driver.sharing`).
        devices: those of each trial where they are not GPUs: ("cpu", "cpu") trains it in two processes that average
            their gradients over gloo, so that what several GPUs will do can be tried without one.
        forked: fork workers from a process that has imported torch, if that is possible here; None: if the task
            allows it.
        oom_kills: returns how many processes the system has killed because memory ran out.
    """

    threads: int = 0
    gpus: float | Literal["auto"] = "auto"
    devices: Sequence[str] = ()
    forked: bool | None = None
    oom_kills: Callable[[], int] = machine.oom_kills
    _processes: list[_Process] = field(default_factory=list, init=False)
    _task: Task | None = field(default=None, init=False)
    _folder: Path | None = field(default=None, init=False)
    _shares: list[tuple[str, ...]] = field(default_factory=list, init=False)  # the GPUs of each worker
    _added: dict[int, tuple[int, float]] = field(default_factory=dict, init=False)  # (beside, share) of further workers
    _memory: SharedMemory | None = field(default=None, init=False)  # that workers share
    _mark: str = field(default="", init=False)
    _context: Any = field(default=SPAWN, init=False)  # makes processes: spawned, or forked from the fork server
    _spawned: int = field(default=0, init=False)
    _killed_for_memory: int = field(default=0, init=False)
    _tidied: float = field(default=0.0, init=False)

    def start(self, task: Task, workers: int, folder: Path | None) -> int:
        self._task, self._folder = task, folder
        self._shares = [] if self.devices else machine.shares(machine.gpus(), self._each)
        self._memory = machine.shared_memory() if self._shares and self.gpus == "auto" else None
        forked = task.forkable if self.forked is None else self.forked
        self._context = (forkserver.context() if forked else None) or SPAWN
        self._mark, self._killed_for_memory = leftovers.mark_of(folder), self.oom_kills()
        leftovers.adopt()
        leftovers.sweep(self._mark)  # of a driver that was killed
        count = workers or self.usual()
        self.threads = self.threads or machine.threads() or max(1, machine.cores() // count)
        self._processes = [self._spawn(k) for k in range(count)]
        return count

    def usual(self) -> int:
        if self.devices:
            return max(1, machine.cores() // len(self.devices))
        return len(machine.shares(machine.gpus(), self._each)) or machine.cores()

    @property
    def _each(self) -> float:
        """GPUs of a worker."""
        return 1.0 if self.gpus == "auto" else self.gpus

    def load(self) -> float | None:
        return None if self._memory is None else self._memory.load()

    def add(self, beside: int, share: float) -> int:
        worker = len(self._processes)
        self._added[worker] = beside, share
        self._processes.append(self._spawn(worker))
        return worker

    def _spawn(self, worker: int) -> _Process:
        place_of, share = self._added.get(worker, (worker, min(1.0, self._each)))
        gpus = self._shares[place_of % len(self._shares)] if self._shares else ()
        those = tuple(f"cuda:{k}" for k in range(len(gpus))) or tuple(self.devices) or ("cpu",)
        place = Place(worker, those, self._folder, gpu_share=share if gpus else 1.0)
        ours, theirs = self._context.Pipe()
        self._spawned += 1
        mark = f"{self._mark}{self._spawned}/"
        resource_tracker.ensure_running()  # it is ours, not the worker's
        variables = {
            "CUDA_VISIBLE_DEVICES": ",".join(gpus),
            **ORDER,  # an index is then the same card for CUDA as for us
            "OMP_NUM_THREADS": str(self.threads),
            "PYTHONHASHSEED": os.environ.get("PYTHONHASHSEED", "0"),  # sets of texts have one order in all workers
            leftovers.MARK: mark,
        }
        with environment(**variables), _without_main():
            pickled, variables = cloudpickle.dumps(self._task), dict(os.environ)
            process = self._started(pickled, place, theirs, variables)
        theirs.close()
        return _Process(process, ours, "gpu" + ",".join(map(label, gpus)) if gpus else f"cpu{worker}", mark)

    def _started(self, pickled: bytes, place: Place, theirs: Connection, variables: dict[str, str]) -> BaseProcess:
        """Start the process of a worker; where the fork server was killed, another one forks it.

        Raises:
            EnvironmentProblem: the fork server is killed again and again.
        """
        for kills in range(KILLS_AT_START):
            process: BaseProcess = self._context.Process(
                target=worker_process.main if self._context is SPAWN else worker_process.main_forked,
                args=(pickled, place, theirs, os.getpid() if self._context is SPAWN else variables),
                name=f"automl-worker-{place.worker}",
                daemon=False,
            )
            try:
                if self._context is not SPAWN:
                    forkserver.begin()
                process.start()
                return process
            except (EOFError, ConnectionError):
                if self._context is SPAWN:
                    raise
                time.sleep(0.05 * (kills + 1))  # one that was killed can be seen for a while until it has ended
        raise EnvironmentProblem(
            f"the process that workers are forked from was killed {KILLS_AT_START} times while it started a worker"
        )

    def poll(self, handle: Handle, timeout_s: float) -> None:
        waiting: dict[Any, int] = {}
        for worker, entry in enumerate(self._processes):
            if not entry.gone:
                waiting[entry.pipe] = worker
                waiting[entry.process.sentinel] = worker
        ready = connection.wait(list(waiting), timeout_s)
        for worker in dict.fromkeys(waiting[item] for item in ready):
            self._receive(worker, handle)
        for worker, entry in enumerate(self._processes):
            if not entry.gone and not entry.process.is_alive():  # its children may hold sentinel and pipe open
                self._receive(worker, handle)
        if self._folder and time.monotonic() - self._tidied > TIDY_S:
            self._tidied = time.monotonic()
            for file in (self._folder / paths.LOGS).glob("*.log"):
                with suppress(OSError):
                    shorten(file)

    def _receive(self, worker: int, handle: Handle) -> None:
        """Handle all messages that have arrived from a worker; then, if it has died, that."""
        entry = self._processes[worker]
        while (event := self._next(worker, entry)) is not None:
            entry.spoke = True
            handle(event)
            if entry is not self._processes[worker]:
                return
        if not entry.process.is_alive() and not entry.gone:
            entry.gone = True
            self._sweep(entry.mark)
            handle(self._lost(worker, entry.process.exitcode or 0))

    def _next(self, worker: int, entry: _Process) -> Event | None:
        """The next message that has arrived, or None; a worker whose pipe is closed is killed."""
        try:
            event: Event | None = entry.pipe.recv() if entry.pipe.poll() else None
        except (EOFError, OSError):  # its end is closed: it is about to end, or user code has closed the pipe
            _wait(entry.process, 1)
            _kill(entry.process)
            return None
        except Exception as error:  # it cannot be unpickled here
            return Broken(worker, AutoMLError(f"worker {worker} sent a message that cannot be read: {error!r}"))
        return event

    def _lost(self, worker: int, code: int) -> Lost:
        """The message that a worker has ended with this exit code."""
        before, self._killed_for_memory = self._killed_for_memory, self.oom_kills()
        if code == -signal.SIGKILL and self._killed_for_memory > before:
            return Lost(worker, "the system ran out of memory and killed the worker", "oom")
        if self._context is not SPAWN and code == forkserver.CUDA_TOUCHED:
            self._context = SPAWN
            return Lost(worker, "CUDA was in use in the process that workers are forked from: they are spawned instead")
        if self._context is not SPAWN and code == forkserver.UNKNOWN and forkserver.has_ended():
            self._processes[worker].with_server = True
            return Lost(worker, "the process that workers are forked from was killed")
        return Lost(worker, exit_in_words(code))

    def send(self, worker: int, order: Order) -> None:
        with suppress(OSError):
            self._processes[worker].pipe.send(order)

    def restart(self, worker: int) -> None:
        """Replace a worker.

        Raises:
            EnvironmentProblem: workers die before they send a message, several times in a row.
        """
        old = self._processes[worker]
        _kill(old.process)
        if not old.gone:
            self._sweep(old.mark)
        crashes = 0 if old.spoke else old.crashes + 1
        by_others = old.with_server or old.process.exitcode == -signal.SIGKILL  # it may well go better the next time
        if crashes >= (KILLS_AT_START if by_others else CRASHES_AT_START):
            code = exit_in_words(old.process.exitcode or 0)
            log = f"; see {self._folder / paths.LOGS}" if self._folder else ""
            raise EnvironmentProblem(f"worker {worker} ended with {code} before it could work, {crashes} times{log}")
        old.pipe.close()
        self._processes[worker] = self._spawn(worker)
        self._processes[worker].crashes = crashes

    def recycle(self, worker: int) -> bool:
        self.restart(worker)
        return True

    def dump(self, worker: int) -> None:
        process = self._processes[worker].process
        if process.is_alive() and process.pid is not None:
            with suppress(ProcessLookupError):
                os.kill(process.pid, worker_process.DUMP)
                time.sleep(0.1)

    def log(self, trial: int) -> str:
        file = f"{paths.LOGS}/{paths.log_name(trial)}"
        return file if self._folder and (self._folder / file).exists() else ""

    def device(self, worker: int) -> str:
        return self._processes[worker].device

    def stop(self, grace_s: float) -> None:
        for worker, entry in enumerate(self._processes):
            if not entry.gone:
                self.send(worker, Shutdown())
        for entry in self._processes:
            _wait(entry.process, grace_s)
            _kill(entry.process)
            entry.pipe.close()
        if self._processes:
            self._sweep(self._mark)
            leftovers.adopt(False)
        self._processes = []

    def _sweep(self, mark: str) -> None:
        """Kill what workers with this mark have left behind."""
        leftovers.sweep(mark)
        leftovers.kill_adopted({entry.process.pid or 0 for entry in self._processes})


def _wait(process: BaseProcess, seconds: float) -> None:
    """Wait until it has ended, at most `seconds`. (`join` would wait for a pipe that its children may hold open.)"""
    deadline = time.monotonic() + seconds
    while process.is_alive() and time.monotonic() < deadline:
        time.sleep(0.005)


def _kill(process: BaseProcess) -> None:
    """Kill the worker and whatever it has started in its process group."""
    if process.is_alive() and process.pid is not None:
        leftovers.kill_descendants(process.pid)
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        process.kill()
    process.join()


@contextmanager
def _without_main() -> Iterator[None]:
    """Processes spawned in the block do not run the caller's script: so scripts need no `__main__` guard."""
    main = sys.modules["__main__"]
    sys.modules["__main__"] = types.ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main
