"""Parts whose inputs stay in a file: read shard by shard, in a new order each epoch, the next shard ahead of time.

Rows lie in the file in a random order already (see `automl.data.streaming`), so a shard is a random sample of the part:
shards in random order, and the rows of each in random order, make batches that are as good as drawn from all rows.
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
    """A part of a table that does not fit into memory. `x` is mapped from a file and must not be loaded as a whole.

    `edges`: shard k is the rows edges[k] .. edges[k + 1] - 1; `file`, `first`: where x begins, in rows; `y` and
    `weight` are in memory.
    """

    file: Path = Path()
    first: int = 0
    edges: tuple[int, ...] = (0,)

    def __add__(self, other: Part) -> "Streamed":
        """The rows of both; `other` must lie behind this one in the same file."""
        if not isinstance(other, Streamed) or (other.file, other.first) != (self.file, self.first + len(self)):
            raise ValueError("streamed parts can be joined only in the order in which they lie in one file")
        both = Part(self.y, self.y, self.weight) + Part(other.y, other.y, other.weight)
        edges = (*self.edges, *(edge + len(self) for edge in other.edges[1:]))
        width = int(self.x.shape[1])
        x = mapped(self.file, self.first, len(both), width)
        return Streamed(x, both.y, both.weight, self.file, self.first, edges)

    def batches(self, size: int, generator: torch.Generator, device: torch.device) -> Iterator[Part]:
        """Batches of `size` rows (the last: fewer) on `device`: all rows once, in an order drawn from `generator`."""
        order = torch.randperm(len(self.edges) - 1, generator=generator).tolist()
        waiting: Part | None = None
        for shard in _ahead(self, order, generator, device):
            ready = shard if waiting is None else waiting + shard
            whole = len(ready) // size * size
            for first in range(0, whole, size):
                yield _cut(ready, slice(first, first + size))
            waiting = _cut(ready, slice(whole, None)) if whole < len(ready) else None
        if waiting is not None:
            yield waiting

    def _read(self, shard: int, order: Tensor, device: torch.device) -> Part:
        first, end = self.edges[shard], self.edges[shard + 1]
        part = Part(self.x[first:end][order], self.y[first:end][order],
                    None if self.weight is None else self.weight[first:end][order])  # fmt: skip
        return _on(part, device)


def _ahead(part: Streamed, order: list[int], generator: torch.Generator, device: torch.device) -> Iterator[Part]:
    """The shards in `order`, each read while the one before it is being used."""
    sizes = [end - first for first, end in pairwise(part.edges)]
    with ThreadPoolExecutor(1, "prefetch") as pool:

        def start(k: int) -> "Future[Part]":
            inside = torch.randperm(sizes[order[k]], generator=generator)
            return pool.submit(part._read, order[k], inside, device)

        coming = start(0)
        for k in range(len(order)):
            ready = coming.result()
            if k + 1 < len(order):
                coming = start(k + 1)
            yield ready


def _cut(part: Part, rows: slice) -> Part:
    return Part(part.x[rows], part.y[rows], None if part.weight is None else part.weight[rows])


def _on(part: Part, device: torch.device) -> Part:
    if device.type == "cpu":
        return part

    def move(values: Tensor) -> Tensor:
        return values.pin_memory().to(device, non_blocking=True)

    return Part(move(part.x), move(part.y), None if part.weight is None else move(part.weight))


def mapped(file: Path, first: int, rows: int, width: int) -> Tensor:
    """[rows, width] float32 of a file of such rows, from row `first` on: pages are read when they are used.

    Not to be written to: the file is opened for reading.
    """
    if rows == 0:
        return torch.empty(0, width)
    raw = np.memmap(file, np.float32, "r", first * width * 4, (rows, width))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The given NumPy array is not writable")
        return torch.from_numpy(raw)
