"""How a file of separated cells is written: its compression, separator and comment lines.

Found for each file from its first bytes and its header line; a file of new rows is written as its sender likes,
whatever the training file looked like. Which rows are in the file makes no difference.
"""

import bz2
import csv
import gzip
import io
import lzma
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from automl.data.reading import foreign
from automl.errors import DataError, did_you_mean

SEPARATORS = ("\t", ";", "|", ",")
"""Where two fit equally well, the first is taken: decimal commas are in more files than other marks in numbers."""
NAMES = {"tab": "\t", "\\t": "\t", "comma": ",", "semicolon": ";", "pipe": "|", "space": " "}
"""Separators that have a name."""
HEAD = 2**16
"""So many characters are looked at to find the separator of a training file."""


def read_bytes(path: Path) -> bytes:
    """The content of a file, unpacked where its first bytes say that it is compressed (gzip, bzip2, xz, zstandard).

    Raises:
        DataError: the file cannot be read or unpacked.
    """
    try:
        raw = path.read_bytes()
        if raw[:2] == b"\x1f\x8b":
            return gzip.decompress(raw)
        if raw[:3] == b"BZh":
            return bz2.decompress(raw)
        if raw[:6] == b"\xfd7zXZ\x00":
            return lzma.decompress(raw)
        if raw[:4] == b"\x28\xb5\x2f\xfd":
            import pyarrow

            return bytes(pyarrow.CompressedInputStream(pyarrow.BufferReader(raw), "zstd").read())
    except (OSError, EOFError, lzma.LZMAError, zlib.error, ValueError) as error:
        raise DataError(f"data: {path.name} cannot be read: {error}") from error
    return foreign.checked(raw, path)


@contextmanager
def unpacked(opened: IO[bytes]) -> Iterator[IO[bytes]]:
    """The bytes of an open file, unpacked where its first bytes say that it is compressed; it is closed at the end."""
    with opened:
        first = opened.read(6)
        opened.seek(0)
        stream: Any = opened
        if first[:2] == b"\x1f\x8b":
            stream = gzip.GzipFile(fileobj=opened)
        elif first[:3] == b"BZh":
            stream = bz2.BZ2File(opened)
        elif first == b"\xfd7zXZ\x00":
            stream = lzma.LZMAFile(opened)  # noqa: SIM115
        elif first[:4] == b"\x28\xb5\x2f\xfd":
            import pyarrow

            stream = io.BufferedReader(pyarrow.CompressedInputStream(pyarrow.PythonFile(opened), "zstd"))
        with stream:
            yield stream


def without_comments(
    text: str, separator: str | None = None, expects: Iterable[str] = ()
) -> tuple[str, str | None, int]:
    """(the text, the separator that a line `sep=;` names, how many lines of comments and titles there were).

    Lines before the header that begin with # or hold a title, and a line `sep=;`, become empty lines, so that line
    numbers stay. A header may begin with #. So does a line between rows, where it has another number of cells than the
    header. `expects`: columns of the training table, where these are rows for its model.
    """
    text = "\n".join(map(_squeezed, text.split("\n"))) if separator == " " and '"' not in text else text
    lines, named, comments, marked = text.split("\n"), None, 0, False
    k = 0
    while k < len(lines):
        line = lines[k].strip("\r")
        if not marked and line.strip().strip('"').lower()[:4] == "sep=":
            mark, marked = line.strip().strip('"')[4:], True
            named, lines[k] = mark if len(mark) == 1 and mark.isascii() else None, ""
        elif line.startswith("#") and not _is_header(lines, k, named or separator):
            lines[k], comments = "", comments + 1
        elif line.strip():
            break
        k += 1
    titles = _titles(lines, k, named or separator, expects)
    comments += sum(bool(line.strip(" \t;|,\r")) for line in lines[k : k + titles])
    lines[k : k + titles] = [""] * titles
    k += titles
    if k < len(lines) and lines[k].startswith("#"):
        lines[k] = lines[k][1:].lstrip()
    if comments or marked or "\n#" in text or text.startswith("#"):
        comments += _blank_comments(lines, k + 1, named or separator)
        text = "\n".join(lines)
    return text, named, comments


