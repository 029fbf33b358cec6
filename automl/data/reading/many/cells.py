"""`Cells`: files of separated text, read from any byte on where they are regular, else in order."""

from collections.abc import Iterator, Mapping
from typing import Any

import pyarrow as pa

from automl.data.cells.readings import ATTRIBUTE
from automl.data.reading import dialects, encodings
from automl.data.reading.many import blocks
from automl.data.reading.many.blocks import Layout
from automl.data.reading.many.files import File
from automl.data.reading.readers import as_data_error, column_names, file_attributes, parse


class Cells:
    """Reads files of separated text; how each is written is found once.

    Args:
        options: those of `prepare:`; `separator` and `encoding` are used.
    """

    def __init__(self, options: Mapping[str, Any]) -> None:
        self.options = options
        self._layouts: dict[str, Layout] = {}

    def by_bytes(self, file: File, first: int, end: int, size: int, only: list[str]) -> Iterator[tuple[int, pa.Table]]:
        """(where it begins, rows) of regular cells from byte `first` of a file up to `end`, see `blocks.pieces`.

        Raises:
            Irregular: the cells are not regular.
        """
        layout = self.layout(file)
        names = column_names(layout.header, layout.header)
        with dialects.unpacked(file.open()) as stream:
            for begins, block in blocks.pieces(stream, max(first, layout.begins), end, size):
                yield begins, blocks.parsed(block, layout, names, only)

    def by_rows(self, file: File, rows: int, only: list[str]) -> Iterator[tuple[int, pa.Table]]:
        """(-1, rows) of a whole file."""

        def opening() -> Any:
            return dialects.unpacked(file.open())

        layout, head = self.layout(file), self._text(file)
        encoding = encodings.encoding_of(opening, self.options)
        names, text = column_names(layout.header, layout.header), self._cleared(head)[0]
        with opening() as raw, blocks.stream_of(raw, encoding) as stream:
            for _ in range(_empty_lines(text)):
                stream.readline()
            wanted = sorted(names.index(name) for name in only)
            few = wanted if len(wanted) < len(names) else None  # with all of them pandas says which line is too long
            for chunk in parse(stream, layout.separator, head, chunksize=rows, usecols=few):
                yield -1, blocks.as_text(chunk.set_axis([names[k] for k in wanted], axis=1)[only])

    def layout(self, file: File) -> Layout:
        """How the cells of a file of text are written, found in its first bytes."""
        if file.path not in self._layouts:
            with as_data_error(file.name):
                self._layouts[file.path] = self._layout(file)
        return self._layouts[file.path]

    def _layout(self, file: File) -> Layout:
        text, named = self._cleared(self._text(file))
        asked = {**self.options, "separator": self.options.get("separator") or named}
        separator, header = dialects.find(text, file.name, asked)
        encoding = encodings.encoding_of(lambda: dialects.unpacked(file.open()), self.options, whole=False)
        begins = -1
        if encoding in blocks.BYTEWISE and len(header) > 1 and separator.isascii():
            with dialects.unpacked(file.open()) as stream:
                begins = blocks.begin_of_rows(stream, _empty_lines(text))
        return Layout(separator, encoding, header, begins)

    def _text(self, file: File) -> str:
        """The beginning of a file."""
        encoding = encodings.encoding_of(lambda: dialects.unpacked(file.open()), self.options, whole=False)
        with dialects.unpacked(file.open()) as raw, blocks.stream_of(raw, encoding) as stream:
            return stream.read(dialects.HEAD).lstrip("\ufeff")

    def _cleared(self, head: str) -> tuple[str, str | None]:
        text, named, _ = dialects.without_comments(head, dialects.separator_option(self.options))
        return text, named

    def attributes(self, file: File, first: bool) -> dict[str, Any]:
        """What `attrs` says of a file; notes for people of the first one only."""
        layout = self.layout(file)
        names = column_names(layout.header, layout.header)
        made = file_attributes(file.name, layout.separator, layout.encoding, 0, names, layout.header)
        return made if first else {ATTRIBUTE: {"file": {**made[ATTRIBUTE]["file"], "notes": []}}}


def _empty_lines(text: str) -> int:
    """How many lines come before the header."""
    return next((k for k, line in enumerate(text.split("\n")) if line.strip()), 0)
