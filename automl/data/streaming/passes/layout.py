"""Where the rows of each piece of a table go in the prepared file. Every process finds it out by itself.

Pieces are put together in random groups of `FAN`. The training rows of a piece are dealt, in a random order, to all
shards of its group in equal numbers, as neighbours: so a shard is a random sample of rows from `FAN` places of the
table, and is written in so many runs. Validation and test rows keep their order.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from automl.core import seeds

FAN = 256
"""Pieces that a shard has rows of, at most."""
LARGEST_SHARD, SHARDS = 2**26, 1024
"""Bytes of a shard at most; in a large table, shards grow to this size rather than be more than so many."""
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Layout:
    """Where rows go.

    Attributes:
        counts: [pieces, 3] training, validation and test rows of each piece.
        row_bytes: of a prepared row.
        shard_bytes: of a shard, at least.
        seed: of the order.
    """

    counts: Ints
    row_bytes: int
    shard_bytes: int
    seed: int

    def __hash__(self) -> int:
        return id(self)

    def __eq__(self, other: object) -> bool:
        return self is other

    @property
    def shard(self) -> int:
        """Bytes of a shard, about."""
        return max(self.shard_bytes, min(LARGEST_SHARD, int(self.counts[:, 0].sum()) * self.row_bytes // SHARDS))

    @property
    def ends(self) -> list[int]:
        """[4] the rows of the file at which the parts begin and end."""
        return [0, *np.cumsum(self.counts.sum(axis=0)).tolist()]

    def edges(self) -> list[list[int]]:
        """Of each part, the rows of the part at which shards begin and end."""
        groups = -(-len(self.counts) // FAN)
        sizes = np.concatenate([_group(self, g).sizes for g in range(groups)])
        edges = [[0, *np.cumsum(sizes[sizes > 0]).tolist()]]
        for part in (1, 2):
            rows = int(self.counts[:, part].sum())
            shards = max(1, round(rows * self.row_bytes / self.shard))
            edges.append(sorted({rows * k // shards for k in range(shards + 1)}))
        return edges

    def first(self, piece: int, part: int) -> int:
        """The row of the file at which the validation (1) or test (2) rows of a piece begin."""
        return int(_before(self)[piece, part])

    def order(self, piece: int) -> Ints:
        """[training rows of the piece] the order in which they are dealt to shards."""
        rng = np.random.default_rng(seeds.derive(self.seed, "deal", piece))
        return rng.permutation(int(self.counts[piece, 0]))

    def runs(self, piece: int) -> tuple[Ints, Ints]:
        """(cuts [S + 1] of the dealt rows of a piece, [S] the row of the file at which each run of them begins)."""
        group, within = _place(self)[piece]
        found = _group(self, int(group))
        return found.cuts[within], found.begins[within]


@dataclass(frozen=True)
class _Group:
    """Cuts [P, S + 1] of the rows of P pieces, where in the file each run begins [P, S], and sizes of shards [S]."""

    cuts: Ints
    begins: Ints
    sizes: Ints


@lru_cache(maxsize=4)
def _order(layout: Layout) -> Ints:
    return np.random.default_rng(seeds.derive(layout.seed, "groups")).permutation(len(layout.counts))


@lru_cache(maxsize=4)
def _place(layout: Layout) -> Ints:
    """[pieces, 2] the group of each piece, and its place in it."""
    place = np.empty((len(layout.counts), 2), dtype=np.int64)
    where = np.arange(len(layout.counts))
    place[_order(layout)] = np.stack([where // FAN, where % FAN], axis=1)
    return place


@lru_cache(maxsize=4)
def _before(layout: Layout) -> Ints:
    """[pieces, 3] the row of the file at which the rows of each piece begin, where they keep their order."""
    return np.asarray(np.cumsum(layout.counts, axis=0) - layout.counts + np.array(layout.ends[:3]))


@lru_cache(maxsize=4)
def _starts(layout: Layout) -> Ints:
    """[groups] the training row at which each group begins."""
    counts = layout.counts[_order(layout), 0]
    sums = np.concatenate([[0], np.cumsum(counts)])
    return np.asarray(sums[np.arange(0, len(counts), FAN)])


@lru_cache(maxsize=4)
def _group(layout: Layout, g: int) -> _Group:
    pieces = _order(layout)[g * FAN : (g + 1) * FAN]
    counts = layout.counts[pieces, 0]
    shards = max(1, round(int(counts.sum()) * layout.row_bytes / layout.shard))
    phase = np.random.default_rng(seeds.derive(layout.seed, "phase", g)).integers(0, shards, len(pieces))
    cuts = (counts[:, None] * np.arange(shards + 1) + phase[:, None]) // shards
    runs = np.diff(cuts, axis=1)
    sizes = runs.sum(axis=0)
    within = np.cumsum(runs, axis=0) - runs
    begins = int(_starts(layout)[g]) + (np.cumsum(sizes) - sizes)[None, :] + within
    return _Group(cuts, begins, sizes)
