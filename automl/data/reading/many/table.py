"""`Table`: a table in one file or many, of any size, read piece by piece by the rules of `readers.read_table`."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
from pyarrow import parquet

from automl.data.reading import dialects
from automl.data.reading.many import files
from automl.data.reading.many.blocks import Irregular
from automl.data.reading.many.cells import Cells
from automl.data.reading.many.columns import Columns
from automl.data.reading.many.files import File
from automl.data.reading.readers import as_data_error, is_parquet, read_table

Piece = tuple[int, pa.Table]
"""(where it begins: a byte of the file, or -1; rows)."""
BUFFER = 2**16
"""Bytes read at once of each column of a Parquet file."""
GROUPS = 2**25
"""Row groups that are together smaller than this are read as one item of work."""


@dataclass(frozen=True)
class Item:
    """A part of a table that can be read by itself.

    Attributes:
        file: its number.
        way: "groups" of a Parquet file, "bytes" of regular cells, "rows" of others (then it is a whole file).
        first, end: row groups, or bytes (-1: to the end of the file).
    """

    file: int
    way: str
    first: int = 0
    end: int = -1


@dataclass(frozen=True)
class Table:
    """CSV, TSV or Parquet files with the same columns.

    Attributes:
        files: in order.
        options: those of `prepare:`; `separator` and `encoding` are used.
    """

    files: tuple[File, ...]
    options: Mapping[str, Any] = field(default_factory=dict)

    @staticmethod
    def of(source: str | Path, options: Mapping[str, Any] | None = None, base: Path = Path()) -> "Table":
        """The table that a source names, see `files.find`.

        Raises:
            DataError: it names none.
        """
        found = files.find(source, base)
        if not found:
            raise files.no_table(source, base)
        return Table(tuple(found), options or {})

    @property
    def name(self) -> str:
        """For messages."""
        first = self.files[0].name
        return first if len(self.files) == 1 else f"{first} and {len(self.files) - 1} more files"

    @property
    def parquet(self) -> bool:
        """Whether the files are Parquet."""
        return is_parquet(Path(self.files[0].name.partition("?")[0]))

    @property
    def size(self) -> int:
        """Bytes of all files; -1 where a store does not say."""
        sizes = [file.size for file in self.files]
        return -1 if min(sizes) < 0 else sum(sizes)

    # -- its beginning --------------------------------------------------------------------------------------------

    @cached_property
    def _head(self) -> pd.DataFrame:
        return next(self.chunks(1000))

    def head(self) -> pd.DataFrame:
        """The first 1,000 rows."""
        frame = self._head.copy(deep=False)
        frame.attrs = self._head.attrs
        return frame

    def row_bytes(self) -> float:
        """The memory that a row takes, estimated from the first rows."""
        return float(self._head.memory_usage(deep=True).sum()) / max(len(self._head), 1)

    @property
    def names(self) -> list[str]:
        """Of its columns."""
        return [str(name) for name in self._head.columns]

    # -- all of it, in order ----------------------------------------------------------------------------------------

    def chunks(self, rows: int, only: list[str] | None = None) -> Iterator[pd.DataFrame]:
        """All rows in order, at most `rows` at once; only the columns `only` where given.

        Raises:
            DataError: a file cannot be read.
        """
        for k, file in enumerate(self.files):
            for _, piece in self.read(Item(k, self._way), rows, only):
                yield self.frame(piece, file)

    def whole(self) -> pd.DataFrame:
        """All rows in memory.

        Raises:
            DataError: a file cannot be read, or has other columns than the first one.
        """
        frames = []
        for k, file in enumerate(self.files):
            self.columns.check(file)
            if file.remote:
                rows = [self.frame(piece, file) for _, piece in self.read(Item(k, self._way), 2**16)]
                frame = pd.concat(rows, ignore_index=True)
                frame.attrs = rows[0].attrs
            else:
                frame = read_table(Path(file.path), self.options)
                frame = frame.assign(**dict(file.partition)) if file.partition else frame
            frames.append(frame)
        joined = pd.concat([frame[frames[0].columns] for frame in frames], ignore_index=True)
        joined.attrs = frames[0].attrs
        return joined

    @property
    def _way(self) -> str:
        """The way in which any of the files can be read as a whole."""
        return "groups" if self.parquet else "rows"

    def frame(self, piece: pa.Table, file: File) -> pd.DataFrame:
        """A piece as pandas has it; text cells of a file of text stay in Arrow's memory."""
        if self.parquet:
            made: pd.DataFrame = piece.to_pandas()
            return made
        kind = pd.ArrowDtype(pa.string())
        frame = pd.DataFrame({name: pd.array(piece[name], dtype=kind) for name in piece.column_names})
        attributes: Mapping[Any, Any] = self._cells.attributes(file, file is self.files[0])
        frame.attrs = attributes
        return frame

    # -- in parts -------------------------------------------------------------------------------------------------

    def items(self) -> list[Item]:
        """Parts that can be read by themselves, which together are all of it, in order."""
        if self.parquet:
            return [item for k in range(len(self.files)) for item in self._groups(k)]
        layouts = [self._cells.layout(file) for file in self.files]
        return [Item(k, "bytes" if layout.begins >= 0 else "rows") for k, layout in enumerate(layouts)]

    def _groups(self, k: int) -> Iterator[Item]:
        with as_data_error(self.files[k].name), self.files[k].open() as opened:
            about = parquet.read_metadata(opened)
        first, size = 0, 0
        for group in range(about.num_row_groups):
            size += about.row_group(group).total_byte_size
            if size >= GROUPS or group + 1 == about.num_row_groups:
                yield Item(k, "groups", first, group + 1)
                first, size = group + 1, 0

    def rows(self) -> int:
        """How many rows there are: counted in Parquet files, estimated from size and beginning of others."""
        if not self.parquet:
            return self._estimated_rows()
        total = 0
        for file in self.files:
            with as_data_error(file.name), file.open() as opened:
                total += parquet.read_metadata(opened).num_rows
        return total

    def _estimated_rows(self) -> int:
        first = self.files[0]
        with dialects.unpacked(first.open()) as stream:
            text = stream.read(2**20)
        lines = max(text.count(b"\n"), 1)
        packed = 4 if first.kind != Path(first.name).suffix.lower() else 1  # a usual ratio of text
        return max(1, int(packed * max(self.size, len(text)) / (len(text) / lines)))

    def read(self, item: Item, rows: int, only: list[str] | None = None, size: int = 2**22) -> Iterator[Piece]:
        """The rows of an item, piece by piece, with the columns `only` (None: all) in the order of the first file.

        Args:
            item: one of `items`, or a part of one.
            rows: of a piece, at most.
            only: columns.
            size: of a piece of a file of text, in bytes.

        Raises:
            DataError: the file cannot be read, has changed, or has other columns than the first one.
            Irregular: the item must be read in the way "rows".
        """
        with as_data_error(self.files[item.file].name):
            yield from self._pieces(item, rows, only, size)

    def _pieces(self, item: Item, rows: int, only: list[str] | None, size: int = 2**22) -> Iterator[Piece]:
        file = self.files[item.file]
        own, wanted = self.columns.check(file), only
        wanted = own if wanted is None else wanted
        own = [name for name in wanted if name not in dict(file.partition)]
        if item.way == "groups":
            read = self._of_groups(file, item, rows, own)
        elif item.way == "bytes":
            read = self._cells.by_bytes(file, item.first, item.end, size, own)
        else:
            read = self._cells.by_rows(file, rows, own)
        for begins, piece in read:
            yield begins, self._with_partition(piece, file, wanted)

    def _with_partition(self, piece: pa.Table, file: File, wanted: list[str]) -> pa.Table:
        for name, value in file.partition:
            if name in wanted:
                kind = pa.int64() if isinstance(value, int) else pa.string()
                piece = piece.append_column(name, pa.repeat(pa.scalar(value, kind), len(piece)))
        return piece.select(wanted) if piece.column_names != wanted else piece

    def _of_groups(self, file: File, item: Item, rows: int, only: list[str]) -> Iterator[Piece]:
        # a remote file is read in few large requests, and closed after each item: what was read is kept until then
        how: dict[str, Any] = {"pre_buffer": True} if file.remote else {"pre_buffer": False, "buffer_size": BUFFER}
        with file.open() as opened, parquet.ParquetFile(opened, **how) as source:
            groups = range(item.first, source.num_row_groups if item.end < 0 else item.end)
            for batch in source.iter_batches(rows, row_groups=groups, columns=only, use_threads=file.remote):
                batch.validate(full=True)
                yield -1, pa.Table.from_batches([batch])

    @cached_property
    def _cells(self) -> Cells:
        return Cells(self.options)

    @cached_property
    def columns(self) -> Columns:
        """Which columns the files have."""
        return Columns(self.files, None if self.parquet else self._cells)


__all__ = ["Irregular", "Item", "Piece", "Table"]
