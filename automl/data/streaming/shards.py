"""Parts whose inputs stay in a file, which is read shard by shard, in a new order each epoch.

Training rows are in the file in random order already (see `automl.data.streaming.writer`), so that a shard is a random
sample of them. Shards in random order, and the rows of each shard in random order, give batches like those drawn from
all rows. A thread reads the next shard while the present one is used.
"""

import warnings
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from automl.data.prepared import Part


@dataclass(frozen=True)
class Streamed(Part):
    """A part of a table that does not fit into memory.

    Attributes:
        x: mapped from the file; must not be copied as a whole.
        y, weight: in memory.
        file: holds the rows of x, float32.
        first: row of the file at which x begins.
        edges: shard k is the rows edges[k] .. edges[k + 1] - 1 of this part.
        seed: of the order in which its rows are read, which all trials of a study share.
    """

    file: Path = Path()
    first: int = 0
    edges: tuple[int, ...] = (0,)
    seed: int = 0

    def __add__(self, other: Part) -> "Streamed":
        """The rows of both.

        Raises:
            ValueError: `other` does not follow this part in the same file.
        """
        if not isinstance(other, Streamed) or (other.file, other.first) != (self.file, self.first + len(self)):
            raise ValueError("streamed parts can be joined only in the order in which they lie in one file")
        both = Part(self.y, self.y, self.weight) + Part(other.y, other.y, other.weight)
        edges = (*self.edges, *(edge + len(self) for edge in other.edges[1:]))
        width = int(self.x.shape[1])
        x = mapped(self.file, self.first, len(both), width)
        return Streamed(x, both.y, both.weight, self.file, self.first, edges, self.seed)

    def to(self, device: torch.device | str) -> "Streamed":
        """This part itself: its rows stay in the file, and only batches go to a device."""
        return self

    def batches(self, size: int, generator: torch.Generator, device: torch.device) -> Iterator[Part]:
        """Yield all rows once, in an order drawn from `generator`, in batches of `size` (the last may be smaller)."""
        order = torch.randperm(len(self.edges) - 1, generator=generator).tolist()
        rest: Part | None = None  # the last rows of a shard, which did not fill a batch; a copy, to let go of the shard
        for shard in _prefetched(self, order, generator, device):
            first = 0
            if rest is not None:
                first = min(size - len(rest), len(shard))
                rest = rest + _slice(shard, slice(0, first))
                if len(rest) < size:
                    continue
                yield rest
            end = first + (len(shard) - first) // size * size
            for start in range(first, end, size):
                yield _slice(shard, slice(start, start + size))
            rest = _copied(_slice(shard, slice(end, None))) if end < len(shard) else None
            del shard
        if rest is not None:
            yield rest

    def read(self, shard: int, order: Tensor, device: torch.device) -> Part:
        """The rows of a shard in memory, in `order` (numbers within the shard), on `device`."""
        first, end = self.edges[shard], self.edges[shard + 1]
        part = Part(self.x[first:end][order], self.y[first:end][order],
                    None if self.weight is None else self.weight[first:end][order])  # fmt: skip
        return _moved(part, device)


def _prefetched(part: Streamed, order: list[int], generator: torch.Generator, device: torch.device) -> Iterator[Part]:
    """The shards in `order`, each read while the one before it is used."""
    sizes = [end - first for first, end in pairwise(part.edges)]
    with ThreadPoolExecutor(1, "prefetch") as pool:

        def start(k: int) -> "Future[Part]":
            inside = torch.randperm(sizes[order[k]], generator=generator)
            return pool.submit(part.read, order[k], inside, device)

        upcoming = start(0)
        for k in range(len(order)):
            ready = upcoming.result()
            if k + 1 < len(order):
                upcoming = start(k + 1)
            else:
                del upcoming
            yield ready
            del ready  # or a third shard would be in memory while the next one is waited for


def _slice(part: Part, rows: slice) -> Part:
    return Part(part.x[rows], part.y[rows], None if part.weight is None else part.weight[rows])


def _copied(part: Part) -> Part:
    return Part(part.x.clone(), part.y.clone(), None if part.weight is None else part.weight.clone())


def _moved(part: Part, device: torch.device) -> Part:
    if device.type == "cpu":
        return part

    def move(values: Tensor) -> Tensor:
        return values.pin_memory().to(device, non_blocking=True)

    return Part(move(part.x), move(part.y), None if part.weight is None else move(part.weight))


def mapped(file: Path, first: int, rows: int, width: int) -> Tensor:
    """[rows, width] float32, mapped from a file of such rows, from row `first` on. Must not be written to."""
    if rows == 0:
        return torch.empty(0, width)
    raw = np.memmap(file, np.float32, "r", first * width * 4, (rows, width))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The given NumPy array is not writable")
        return torch.from_numpy(raw)
