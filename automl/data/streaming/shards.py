"""Parts whose inputs stay in a file, which is read shard by shard.

Training rows are in the file in random order already (see `automl.data.streaming.passes.layout`), so that a shard is a
random sample of them. Shards in random order, and the rows of each shard in random order, give batches like those drawn
from all rows; `automl.training.samples.row_stream` reads them so.
"""

import warnings
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from automl.data.prepared import Part
from automl.errors import EnvironmentProblem


@dataclass(frozen=True)
class Streamed(Part):
    """A part of a table that does not fit into memory.

    Attributes:
        x: mapped from the file; must not be copied as a whole.
        y, weight: mapped too.
        file: holds the rows of x, float32.
        first: row of the file at which x begins.
        edges: shard k is the rows edges[k] .. edges[k + 1] - 1 of this part.
        seed: of the order in which its rows are read, which all trials of a study share.
        sums: the check sum of the inputs in each shard.
        counts: how many rows each class has; empty where the target is a value.
        checked: the shards that this process has checked.
    """

    file: Path = Path()
    first: int = 0
    edges: tuple[int, ...] = (0,)
    seed: int = 0
    sums: tuple[int, ...] = ()
    counts: tuple[int, ...] = ()
    checked: set[int] = field(default_factory=set, compare=False, repr=False)

    def __add__(self, other: Part) -> "Streamed":
        """The rows of both.

        Raises:
            ValueError: `other` does not follow this part in the same file.
        """
        if not isinstance(other, Streamed) or (other.file, other.first) != (self.file, self.first + len(self)):
            raise ValueError("streamed parts can be joined only in the order in which they lie in one file")
        edges = (*self.edges, *(edge + len(self) for edge in other.edges[1:]))
        rows, width, values = len(self) + len(other), int(self.x.shape[1]), self.y.shape[1] if self.y.ndim > 1 else 0
        x = mapped(self.file, self.first, rows, width)
        y = mapped(self.file.with_name("y.bin"), self.first, rows, values, codes=not values)
        weight = None if self.weight is None else mapped(self.file.with_name("weight.bin"), self.first, rows, 0)
        joined = self.sums + other.sums
        counts = tuple(a + b for a, b in zip(self.counts, other.counts, strict=True))
        return Streamed(x, y, weight, file=self.file, first=self.first, edges=edges, seed=self.seed, sums=joined,
                        counts=counts)  # fmt: skip

    def to(self, device: torch.device | str) -> "Streamed":
        """This part itself: its rows stay in the file, and only batches go to a device."""
        return self

    def read(self, shard: int, order: Tensor, device: torch.device) -> Part:
        """The rows of a shard in memory, in `order` (numbers within the shard), on `device`.

        Raises:
            EnvironmentProblem: the shard is not what was written.
        """
        first, end = self.edges[shard], self.edges[shard + 1]
        rows = self.rows(first, end - first)
        if shard < len(self.sums) and shard not in self.checked:
            if zlib.crc32(_bytes_of(rows.x)) != self.sums[shard]:
                raise _damaged(self.file, shard)
            self.checked.add(shard)
        return _moved(rows.at(order), device)

    def rows(self, first: int, count: int) -> Part:
        """`count` rows from row `first` on, in memory of their own: pages of a mapped file would stay with the process.

        Raises:
            EnvironmentProblem: the file is shorter than it was.
        """
        return self._read_by(lambda file, like: self._own(file, first, count, like))

    def at(self, rows: Tensor) -> Part:
        """The rows of these numbers (int64 `[M]`) in memory of their own, each read for itself.

        Raises:
            EnvironmentProblem: a file is shorter than it was.
        """
        return self._read_by(lambda file, like: self._single(file, rows, like))

    def _read_by(self, rows_of: Callable[[Path, Tensor], Tensor]) -> Part:
        """Rows of all files. `rows_of(file, like)`: those of one; `like`: all rows of this part in it, mapped."""
        weight = None if self.weight is None else rows_of(self.file.with_name("weight.bin"), self.weight)
        return Part(rows_of(self.file, self.x), rows_of(self.file.with_name("y.bin"), self.y), weight)

    def _own(self, file: Path, first: int, count: int, like: Tensor) -> Tensor:
        """Rows of a file; `like`: all rows of this part in it, mapped."""
        rows = torch.empty((count, *like.shape[1:]), dtype=like.dtype)
        whole, at = _bytes_of(rows), 0
        with file.open("rb", buffering=0) as opened:
            opened.seek((self.first + first) * like[:1].numel() * like.element_size())
            while at < len(whole) and (read := opened.readinto(whole[at:])):
                at += read
        if at < len(whole):
            raise self._short(file, first)
        return rows

    def _single(self, file: Path, rows: Tensor, like: Tensor) -> Tensor:
        """Single rows of a file; `like`: all rows of this part in it, mapped."""
        found = torch.empty((len(rows), *like.shape[1:]), dtype=like.dtype)
        whole, each = _bytes_of(found), like[:1].numel() * like.element_size()
        with file.open("rb", buffering=0) as opened:
            for place, row in enumerate(rows.tolist()):
                opened.seek((self.first + row) * each)
                if opened.readinto(whole[place * each : (place + 1) * each]) != each:
                    raise self._short(file, row)
        return found

    def _short(self, file: Path, row: int) -> EnvironmentProblem:
        return _damaged(file, int(np.searchsorted(self.edges, row, side="right")) - 1)


def _bytes_of(rows: Tensor) -> memoryview:
    return rows.numpy().data.cast("B") if rows.numel() else memoryview(b"")


def _damaged(file: Path, shard: int) -> EnvironmentProblem:
    return EnvironmentProblem(f"{file}: shard {shard} is damaged; delete the folder, and it is prepared again")


def _moved(part: Part, device: torch.device) -> Part:
    if device.type == "cpu":
        return part

    def move(values: Tensor) -> Tensor:
        return values.pin_memory().to(device, non_blocking=True)

    return Part(move(part.x), move(part.y), None if part.weight is None else move(part.weight))


def mapped(file: Path, first: int, rows: int, width: int, *, codes: bool = False) -> Tensor:
    """[rows, width] float32 ([rows] where the width is 0; int64 with `codes`), mapped from row `first` of a file on.

    Must not be written to.
    """
    shape = (rows, width) if width else (rows,)
    kind: Any = np.int64 if codes else np.float32
    if rows == 0:
        return torch.from_numpy(np.empty(shape, kind))
    raw = np.memmap(file, kind, "r", first * max(width, 1) * np.dtype(kind).itemsize, shape)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The given NumPy array is not writable")
        return torch.from_numpy(raw)
