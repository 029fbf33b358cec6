"""The first pass over a table: targets (weights, groups, times) of all rows, and a random sample of whole rows.

Each item of work writes files of its own, the last of them by a rename, so that items can be worked on by several
processes, and none is worked on twice after a crash.
"""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from automl.core import seeds
from automl.data.preparing import columns
from automl.data.reading.many.blocks import Irregular
from automl.data.reading.many.table import Item, Table
from automl.data.streaming.request import Request

ROW = "\0row"
"""The column of a sample that says which row of its item each is."""


@dataclass(frozen=True)
class Scanned:
    """What the first pass found out about an item.

    Attributes:
        item: as it was read.
        rows: [pieces] how many rows each piece has.
        begins: [pieces] the byte at which it begins; -1: it cannot be read without those before it.
    """

    item: Item
    rows: tuple[int, ...]
    begins: tuple[int, ...]

    @property
    def total(self) -> int:
        """How many rows it has."""
        return sum(self.rows)


@dataclass(frozen=True)
class Scan:
    """What the first pass is to do; the same in all processes.

    Attributes:
        request: what is prepared.
        items: of work.
        kept: the columns that are kept of all rows: the target first, then those that are no inputs.
        inputs: the columns that are inputs.
        rows: of a piece.
        share: of the rows that is sampled.
    """

    request: Request
    items: tuple[Item, ...]
    kept: tuple[str, ...]
    inputs: tuple[str, ...]
    rows: int
    share: float

    def __len__(self) -> int:
        return len(self.items)

    def to_json(self) -> dict[str, Any]:
        """As JSON-able values."""
        return {
            "request": self.request.to_json(), "items": [vars(item) for item in self.items], "kept": self.kept,
            "inputs": self.inputs, "rows": self.rows, "share": self.share,
        }  # fmt: skip

    @classmethod
    def from_json(cls, data: Mapping[str, Any], folder: Path) -> "Scan":
        """What `to_json` made."""
        request, items = Request.from_json(data["request"]), tuple(Item(**item) for item in data["items"])
        return cls(request, items, tuple(data["kept"]), tuple(data["inputs"]), data["rows"], data["share"])

    def done(self, folder: Path, k: int) -> bool:
        """Whether item k was scanned."""
        return _about(folder, k).is_file()

    def work(self, folder: Path, k: int) -> None:
        """Scan item k into `folder`, if that is not done.

        Raises:
            DataError: it cannot be read.
        """
        if self.done(folder, k):
            return
        table, item = self.request.table, self.items[k]
        try:
            found = self._scanned(folder, k, table, item)
        except Irregular:
            found = self._scanned(folder, k, table, Item(item.file, "rows"))
        about = {"item": vars(found.item), "rows": found.rows, "begins": found.begins}
        write_whole(_about(folder, k), json.dumps(about).encode())

    def _scanned(self, folder: Path, k: int, table: Table, item: Item) -> Scanned:
        rows: list[int] = []
        begins: list[int] = []
        kept, sampled = _Sink(folder / f"{k}.kept"), _Sink(folder / f"{k}.sample")
        wanted = [*self.kept, *self.inputs]
        with kept, sampled:
            for begin, piece in table.read(item, self.rows, wanted, self.request.sizes.chunk):
                first = sum(rows)
                chosen = np.flatnonzero(self._drawn(k, first, len(piece)))
                kept.write(piece.select(list(self.kept)))
                if len(chosen):
                    some = piece.take(pa.array(chosen)).select(list(self.inputs))
                    sampled.write(some.append_column(ROW, pa.array(chosen + first)))
                rows.append(len(piece))
                begins.append(begin)
        return Scanned(item, tuple(rows), tuple(begins))

    def _drawn(self, k: int, first: int, count: int) -> NDArray[np.bool_]:
        """[count] whether each of the rows from `first` on of item k is in the sample; the same however it is read."""
        if self.share >= 1:
            return np.ones(count, dtype=bool)
        return uniform(seeds.derive(self.request.seed, "fit", k), first, count) < self.share

    def found(self, folder: Path) -> list[Scanned]:
        """What was found out about all items."""
        read = []
        for k in range(len(self.items)):
            about = json.loads(_about(folder, k).read_bytes())
            read.append(Scanned(Item(**about["item"]), tuple(about["rows"]), tuple(about["begins"])))
        return read

    def kept_of(self, folder: Path, k: int) -> Iterator[pd.DataFrame]:
        """The kept columns of item k, piece by piece."""
        yield from self._frames(folder / f"{k}.kept", k)

    def sample_of(self, folder: Path, k: int) -> Iterator[pd.DataFrame]:
        """The sampled rows of item k, with `ROW`, piece by piece."""
        yield from self._frames(folder / f"{k}.sample", k)

    def _frames(self, path: Path, k: int) -> Iterator[pd.DataFrame]:
        table, file = self.request.table, self.request.files[self.items[k].file]
        if not path.is_file():
            return
        with pa.memory_map(str(path)) as source, pa.ipc.open_stream(source) as stream:
            for batch in stream:
                yield self.frame(table, pa.Table.from_batches([batch]), file)

    @staticmethod
    def frame(table: Table, piece: pa.Table, file: Any) -> pd.DataFrame:
        """A piece as a frame whose cells are as preparations want them; `ROW` is a number."""
        numbered = ROW in piece.column_names
        frame = table.frame(piece.drop_columns([ROW]) if numbered else piece, file)
        attributes = frame.attrs
        frame = columns.plain(frame)
        if numbered:
            frame[ROW] = piece[ROW].to_numpy()
        frame.attrs = attributes
        return frame


class _Sink:
    """A file of Arrow tables, one after another; it is there where a table was written."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._writer: Any = None
        self._schema: pa.Schema | None = None
        path.unlink(missing_ok=True)

    def __enter__(self) -> "_Sink":
        return self

    def write(self, table: pa.Table) -> None:
        """Add a table."""
        if self._schema is None:
            self._schema = table.schema
            self._writer = pa.ipc.new_stream(str(self._path), self._schema)
        self._writer.write_table(table.cast(self._schema))

    def __exit__(self, *error: object) -> None:
        if self._writer is not None:
            self._writer.close()


def _about(folder: Path, k: int) -> Path:
    return folder / f"{k}.scanned.json"


def write_whole(path: Path, content: bytes) -> None:
    """Write a file that is there whole or not at all."""
    beside = path.with_name(f"{path.name}.{os.getpid()}.new")
    with beside.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    os.replace(beside, path)


def uniform(seed: int, first: int, count: int) -> NDArray[np.float64]:
    """[count] numbers in [0, 1) for the rows from `first` on: each a function of the seed and the row alone.

    Splitmix64 (Steele, Lea and Flood 2014, "Fast splittable pseudorandom number generators", figure 15).
    """
    golden, one, two = (np.uint64(n) for n in (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB))
    with np.errstate(over="ignore"):
        z = (np.arange(first + 1, first + count + 1, dtype=np.uint64)) * golden + np.uint64(seed % 2**64)
        z = (z ^ (z >> np.uint64(30))) * one
        z = (z ^ (z >> np.uint64(27))) * two
        z ^= z >> np.uint64(31)
    return np.asarray((z >> np.uint64(11)).astype(np.float64) * 2.0**-53)


def places(scanned: Sequence[Scanned]) -> NDArray[np.int64]:
    """[pieces + 1] the number of the first row of each piece of all items, and of all rows."""
    return np.concatenate([[0], np.cumsum([n for one in scanned for n in one.rows], dtype=np.int64)])
