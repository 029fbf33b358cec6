"""What runs inside a Ray cluster: the mailbox that all workers write to, and the actor that runs our worker loop.

Messages travel in batches. A worker keeps messages that need no answer until it sends one that does, so the end of a
trial and the request for the next one are one call; in one call, too, the driver takes all messages that have arrived
from workers and gives all its answers.

The actors that run as one worker, one after another, have numbers: its `life`. Only the newest life counts. Messages
of an older one (its node was declared dead, but the process lives on) are dropped, and it is told to end.
"""

import asyncio
import os
import sys
from collections import defaultdict, deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from automl.core.messages import Broken, Event, Order, Shutdown
from automl.errors import AutoMLError, EnvironmentProblem
from automl.executors.capture import DescriptorCapture
from automl.study import paths
from automl.version import __version__
from automl.worker.link import Place
from automl.worker.worker import Capture, Task, Worker, no_capture

MARK = ".ray"  # a file in the study's folder, by which a worker checks that it sees the same folder as the driver


@dataclass(frozen=True, slots=True)
class Placed:
    """A worker's first message: where Ray has placed it."""

    worker: int
    device: str
    node: str = ""  # Ray's id of it


Letter = tuple[int, int, Event | Placed]  # (worker, life, its message)
Answer = tuple[int, int, Order]  # (worker, life, the answer)


class Mailbox:
    """An asyncio actor on the driver's node that carries messages between the driver and all workers."""

    def __init__(self) -> None:
        self._letters: list[Letter] = []
        self._arrived = asyncio.Event()
        self._lives: dict[int, int] = {}
        self._answers: defaultdict[tuple[int, int], deque[Order | None]] = defaultdict(deque)
        self._waiting: dict[tuple[int, int], asyncio.Future[Order | None]] = {}

    async def exchange(self, worker: int, life: int, messages: Sequence[Event | Placed], answer: bool) -> Order | None:
        """A worker sends messages and, with `answer`, waits for the answer; None: a newer life has replaced it."""
        if life < self._lives.get(worker, life):
            return None
        self._begin(worker, life)
        self._letters += [(worker, life, message) for message in messages]
        self._arrived.set()
        if not answer:
            return Shutdown()
        at = (worker, life)
        if self._answers[at]:
            return self._answers[at].popleft()
        self._waiting[at] = asyncio.get_running_loop().create_future()
        return await self._waiting[at]

    async def turn(self, answers: Sequence[Answer], lives: dict[int, int], timeout_s: float) -> list[Letter]:
        """The driver gives its answers and takes all letters; if there are none, it waits for some.

        Args:
            answers: to workers that wait for them.
            lives: the newest life of each worker that has a new one.
            timeout_s: how long to wait for letters.
        """
        for worker, life in lives.items():
            self._begin(worker, life)
        for worker, life, order in answers:
            self._give(worker, life, order)
        if not self._letters and timeout_s > 0:
            self._arrived.clear()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._arrived.wait(), timeout_s)
        letters, self._letters = self._letters, []
        return letters

    def _begin(self, worker: int, life: int) -> None:
        """From now on only this life of the worker counts; an older one that waits is told to end."""
        before = self._lives.get(worker, life)
        if life <= before:
            self._lives.setdefault(worker, life)
            return
        self._lives[worker] = life
        self._letters = [(w, n, event) for w, n, event in self._letters if w != worker or n == life]
        for old in range(before, life):
            self._answers.pop((worker, old), None)
            if waits := self._waiting.pop((worker, old), None):
                waits.set_result(None)

    def _give(self, worker: int, life: int, order: Order) -> None:
        waits = self._waiting.pop((worker, life), None)
        if waits is not None:
            waits.set_result(order)
        elif life == self._lives.get(worker, life):
            self._answers[worker, life].append(order)


@dataclass
class MailLink:
    """A worker's `Link`: messages are kept until `receive`, which sends them together."""

    mailbox: Any
    worker: int
    life: int
    _kept: list[Event | Placed] = field(default_factory=list)

    def send(self, event: Event | Placed) -> None:
        self._kept.append(event)

    def receive(self) -> Order:
        return self._exchange(answer=True)

    def flush(self) -> None:
        """Send what is kept, without waiting for an answer."""
        if self._kept:
            self._exchange(answer=False)

    def _exchange(self, *, answer: bool) -> Order:
        import ray

        messages, self._kept = self._kept, []
        order: Order | None = ray.get(self.mailbox.exchange.remote(self.worker, self.life, messages, answer))
        if order is None:
            os._exit(0)  # another process has this worker's number now, and perhaps the same trial
        return order


class RayWorker:
    """An actor that holds one device (or several, or a share of one) and runs the worker loop in its main thread.

    Args:
        path: where the driver finds modules; it is searched after this node's own.
    """

    def __init__(self, path: Sequence[str]) -> None:
        sys.path += [entry for entry in path if entry not in sys.path]

    def work(self, task: Task, mailbox: Any, place: Place, life: int, version: str, mark: str) -> None:
        """Serve trials until there are no more.

        Args:
            place: the worker's number and the study's folder; Ray chooses the devices.
            version: of automl, on the driver's node.
            mark: the content of the file `MARK` in the study's folder, as the driver wrote it.
        """
        import ray

        gpus = ray.get_gpu_ids()
        if not gpus:
            os.environ["CUDA_VISIBLE_DEVICES"] = ""  # Ray leaves all of them visible to a worker that asked for none
        link = MailLink(mailbox, place.worker, life)
        name = f"gpu{','.join(map(str, gpus))}" if gpus else "cpu"
        link.send(Placed(place.worker, f"{_node()} {name}", ray.get_runtime_context().get_node_id()))
        place = Place(place.worker, tuple(f"cuda:{k}" for k in range(len(gpus))) or ("cpu",), place.folder)
        try:
            _check(place, version, mark)
        except AutoMLError as error:
            link.send(Broken(place.worker, error))
        else:
            capture: Capture = (
                DescriptorCapture(place.folder / paths.LOGS, place.worker) if place.folder else no_capture
            )
            worker = Worker(place, link, capture)
            worker.open(task).serve(worker)
        link.flush()


def _check(place: Place, version: str, mark: str) -> None:
    """Check that this node can work for that driver.

    Raises:
        EnvironmentProblem: it has another version of automl, or does not see the study's folder.
    """
    where = _node()
    if __version__ != version:
        raise EnvironmentProblem(f"node {where} has automl {__version__}, the driver has {version}")
    if place.folder is None:
        return
    file = place.folder / MARK
    if not file.exists() or file.read_text() != mark:
        raise EnvironmentProblem(
            f"node {where} does not see the study's folder {place.folder}; put it on a file system that all nodes share"
        )


def _node() -> str:
    """The address of the node this runs on."""
    import ray

    util: Any = ray.util
    return str(util.get_node_ip_address())
