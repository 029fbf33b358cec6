"""Separated cells block by block: regular ones by Arrow, from any place of a file on; others in order, by pandas."""

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import IO, Any

import pyarrow as pa
from pyarrow import csv

from automl.data.reading import encodings, regular

LONGEST = 2**26
"""Bytes that a row may have."""
BYTEWISE = ("utf-8", "utf-8-sig", encodings.LINES)
"""Encodings in which a line end is a byte of its own."""


class Irregular(Exception):
    """A file has lines of several lengths, stray quotation marks or another encoding: it is for pandas."""


@dataclass(frozen=True)
class Layout:
    """How the cells of a file are written.

    Attributes:
        separator: one character.
        encoding: of the file.
        header: the names in its first line, to the letter.
        begins: where the rows begin, in bytes; -1: the file is not for Arrow.
    """

    separator: str
    encoding: str
    header: tuple[str, ...]
    begins: int


def pieces(stream: IO[bytes], first: int, end: int, size: int) -> Iterator[tuple[int, bytes]]:
    """(where it begins, whole rows of about `size` bytes) from byte `first` of a file up to `end` (-1: its end).

    Raises:
        Irregular: a row has no end within `LONGEST` bytes.
    """
    stream.seek(first)
    rest, at = b"", first
    while True:
        wanted = size if end < 0 else min(size, end - at - len(rest))
        more = stream.read(wanted) if wanted > 0 else b""
        block = rest + more
        if not more:
            if block:
                yield at, block
            return
        cut = _last_row_end(block)
        if not cut and len(block) > LONGEST:
            raise Irregular
        if cut:
            yield at, block[:cut]
        at, rest = at + cut, block[cut:]


def _last_row_end(block: bytes) -> int:
    """How many bytes of `block`, which begins with a row, are whole rows: a line end inside of quotes ends none."""
    cut = block.rfind(b"\n") + 1
    if cut and block.count(b'"', 0, cut) % 2:
        while cut and block.count(b'"', 0, cut) % 2:
            cut = block.rfind(b"\n", 0, cut - 1) + 1
    return cut


def parsed(block: bytes, layout: Layout, names: Sequence[str], only: Sequence[str] | None) -> pa.Table:
    """The cells of whole rows as text.

    Args:
        block: see `pieces`.
        layout: of the file.
        names: of its columns.
        only: the columns that are wanted, in this order; None: all.

    Raises:
        Irregular: not every row has as many cells as there are columns, or it is not in the encoding.
    """
    try:
        if layout.encoding not in ("utf-8", "utf-8-sig"):
            block = block.decode(layout.encoding).encode()
        text = block.decode()
    except UnicodeError as error:
        raise Irregular from error
    if not regular.is_regular(text, layout.separator) or "\n#" in text or text.startswith("#"):
        raise Irregular
    places = [f"{k}" for k in range(len(names))]
    wanted = [places[k] for k in (range(len(names)) if only is None else map(list(names).index, only))]
    parsing = csv.ParseOptions(delimiter=layout.separator, newlines_in_values='"' in text)
    reading = csv.ReadOptions(use_threads=False, column_names=places, block_size=max(len(block) + 1, 1024))
    types = dict.fromkeys(wanted, pa.string())
    converting = csv.ConvertOptions(column_types=types, include_columns=wanted, strings_can_be_null=False)
    try:
        table = csv.read_csv(pa.py_buffer(block), reading, parsing, converting)
    except pa.ArrowException as error:
        raise Irregular from error
    return table.rename_columns([names[int(place)] for place in table.column_names])


def begin_of_rows(stream: IO[bytes], skipped: int) -> int:
    """Where the rows begin: after `skipped` lines and the header; -1: a cell of the header has a line end in it."""
    for _ in range(skipped):
        stream.readline()
    return -1 if stream.readline().count(b'"') % 2 else stream.tell()


def as_text(frame: Any) -> pa.Table:
    """Cells that pandas has read, as text in Arrow's memory."""
    columns = [pa.array(frame[name].to_numpy(dtype=object), pa.string(), from_pandas=True) for name in frame.columns]
    return pa.table(dict(zip(frame.columns, columns, strict=True)))


def stream_of(opened: IO[bytes], encoding: str) -> io.TextIOWrapper:
    """The text of a file."""
    return io.TextIOWrapper(opened, encoding=encoding, newline="")
