"""What runs inside a Ray cluster: the mailbox that all workers write to, and the actor that runs our worker loop.

Messages travel in bundles. A worker keeps what needs no answer until it says something that does, so an ended trial
and the wish for the next one are one call; the driver takes whatever has come from all workers, and gives all its
answers, in one call.

A worker has one `life` after another, numbered. Only the newest counts: what an older one still says (its node was
declared dead, but the process lives on) is dropped, and it is told to end.
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
from automl.worker.link import Place
from automl.worker.worker import Capture, Task, Worker, no_capture

MARK = ".ray"  # a file in the study's folder, by which a worker knows that it sees the same folder as the driver


@dataclass(frozen=True, slots=True)
class Placed:
    """A worker's first word: where Ray put it."""

    worker: int
    device: str


Letter = tuple[int, int, Event | Placed]  # (worker, life, what it says)
Answer = tuple[int, int, Order]  # (worker, life, what it is told)


class Mailbox:
    """An asyncio actor on the driver's node, between the driver and all workers. It decides nothing."""

    def __init__(self) -> None:
        self._letters: list[Letter] = []
        self._arrived = asyncio.Event()
        self._lives: dict[int, int] = {}
        self._answers: defaultdict[tuple[int, int], deque[Order | None]] = defaultdict(deque)
        self._waiting: dict[tuple[int, int], asyncio.Future[Order | None]] = {}

    async def exchange(self, worker: int, life: int, said: Sequence[Event | Placed], answer: bool) -> Order | None:
        """A worker says something and, with `answer`, waits for its order; None: a newer life has taken its place."""
        if life < self._lives.get(worker, life):
            return None
        self._begin(worker, life)
        self._letters += [(worker, life, event) for event in said]
        self._arrived.set()
        if not answer:
            return Shutdown()
        at = (worker, life)
        if self._answers[at]:
            return self._answers[at].popleft()
        self._waiting[at] = asyncio.get_running_loop().create_future()
        return await self._waiting[at]

    async def turn(self, answers: Sequence[Answer], lives: dict[int, int], timeout_s: float) -> list[Letter]:
        """The driver gives its answers and takes what has come; waits up to `timeout_s` when there is nothing."""
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
        """This life counts from now on; an older one that waits is told to end."""
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
    """A worker's `Link`: what needs no answer is kept until `receive`."""

    mailbox: Any
    worker: int
    life: int
    _kept: list[Event | Placed] = field(default_factory=list)

    def send(self, event: Event | Placed) -> None:
        self._kept.append(event)

    def receive(self) -> Order:
        return self._exchange(answer=True)

    def flush(self) -> None:
        if self._kept:
            self._exchange(answer=False)

    def _exchange(self, *, answer: bool) -> Order:
        import ray

        said, self._kept = self._kept, []
        order: Order | None = ray.get(self.mailbox.exchange.remote(self.worker, self.life, said, answer))
        if order is None:
            os._exit(0)  # another process has this worker's number now, and perhaps this very trial
        return order


class Slot:
    """An actor that holds one device (or several, or a share of one) and runs the worker loop in its main thread.

    `path`: where the driver finds modules; what this node does not find by itself is looked for there.
    """

    def __init__(self, path: Sequence[str]) -> None:
        sys.path += [entry for entry in path if entry not in sys.path]

    def work(self, task: Task, mailbox: Any, place: Place, life: int, version: str, mark: str) -> None:
        """Serve trials until there are no more. `mark`: what `MARK` holds in the driver's folder."""
        import ray

        gpus = ray.get_gpu_ids()
        if not gpus:
            os.environ["CUDA_VISIBLE_DEVICES"] = ""  # Ray leaves all of them visible to a worker that asked for none
        link = MailLink(mailbox, place.worker, life)
        name = f"gpu{','.join(map(str, gpus))}" if gpus else "cpu"
        link.send(Placed(place.worker, f"{_node()} {name}"))
        place = Place(place.worker, tuple(f"cuda:{k}" for k in range(len(gpus))) or ("cpu",), place.folder)
        try:
            _check(place, version, mark)
        except AutoMLError as error:
            link.send(Broken(place.worker, error))
        else:
            capture: Capture = DescriptorCapture(place.folder / "logs", place.worker) if place.folder else no_capture
            worker = Worker(place, link, capture)
            worker.open(task).serve(worker)
        link.flush()


def _check(place: Place, version: str, mark: str) -> None:
    """Raises EnvironmentProblem where this node cannot work for that driver."""
    import automl

    where = _node()
    if automl.__version__ != version:
        raise EnvironmentProblem(f"node {where} has automl {automl.__version__}, the driver has {version}")
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