def _squeezed(line: str) -> str:
    """The cells of a line that spaces keep in columns, with one space between two."""
    return " ".join(line.split())


def _titles(lines: list[str], first: int, separator: str | None, expects: Iterable[str]) -> int:
    """How many lines before the header hold titles, as reports have them, or nothing.

    A title is a line with one cell that is not empty, whatever separates cells. The header is the first line with
    several; the three lines that follow have as many cells.
    """
    near = lines[first : first + 40]
    if not near or near[0].strip().strip('"') in set(expects):
        return 0
    for mark in [separator] if separator else SEPARATORS:
        if padded := _padded_titles([_cells(line, mark) for line in near[:20]]):
            return padded
    if any(sum(map(bool, map(str.strip, _cells(near[0], mark)))) > 1 for mark in SEPARATORS):
        return 0
    for mark in [separator] if separator else SEPARATORS:
        rows = [_cells(line, mark) for line in near]
        header = next((k for k, row in enumerate(rows) if sum(map(bool, map(str.strip, row))) > 1), 0)
        following = [row for row in rows[header + 1 :] if any(row)][:3]
        if header and len(following) == 3 and all(len(row) == len(rows[header]) for row in following):
            return header
    return 0


def _padded_titles(rows: list[list[str]]) -> int:
    """How many lines of titles a spreadsheet has filled up with empty cells; 0: there are none.

    The header is the first line with all cells filled, by different words, none of them a number. Lines before it have
    at most half of their cells filled, the first ones; the three lines that follow it have more of them.
    """
    filled = [[cell.strip() for cell in row if cell.strip()] for row in rows]
    header = next((k for k, row in enumerate(rows) if len(row) > 1 and len(filled[k]) == len(row)), 0)
    names, after = filled[header], rows[header + 1 : header + 4]
    if not header or len(after) < 3 or len(set(names)) < len(names) or any(_is_number(name) for name in names):
        return 0
    before = [row for row in rows[:header] if row]
    if any(len(row) != len(names) for row in (*before, *after)) or not any(map(any, map(_numbers, after))):
        return 0
    few = all(2 * len(filled[k]) <= len(names) and not any(_numbers(rows[k])) for k in range(header))
    return header if few and all(2 * len(filled[k]) > len(names) for k in range(header + 1, header + 4)) else 0


def _numbers(row: list[str]) -> list[bool]:
    return [_is_number(cell) for cell in row]


def _is_number(cell: str) -> bool:
    return cell.strip().lstrip("+-").replace(",", "").replace(".", "").isdigit()


def _is_header(lines: list[str], k: int, separator: str | None) -> bool:
    """Whether a line that begins with # is the header: as many cells as the next line, which begins with no #."""
    following = next((line for line in lines[k + 1 :] if line.strip()), "")
    if following.startswith("#") or not following or lines[k][1:2] in (" ", "#", ""):
        return False
    marks = [separator] if separator else SEPARATORS
    return any(_width(lines[k], mark) == _width(following, mark) > 1 for mark in marks)


def _cells(line: str, mark: str) -> list[str]:
    """The cells of a line."""
    try:
        return next(csv.reader([line.strip("\r")], delimiter=mark), [])
    except csv.Error:
        return []


def _width(line: str, mark: str) -> int:
    """How many cells a line has."""
    return len(_cells(line, mark))


def _blank_comments(lines: list[str], first: int, separator: str | None) -> int:
    """Empty the lines between rows that begin with # and have another number of cells than the header."""
    if not any(line.startswith("#") for line in lines[first:]):
        return 0
    header = lines[first - 1]
    mark = separator or max(SEPARATORS, key=lambda mark: _width(header, mark))
    count, quoted, width = 0, False, _width(header, mark)
    for k in range(first, len(lines)):
        if not quoted and lines[k].startswith("#") and _width(lines[k], mark) < width:
            lines[k], count = "", count + 1
        elif lines[k].count('"') % 2:
            quoted = not quoted
    return count


def separator_option(options: Mapping[str, Any]) -> str | None:
    """The separator that the user named.

    Raises:
        DataError: it is not one character.
    """
    given = options.get("separator")
    mark = None if given is None else NAMES.get(str(given), str(given))
    if mark is not None and (len(mark) != 1 or mark in '"\r\n'):
        hint = did_you_mean(str(given), NAMES)
        raise DataError(f"prepare.separator: expected one character, such as ; or tab, got {given!r}{hint}")
    return mark


