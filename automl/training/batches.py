"""Batches of the training part, in an order of their own for each epoch: from memory, or from a file shard by shard."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import torch

from automl.data.prepared import Part
from automl.data.streaming.shards import Streamed


class Batches(Protocol):
    """A part to train on."""

    def __len__(self) -> int: ...

    def epoch(self, size: int, generator: torch.Generator) -> Iterator[Part]:
        """All rows once, `size` at a time (the last batch may be smaller), on the device."""
        ...


@dataclass(frozen=True)
class Resident:
    """The part lies on the device."""

    part: Part

    def __len__(self) -> int:
        return len(self.part)

    def epoch(self, size: int, generator: torch.Generator) -> Iterator[Part]:
        part = self.part
        order = torch.randperm(len(part), generator=generator).to(part.y.device)
        for first in range(0, len(part), size):
            rows = order[first : first + size]
            yield Part(part.x[rows], part.y[rows], None if part.weight is None else part.weight[rows])


@dataclass(frozen=True)
class FromFile:
    """The part is streamed to the device."""

    part: Streamed
    device: torch.device

    def __len__(self) -> int:
        return len(self.part)

    def epoch(self, size: int, generator: torch.Generator) -> Iterator[Part]:
        return self.part.batches(size, generator, self.device)


def of(part: Part, device: torch.device) -> Batches:
    """The way to train on `part`."""
    return FromFile(part, device) if isinstance(part, Streamed) else Resident(resident(part, device))


def resident(part: Part, device: torch.device) -> Part:
    """The part on the device; of a streamed one only what is in memory."""
    weight = None if part.weight is None else part.weight.to(device)
    x = part.x if isinstance(part, Streamed) else part.x.to(device)
    return Part(x, part.y.to(device), weight)
