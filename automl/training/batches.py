"""Batches of the training part, in a new order for each epoch: from memory, or streamed from a file shard by shard."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import torch

from automl.data.prepared import Part
from automl.data.streaming.shards import Streamed


class Batches(Protocol):
    """A part of the data to train on."""

    def __len__(self) -> int:
        """Number of samples."""
        ...

    def epoch(self, size: int, generator: torch.Generator) -> Iterator[Part]:
        """All samples once, `size` at a time (the last batch may be smaller), on the device."""
        ...


@dataclass(frozen=True)
class InMemory:
    """The whole part is in the device's memory."""

    part: Part

    def __len__(self) -> int:
        return len(self.part)

    def epoch(self, size: int, generator: torch.Generator) -> Iterator[Part]:
        """See `Batches.epoch`."""
        part = self.part
        order = torch.randperm(len(part), generator=generator).to(part.y.device)
        for first in range(0, len(part), size):
            rows = order[first : first + size]
            yield Part(part.x[rows], part.y[rows], None if part.weight is None else part.weight[rows])


@dataclass(frozen=True)
class FromFile:
    """The part is streamed from disk to the device."""

    part: Streamed
    device: torch.device

    def __len__(self) -> int:
        return len(self.part)

    def epoch(self, size: int, generator: torch.Generator) -> Iterator[Part]:
        """See `Batches.epoch`; shards in random order, rows in random order within each."""
        return self.part.batches(size, generator, self.device)


def batches_of(part: Part, device: torch.device) -> Batches:
    """`part` as batches on `device`."""
    return FromFile(part, device) if isinstance(part, Streamed) else InMemory(on_device(part, device))


def on_device(part: Part, device: torch.device) -> Part:
    """`part` with its tensors on `device`; the inputs of a streamed part stay where they are."""
    if not isinstance(part, Streamed):
        return part.to(device)
    return Part(part.x, part.y.to(device), None if part.weight is None else part.weight.to(device))