def find(text: str, name: str, options: Mapping[str, Any], expects: Iterable[str] = ()) -> tuple[str, tuple[str, ...]]:
    """(the separator, the names in the header).

    Args:
        text: without comment lines.
        name: of the file; `.tsv` is a hint.
        options: those of `prepare:`; `separator` is used.
        expects: columns of the training table: the separator under which most of them are found is taken.
    """
    mark = separator_option(options)
    head = text[:HEAD].lstrip("\r\n")
    if mark is not None and (not expects or mark in head.partition("\n")[0]):
        return mark, _header(head, mark)
    wanted = set(expects)
    if wanted:
        best = max(SEPARATORS, key=lambda mark: len(wanted & set(_header(head, mark))))
        if wanted & set(_header(head, best)):
            return best, _header(head, best)
    best = max(SEPARATORS, key=lambda mark: _regularity(head, mark))
    if _regularity(head, best) == (0.0, 0):  # a single column
        best = "\t" if ".tsv" in name.lower() else ","
    return best, _header(head, best)


def _header(head: str, mark: str) -> tuple[str, ...]:
    try:
        first: list[str] = next(csv.reader(io.StringIO(head, newline=""), delimiter=mark), [])
    except csv.Error:
        return ()
    return tuple(name.strip().strip("\ufeff\u00a0") for name in first)


def with_row_names(text: str, separator: str, header: tuple[str, ...]) -> tuple[str, tuple[str, ...]]:
    """(the text, its header) of a table whose first column has no name and no place in the header, as R writes them.

    The names of rows differ, and are quoted, no numbers, or 1, 2, 3 and so on: 1,5 is no name with a value behind it.
    """
    begins = len(text) - len(text.lstrip("\r\n"))
    head = text[begins : begins + HEAD]
    try:
        lines = csv.reader(io.StringIO(head, newline=""), delimiter=separator)
        rows = [row for _, row in zip(range(20), lines, strict=False) if row][1:]
    except csv.Error:
        return text, header
    rows = rows[:-1] if len(text) > begins + HEAD else rows  # the last one may be cut
    names = [row[0] for row in rows]
    quoted = head.count('\n"') >= len(rows)
    as_names = quoted or not any(map(_is_number, names)) or names == [str(k + 1) for k in range(len(rows))]
    wider = all(len(row) == len(header) + 1 and row[0] for row in rows) and any(row[-1] for row in rows)
    if not wider or not as_names or len(set(names)) < len(names):
        return text, header
    return f"{text[:begins]}{separator}{text[begins:]}", ("", *header)


def _regularity(head: str, mark: str) -> tuple[float, int]:
    """(the share of lines with as many cells as the header, the number of cells of the header)."""
    try:
        rows = [
            row for _, row in zip(range(100), csv.reader(io.StringIO(head, newline=""), delimiter=mark), strict=False)
        ]
    except csv.Error:
        return (0.0, 0)
    rows = [row for row in rows if row]
    if len(head) == HEAD and len(rows) > 1:
        rows = rows[:-1]  # may be cut
    if not rows or len(rows[0]) < 2:
        return (0.0, 0)
    same = sum(len(row) == len(rows[0]) for row in rows[1:]) / max(len(rows) - 1, 1)
    return (round(same, 1), len(rows[0]))


def notes_of(encoding: str, separator: str, comments: int, name: str) -> tuple[str, ...]:
    """What is unusual about a file, for people."""
    said = []
    if encoding not in ("utf-8", "utf-8-sig"):
        odd = " (if letters are wrong: `prepare: {encoding: cp850}`, or mac_roman)" if encoding == "latin-1" else ""
        said.append(f"read as {encoding}{', each line as what it is' if ' and ' in encoding else odd}")
    if separator != ("\t" if ".tsv" in name.lower() else ","):
        said.append(f"cells separated by {separator!r}")
    if comments:
        said.append(f"{comments} lines of comments or titles passed over")
    return (f"{name}: {', '.join(said)}",) if said else ()
