"""The rows of a streamed part in the one order in which all trials of a study read them, from any place on.

Place p is row p % N of epoch p // N, for a part of N rows. The order of an epoch, shards in random order and rows in
random order within each, is a function of the part's seed and the epoch alone: a trial's batches depend on nothing but
where it is, and trials at one place share what is read. A thread reads the next shard while the present one is used.
"""

from collections import OrderedDict
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

import numpy as np
import numpy.typing as npt
import torch

from automl.core import seeds
from automl.data.prepared import Part
from automl.data.streaming.shards import Streamed

AT_ONCE = 1 << 20
"""Values of the inputs that are read at a time where all rows are looked at, in 4 bytes each."""
Shard = tuple[int, int]  # (epoch, its number in the order of that epoch)


class RowStream:
    """Reads a streamed part.

    Args:
        part: its rows.
        device: where batches go.

    Attributes:
        read: how many shards were read from disk so far.
    """

    def __init__(self, part: Streamed, device: torch.device) -> None:
        self.part, self.device, self.read = part, device, 0
        self._shards: OrderedDict[Shard, Part | Future[Part]] = OrderedDict()  # the one used last at the end
        self._epochs: OrderedDict[int, tuple[list[int], npt.NDArray[np.int64]]] = OrderedDict()
        self._pool: ThreadPoolExecutor | None = None
        self._most = 1

    def __len__(self) -> int:
        return len(self.part)

    @property
    def shard_rows(self) -> int:
        """The mean number of rows of a shard."""
        return max(1, len(self) // max(1, len(self.part.edges) - 1))

    @contextmanager
    def reading(self, places: int = 1, batch: int = 1) -> Iterator[None]:
        """Inside the block shards are read ahead, and kept as long as they are needed.

        Args:
            places: the number of readers that take turns; they are at most a shard and a batch apart.
            batch: rows that are taken at a time, at most.
        """
        self._most = places * (2 + -(-(batch + self.shard_rows) // self.shard_rows))
        with ThreadPoolExecutor(1, "prefetch") as self._pool:
            try:
                yield
            finally:
                self._pool = None

    def take(self, first: int, count: int) -> Part:
        """The rows at the places `first` to `first + count - 1`; may be a view of a shard that is kept."""
        found: Part | None = None
        while count:
            epoch, place = divmod(first, len(self))
            ends = self._order(epoch)[1]
            number = int(np.searchsorted(ends, place, side="right"))
            begin = int(ends[number - 1]) if number else 0
            rows = min(count, int(ends[number]) - place)
            piece = self._shard(epoch, number).rows(place - begin, rows)
            found = piece if found is None else found + piece
            first, count = first + rows, count - rows
        assert found is not None
        return found

    def _order(self, epoch: int) -> tuple[list[int], npt.NDArray[np.int64]]:
        """(the shards of an epoch in their order, the place at which each of them ends)."""
        if epoch not in self._epochs:
            edges = np.asarray(self.part.edges)
            order = torch.randperm(len(edges) - 1, generator=self._generator("shards", epoch)).numpy()
            self._epochs[epoch] = order.tolist(), np.cumsum(np.diff(edges)[order])
            while len(self._epochs) > self._most:
                self._epochs.popitem(last=False)
        return self._epochs[epoch]

    def _shard(self, epoch: int, number: int) -> Part:
        """A shard, its rows in the order of that epoch; the one after it is asked for."""
        found = self._shards.pop((epoch, number), None)
        if found is None:
            self.read += 1
            found = self._read(epoch, self._order(epoch)[0][number])
        shard = found.result() if isinstance(found, Future) else found
        self._shards[epoch, number] = shard
        last = number + 1 == len(self.part.edges) - 1
        ahead = (epoch + 1, 0) if last else (epoch, number + 1)
        if self._pool is not None and ahead not in self._shards:
            self.read += 1
            self._shards[ahead] = self._pool.submit(self._read, ahead[0], self._order(ahead[0])[0][ahead[1]])
            while len(self._shards) > self._most:
                self._shards.popitem(last=False)
        return shard

    def _read(self, epoch: int, shard: int) -> Part:
        rows = self.part.edges[shard + 1] - self.part.edges[shard]
        inside = torch.randperm(rows, generator=self._generator("rows", epoch, shard))
        return self.part.read(shard, inside, self.device)

    def _generator(self, *what: str | int) -> torch.Generator:
        return torch.Generator().manual_seed(seeds.derive(self.part.seed, *what))


def pieces(part: Part, rows: int) -> Iterator[Part]:
    """`part` from its first row to its last, `rows` rows at a time; a streamed one is read some rows at a time.

    Example:
        >>> [len(piece) for piece in pieces(data.val, 400)]
        [400, 400, 200]
    """
    each = rows * max(1, AT_ONCE // max(1, rows * part.x[:1].numel()))
    for first in range(0, len(part), each):
        some = part.rows(first, min(each, len(part) - first))
        yield from (some.rows(begin, rows) for begin in range(0, len(some), rows))
