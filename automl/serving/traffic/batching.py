"""Requests that arrive together are computed together, in a batch as large as the latency target allows.

Nobody waits for others on purpose: while one batch is computed, the next ones collect. So a lone request is computed
at once, and the more there are, the larger the batches. Small batches are computed in the event loop itself, which
costs less than handing them to a thread.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import torch
from torch import Tensor

from automl.serving.models.served import Served
from automl.serving.problem import Refused

INLINE_S = 0.002
"""A batch that takes longer is computed in a thread, so that other requests are read meanwhile."""
Inputs = tuple[Tensor, ...]


@dataclass
class Waiting:
    """Prepared rows of one request, and where their outputs go."""

    inputs: Inputs
    answer: "asyncio.Future[Tensor]"


class Lane:
    """The waiting requests of one version, and how long its rows take.

    Attributes:
        fixed_s, row_s: what a batch costs, and each of its rows, as a running average.
    """

    def __init__(self, served: Served) -> None:
        self.served = served
        self.waiting: deque[Waiting] = deque()
        self.rows = 0
        self.fixed_s, self.row_s = 2e-4, 2e-6

    def expected_s(self, rows: int) -> float:
        """The seconds that a batch of `rows` rows takes."""
        return self.fixed_s + rows * self.row_s

    def measured(self, rows: int, seconds: float) -> None:
        """Learn from a batch: small ones say what a batch costs, large ones what a row does."""
        if rows <= 8:
            self.fixed_s += 0.1 * (seconds - self.fixed_s)
        else:
            self.row_s += 0.2 * (max(seconds - self.fixed_s, 0.0) / rows - self.row_s)

    def take(self, most: int) -> list[Waiting]:
        """The next requests, of at most `most` rows together; always at least one."""
        batch: list[Waiting] = []
        rows = 0
        while self.waiting and (not batch or rows + len(self.waiting[0].inputs[0]) <= most):
            one = self.waiting.popleft()
            self.rows -= len(one.inputs[0])
            rows += len(one.inputs[0])
            if not one.answer.done():  # the client has gone
                batch.append(one)
        return batch


class Batcher:
    """The one queue in front of all models of a worker process.

    Args:
        queue_rows: rows that may wait; more are refused.
        batch_rows: rows of a batch, at most.
        latency_s: half of it is what a batch may take.
        clock: seconds.
    """

    def __init__(
        self, queue_rows: int, batch_rows: int, latency_s: float, clock: Callable[[], float] = time.perf_counter
    ) -> None:
        self.queue_rows, self.batch_rows, self.latency_s, self.clock = queue_rows, batch_rows, latency_s, clock
        self.lanes: dict[int, Lane] = {}
        self.rows = 0
        self.batches = 0
        self.computed = 0
        self._scheduled = False
        self._busy = False
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="compute")

    async def compute(self, served: Served, inputs: Inputs) -> Tensor:
        """The outputs [N, units] for prepared rows.

        Raises:
            Refused: too many rows wait already (503, with the time after which there is room).
        """
        rows = len(inputs[0])
        if self.rows and self.rows + rows > self.queue_rows:
            raise Refused(503, "busy", f"{self.rows} rows wait already", retry_after_s=self._room_after_s())
        lane = self.lanes.setdefault(id(served), Lane(served))
        loop = asyncio.get_running_loop()
        one = Waiting(inputs, loop.create_future())
        lane.waiting.append(one)
        lane.rows += rows
        self.rows += rows
        if not self._scheduled and not self._busy:
            self._scheduled = True
            loop.call_soon(self._run)
        try:
            return await one.answer
        finally:
            self.rows -= rows

    def _room_after_s(self) -> float:
        return sum(lane.expected_s(lane.rows) for lane in self.lanes.values())

    def _run(self) -> None:
        """Compute the next batch; called by the event loop whenever rows wait and nothing is computed."""
        self._scheduled = False
        lane = next((lane for lane in self.lanes.values() if lane.waiting), None)
        if lane is None:
            return
        self.lanes[id(lane.served)] = self.lanes.pop(id(lane.served))  # the others are next
        room = int(max(self.latency_s / 2 - lane.fixed_s, 0.0) / max(lane.row_s, 1e-9))
        batch = lane.take(max(1, min(self.batch_rows, room)))
        if not batch:
            self._next()
            return
        if lane.expected_s(sum(len(one.inputs[0]) for one in batch)) <= INLINE_S:
            self._finish(lane, batch, *self._computed(lane, batch))
            self._next()
            return
        self._busy = True
        task = asyncio.get_running_loop().run_in_executor(self._thread, self._computed, lane, batch)
        task.add_done_callback(lambda done: self._back(lane, batch, done))

    def _back(self, lane: Lane, batch: list[Waiting], done: "asyncio.Future[tuple[Tensor | Exception, float]]") -> None:
        self._busy = False
        error = done.exception()
        self._finish(lane, batch, *((error, 0.0) if isinstance(error, Exception) else done.result()))
        self._next()

    def _next(self) -> None:
        if not self._scheduled and not self._busy:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._run)

    def _computed(self, lane: Lane, batch: list[Waiting]) -> tuple[Tensor | Exception, float]:
        """(the outputs of all rows of the batch, or why there are none; the seconds it took)."""
        started = self.clock()
        try:
            slots = range(len(batch[0].inputs))
            joined = tuple(torch.cat([one.inputs[k] for one in batch]) for k in slots)
            pieces = [lane.served.compute(piece) for piece in _split(joined, self.batch_rows)]
            return (pieces[0] if len(pieces) == 1 else torch.cat(pieces)), self.clock() - started
        except Exception as error:  # given to those who wait
            return error, self.clock() - started

    def _finish(self, lane: Lane, batch: list[Waiting], outputs: Tensor | Exception, seconds: float) -> None:
        rows = sum(len(one.inputs[0]) for one in batch)
        if isinstance(outputs, Exception):
            for one in batch:
                if not one.answer.done():
                    one.answer.set_exception(outputs)
            return
        lane.measured(rows, seconds)
        self.batches, self.computed = self.batches + 1, self.computed + rows
        at = 0
        for one in batch:
            count = len(one.inputs[0])
            if not one.answer.done():
                one.answer.set_result(outputs[at : at + count])
            at += count

    def keep(self, versions: Iterable[Served]) -> None:
        """Forget all other versions for which nothing waits, so that their memory is free."""
        kept = {id(served) for served in versions}
        for key in [key for key, lane in self.lanes.items() if key not in kept and not lane.waiting]:
            del self.lanes[key]

    def close(self) -> None:
        """End the thread."""
        self._thread.shutdown(wait=False)


def _split(inputs: Inputs, rows: int) -> list[Inputs]:
    count = len(inputs[0])
    return [tuple(x[k : k + rows] for x in inputs) for k in range(0, count, rows)]
