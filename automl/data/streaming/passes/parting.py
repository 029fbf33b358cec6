"""Parts of the rows of a table of any size: in a few sequential passes, with nothing of a row in memory.

A row's part is drawn by a number that is a function of the seed and the row alone, so that it does not depend on how
the table is cut up:

- at random: shares are right up to sqrt(share (1 - share) N) rows; of classes with few rows they are exact;
- by group: exact in the number of rows as far as groups allow, or, of very many groups, drawn by a hash of its name;
- by time: exact, by the order statistics of the times (radix selection).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from automl.core import seeds
from automl.data import splits
from automl.data.cells import deciding, readings
from automl.data.rows import as_order
from automl.data.streaming.passes.chosen import AT_ONCE, kept_frames, mapped
from automl.data.streaming.passes.scan import Scan, uniform
from automl.data.streaming.request import Request
from automl.errors import DataError

FEW = 10_000
"""The rows of a class with fewer than this are split exactly."""
GROUPS = 1_000_000
"""Groups whose sizes are counted; with more of them each goes where its hash says."""


@dataclass(frozen=True)
class Rows:
    """The kept columns of a scanned table, piece by piece."""

    scan: Scan
    folder: Path
    rows: int

    def pieces(self) -> Iterator[tuple[int, pd.DataFrame]]:
        """(number of its first row, the piece)."""
        first = 0
        for frame in kept_frames(self.scan, self.folder):
            yield first, frame
            first += len(frame)

    def array(self, name: str, kind: Any, *columns: int) -> NDArray[Any]:
        """A new array of all rows in a file of the folder."""
        return mapped(self.folder / name, kind, (self.rows, *columns), "w+")

    def sample(self, name: str, most: int) -> "pd.Series[Any]":
        """About `most` cells of a column, drawn at random."""
        share, seed = most / max(self.rows, 1), seeds.derive(self.scan.request.seed, "look", name)
        drawn = [frame[name][uniform(seed, first, len(frame)) < share] for first, frame in self.pieces()]
        return pd.concat(drawn, ignore_index=True)


def slices(rows: int) -> Iterator[slice]:
    """So many rows in order, `AT_ONCE` at a time."""
    for first in range(0, rows, AT_ONCE):
        yield slice(first, min(first + AT_ONCE, rows))


def count(part: NDArray[np.int8], code: int) -> int:
    """How many rows are in a part."""
    return sum(int((part[rows] == code).sum()) for rows in slices(len(part)))


def draw_rows(part: NDArray[np.int8], request: Request, present: int, notes: list[str]) -> None:
    """Leave rows out at random where `prepare.rows` asks for fewer."""
    most = int(request.options.get("rows", 0))
    if not 0 < most < present:
        return
    seed = seeds.derive(request.seed, "rows")
    for rows in slices(len(part)):
        out = uniform(seed, rows.start, rows.stop - rows.start) >= most / present
        part[rows] = np.where(out, -1, part[rows])
    notes.append(f"{len(part) - count(part, -1)} of {present} rows used (prepare.rows)")


def split(
    over: Rows, part: NDArray[np.int8], codes: NDArray[np.int64] | None, rules: readings.Rules, notes: list[str]
) -> None:
    """Change the 0 of used rows to their part."""
    request = over.scan.request
    edges = np.cumsum(splits.shares(request.rules))[:2]
    seed = seeds.derive(request.seed, "split")
    if request.rules.get("time"):
        _by_time(over, part, str(request.rules["time"]), edges, rules)
    elif request.rules.get("group"):
        _by_group(over, part, str(request.rules["group"]), edges, seed)
    else:
        for rows in slices(len(part)):
            drawn = np.searchsorted(edges, uniform(seed, rows.start, rows.stop - rows.start), side="right")
            part[rows] = np.where(part[rows] < 0, -1, drawn)
        if codes is not None:
            _few_exactly(part, codes, edges, seed)
    notes.append(f"{over.rows:,} rows: parts drawn row by row, shares right up to the square root of their rows")


def _few_exactly(part: NDArray[np.int8], codes: NDArray[np.int64], edges: NDArray[np.float64], seed: int) -> None:
    """Split the rows of rare classes in exact shares, the first of them for training."""
    counts = np.zeros(int(max(codes[rows].max() for rows in slices(len(part)))) + 1, dtype=np.int64)
    for rows in slices(len(part)):
        counts += np.bincount(codes[rows][part[rows] >= 0], minlength=len(counts))
    rare = np.flatnonzero((counts > 0) & (counts < FEW))
    if not len(rare):
        return
    where: list[NDArray[np.int64]] = [
        rows.start + np.flatnonzero(np.isin(codes[rows], rare) & (part[rows] >= 0)) for rows in slices(len(part))
    ]
    all_rows = np.concatenate(where)
    labels = np.asarray(codes[all_rows])
    rng = np.random.default_rng(seed)
    for label in rare:
        own = rng.permutation(all_rows[labels == label])
        cuts = np.maximum(np.round(edges * len(own)).astype(np.int64), 1)
        part[own] = np.searchsorted(cuts, np.arange(len(own)), side="right") if len(own) > 2 else 0


def _by_time(over: Rows, part: NDArray[np.int8], name: str, edges: NDArray[np.float64], rules: readings.Rules) -> None:
    """The earliest rows are for training, the latest for the test; rows of one time in their order in the table."""
    reading = deciding.decide(over.sample(name, 100_000), name, rules)
    keys = over.array("time", np.uint64)
    for first, frame in over.pieces():
        read = as_order(frame[name], reading, rules)
        if read is None or not np.isfinite(read.values).all():
            raise DataError(f"split.time: some rows of {name!r} have no date that can be read, such as 2021-06-25")
        keys[first : first + len(frame)] = _sortable(read.values)
    used = over.rows - count(part, -1)
    cuts = [_cut(keys, part, round(edge * used)) for edge in edges]
    ties = [0, 0]
    for rows in slices(over.rows):
        own, used_rows = keys[rows], part[rows] >= 0
        made = np.zeros(len(own), dtype=np.int8)
        for k, (key, before) in enumerate(cuts):
            tied = used_rows & (own == key)
            number = ties[k] + np.cumsum(tied)
            made += (own > key) | (tied & (number > before))
            ties[k] += int(tied.sum())
        part[rows] = np.where(used_rows, made, -1)


def _sortable(values: NDArray[np.float64]) -> NDArray[np.uint64]:
    """Whole numbers in the order of the values: the bits of a double, turned round where it is negative."""
    bits = (values + 0.0).view(np.uint64)
    return np.where(bits >> np.uint64(63), ~bits, bits | np.uint64(1 << 63))


def _cut(keys: NDArray[np.uint64], part: NDArray[np.int8], rank: int) -> tuple[int, int]:
    """(the key with `rank` used rows before it or tied with it, how many of the tied ones belong to them)."""
    prefix = 0
    for shift in (48, 32, 16, 0):
        counts = np.zeros(2**16, dtype=np.int64)
        for rows in slices(len(keys)):
            own = keys[rows][part[rows] >= 0]
            if shift < 48:
                own = own[(own >> np.uint64(shift + 16)) == prefix]
            counts += np.bincount(((own >> np.uint64(shift)) & np.uint64(0xFFFF)).astype(np.int64), minlength=2**16)
        upto = np.cumsum(counts)
        digit = min(int(np.searchsorted(upto, rank, side="left")), 2**16 - 1)
        rank -= int(upto[digit] - counts[digit])
        prefix = (prefix << 16) | digit
    return prefix, rank


def _by_group(over: Rows, part: NDArray[np.int8], name: str, edges: NDArray[np.float64], seed: int) -> None:
    """All rows of a group in one part."""
    sizes: dict[str, int] = {}
    for first, frame in over.pieces():
        if len(sizes) <= GROUPS:
            used = part[first : first + len(frame)] >= 0
            for group, count in frame[name].astype(str)[used].value_counts().items():
                sizes[str(group)] = sizes.get(str(group), 0) + int(count)
    homes: pd.Series[Any] | None = None
    if len(sizes) <= GROUPS:
        names = sorted(sizes)
        wanted = np.diff(np.concatenate([[0.0], edges, [1.0]]))
        rng = np.random.default_rng(seed)
        homes = pd.Series(splits.homes(np.array([sizes[one] for one in names]), wanted, rng), index=names)
    for first, frame in over.pieces():
        groups = frame[name].astype(str)
        if homes is not None:
            home = homes.reindex(groups, fill_value=0).to_numpy()
        else:
            hashed = pd.util.hash_array(groups.to_numpy(dtype=object), hash_key=f"{seed:016x}"[:16])
            home = np.searchsorted(edges, (hashed >> np.uint64(11)) * 2.0**-53, side="right")
        rows = slice(first, first + len(frame))
        part[rows] = np.where(part[rows] < 0, -1, home)
