"""Batches of the training part: of an epoch, or any stretch of an order without end; from memory or from a file."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from automl.core import seeds
from automl.data.prepared import Part
from automl.data.streaming.shards import Streamed
from automl.training.samples import order
from automl.training.samples.row_stream import RowStream

AT_ONCE = 1 << 18
"""Numbers of samples that are drawn at a time."""


class Batches(Protocol):
    """A part of the data to train on."""

    def __len__(self) -> int:
        """Number of samples."""
        ...

    def epoch(self, number: int, size: int) -> Iterator[Part]:
        """All samples once, `size` at a time on the device (the last batch may be smaller); each epoch reordered."""
        ...

    def stretch(self, first: int, count: int, size: int) -> Iterator[Part]:
        """`count` full batches of `size`, from batch number `first` on, of an order that goes on epoch after epoch."""
        ...


@dataclass(frozen=True)
class InMemory:
    """The whole part is in the device's memory; its order is that of the trial whose `seed` it is."""

    part: Part
    seed: int

    def __len__(self) -> int:
        return len(self.part)

    def epoch(self, number: int, size: int) -> Iterator[Part]:
        """See `Batches.epoch`."""
        generator = torch.Generator().manual_seed(seeds.derive(self.seed, "order", number))
        rows = torch.randperm(len(self.part), generator=generator).to(self.part.y.device)
        return (self._at(some) for some in torch.split(rows, size))

    def stretch(self, first: int, count: int, size: int) -> Iterator[Part]:
        """See `Batches.stretch`."""
        some = max(1, AT_ONCE // size)
        for begin in range(first, first + count, some):
            batches = min(some, first + count - begin)
            rows = order.drawn([self.seed], [begin * size], batches * size, len(self.part), self.part.y.device)
            yield from (self._at(batch) for batch in torch.split(rows[0], size))

    def _at(self, rows: Tensor) -> Part:
        part = self.part
        return Part(part.x[rows], part.y[rows], None if part.weight is None else part.weight[rows])


@dataclass(frozen=True)
class FromFile:
    """The part is streamed from disk to the device, in the order that all trials of a study share."""

    rows: RowStream

    def __len__(self) -> int:
        return len(self.rows)

    def epoch(self, number: int, size: int) -> Iterator[Part]:
        """See `Batches.epoch`."""
        begin = number * len(self)
        with self.rows.reading(batch=size):
            for first in range(0, len(self), size):
                yield self.rows.take(begin + first, min(size, len(self) - first))

    def stretch(self, first: int, count: int, size: int) -> Iterator[Part]:
        """See `Batches.stretch`."""
        with self.rows.reading(batch=size):
            for batch in range(first, first + count):
                yield self.rows.take(batch * size, size)


def batches_of(part: Part, device: torch.device, seed: int) -> Batches:
    """`part` as batches on `device`, for the trial with `seed`."""
    if isinstance(part, Streamed):
        return FromFile(RowStream(part, device))
    return InMemory(part.to(device), seed)
