"""The second pass over a table: rows are prepared and written to their places, in runs of neighbours.

What an item writes and where is a function of the plan alone, so that an item that was broken off is written again.
"""

import json
import os
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from automl.data.prepared import SAMPLE_ROWS, sample_rows
from automl.data.preparing import tables
from automl.data.reading.many.table import Item, Piece
from automl.data.streaming.passes.chosen import Chosen
from automl.data.streaming.passes.layout import Layout
from automl.data.streaming.passes.scan import Scan, write_whole
from automl.data.streaming.request import Request
from automl.errors import DataError

Bytes = NDArray[np.uint8]
FILES = ("x.bin", "y.bin", "weight.bin")


@dataclass(frozen=True)
class Part:
    """A part of the second pass.

    Attributes:
        item: of the table.
        first_piece, first_row: numbers of its first piece and row in the whole table.
        rows: [pieces] how many rows each has.
    """

    item: Item
    first_piece: int
    first_row: int
    rows: tuple[int, ...]


@dataclass
class Written:
    """What is to be known of a part that was written.

    Attributes:
        digest: of its rows.
        shown: its first validation rows as read, JSON-able.
    """

    digest: int = 0
    shown: list[Any] = field(default_factory=list)


@dataclass(frozen=True)
class Writing:
    """What the second pass is to do; the same in all processes.

    Attributes:
        request: what is prepared.
        parts: of the pass.
        inputs: the columns that are inputs.
        piece: rows of a piece, see `Table.read`.
        preparation: fitted.
        width: values of a prepared row.
        chosen: targets and parts of all rows.
    """

    request: Request
    parts: tuple[Part, ...]
    inputs: tuple[str, ...]
    piece: int
    preparation: dict[str, Any]
    width: int
    chosen: Chosen

    @cached_property
    def layout(self) -> Layout:
        """Where rows go."""
        counts = np.load(self.chosen.folder / "counts.npy")
        return Layout(counts, self.width * 4, self.request.sizes.shard, self.request.seed)

    def __len__(self) -> int:
        return len(self.parts)

    def done(self, folder: Path, k: int) -> bool:
        """Whether part k was written."""
        return (folder / f"{k}.written").is_file()

    def work(self, folder: Path, k: int) -> None:
        """Prepare and write part k into the files of `folder`, if that is not done.

        Raises:
            DataError: the table cannot be read, or is not what it was in the first pass.
        """
        if self.done(folder, k):
            return
        table, part = self.request.table, self.parts[k]
        file, written = self.request.files[part.item.file], Written()
        names = FILES if self.chosen.weighted else FILES[:2]
        out = [os.open(folder / name, os.O_WRONLY) for name in names]
        try:
            row = part.first_row
            read = table.read(part.item, self.piece, list(self.inputs), self.request.sizes.chunk)
            for piece, (cells, rows) in enumerate(_same(read, part, file.name), part.first_piece):
                self._write(out, piece, row, Scan.frame(table, cells, file), written)
                row += rows
            file.check()
            for one in out:
                os.fdatasync(one)
        finally:
            for one in out:
                os.close(one)
        write_whole(folder / f"{k}.written", json.dumps(asdict(written)).encode())

    def _write(self, out: list[int], piece: int, row: int, frame: pd.DataFrame, written: Written) -> None:
        """Write a piece whose first row is `row`; `written` gets what is to be known of it."""
        rows = slice(row, row + len(frame))
        parts = self.chosen.part[rows]
        used = np.flatnonzero(parts >= 0)
        if not len(used):
            return
        own, parts = frame if len(used) == len(frame) else _taken(frame, used), parts[used]
        if len(written.shown) < SAMPLE_ROWS:
            some = np.flatnonzero(parts == 1)[: SAMPLE_ROWS - len(written.shown)]
            written.shown += sample_rows(_taken(own, some)) if len(some) else []
        weight, x = self.chosen.weight, tables.transform(self.preparation, own).numpy()
        arrays = [_as_bytes(x), _as_bytes(self.chosen.y[rows][used])]
        arrays += [] if weight is None else [_as_bytes(weight[rows][used])]
        for array in (*arrays, _as_bytes(parts)):
            written.digest = zlib.crc32(array.data, written.digest)
        for code in range(3):
            mine = np.flatnonzero(parts == code)
            if len(mine) and code:
                _put(out, arrays, mine, [0, len(mine)], [self.layout.first(piece, code)])
            elif len(mine):
                cuts, begins = self.layout.runs(piece)
                _put(out, arrays, mine[self.layout.order(piece)], cuts.tolist(), begins.tolist())

    def written(self, folder: Path) -> list[Written]:
        """[parts] what is to be known of each."""
        return [Written(**json.loads((folder / f"{k}.written").read_bytes())) for k in range(len(self.parts))]

    def to_json(self) -> dict[str, Any]:
        """As JSON-able values."""
        parts = [(vars(p.item), p.first_piece, p.first_row, p.rows) for p in self.parts]
        return {
            "request": self.request.to_json(), "parts": parts, "inputs": self.inputs, "piece": self.piece,
            "preparation": self.preparation, "width": self.width, "chosen": self.chosen.to_json(),
        }  # fmt: skip

    @classmethod
    def from_json(cls, data: Mapping[str, Any], folder: Path) -> "Writing":
        """What `to_json` made, in `folder`."""
        parts = tuple(Part(Item(**item), piece, row, tuple(rows)) for item, piece, row, rows in data["parts"])
        chosen = Chosen.from_json(data["chosen"], folder)
        request = Request.from_json(data["request"])
        return cls(request, parts, tuple(data["inputs"]), data["piece"], data["preparation"], data["width"], chosen)


def _same(read: Iterator[Piece], part: Part, name: str) -> Iterator[tuple[pa.Table, int]]:
    """The pieces with their numbers of rows, as long as these are what they were.

    Raises:
        DataError: they are not.
    """
    rows, ended = iter(part.rows), False
    for _, piece in read:
        if (wanted := next(rows, -1)) != len(piece):
            ended = True
            break
        yield piece, wanted
    if ended or next(rows, None) is not None:
        raise DataError(f"data: {name} was changed while the table was read; start again when it is complete")


def _taken(frame: pd.DataFrame, rows: NDArray[np.int64]) -> pd.DataFrame:
    attributes = frame.attrs
    frame = frame.iloc[rows].reset_index(drop=True)
    frame.attrs = attributes
    return frame


def _as_bytes(values: NDArray[Any]) -> Bytes:
    """[rows, bytes of a row]."""
    values = np.ascontiguousarray(values)
    return values.view(np.uint8).reshape(len(values), -1)


def _put(out: list[int], arrays: list[Bytes], rows: NDArray[np.int64], cuts: list[int], begins: list[int]) -> None:
    """Write rows: those from cuts[k] to cuts[k + 1] at row begins[k] of each file."""
    for file, array in zip(out, arrays, strict=True):
        dealt, width = array[rows], array.shape[1]
        for k, begin in enumerate(begins):
            first, end = cuts[k], cuts[k + 1]
            if end > first:
                _write_all(file, dealt[first:end].data.cast("B"), begin * width)


def _write_all(file: int, content: memoryview, at: int) -> None:
    while content:
        written = os.pwrite(file, content, at)
        content, at = content[written:], at + written
