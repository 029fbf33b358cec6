"""In which encoding a file is written: as its byte-order mark says, else UTF-8, else another one, found line by line.

A line that is no UTF-8 is read in `prepare.encoding`, or else in Windows-1252. So how a row is read depends on its own
line alone, also where files in two encodings were joined. Python knows this way of reading as an encoding of its own.
"""

import codecs
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from functools import cache, partial
from typing import IO, Any

from automl.errors import DataError

LINES = "utf_8_or_cp1252_by_line"
"""The name of the encoding of files whose lines are UTF-8 or Windows-1252."""
FOUND = ("utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "cp1252", "latin-1")
"""Encodings that are found in each file by itself, without being named."""
_BEGINS, _ENDS = "utf_8_or_", "_by_line"
_BOMS = (
    (b"\xff\xfe\x00\x00", "utf-32"), (b"\x00\x00\xfe\xff", "utf-32"), (b"\xef\xbb\xbf", "utf-8-sig"),
    (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"),
)  # fmt: skip


def decode(raw: bytes, name: str, options: Mapping[str, Any]) -> tuple[str, str]:
    """(the text, its encoding, for people).

    Raises:
        DataError: `prepare.encoding` is not known, or does not fit.
    """
    encoding = _of_beginning(raw, _given(options))
    try:
        if encoding.endswith(_ENDS):
            text, seen = _by_line(raw, _other(encoding))
            others = [one for one in ("latin-1", *seen) if seen[one] and one != "utf-8"][:1]
            return text.lstrip("\ufeff"), " and ".join([*["utf-8"] * (not others or bool(seen["utf-8"])), *others])
        return raw.decode(encoding).lstrip("\ufeff"), encoding
    except UnicodeError as error:
        if options.get("encoding"):
            raise DataError(f"prepare.encoding: {name} is not written in {options['encoding']}") from error
    return raw.decode("latin-1"), "latin-1"


def encoding_of(
    opening: Callable[[], AbstractContextManager[IO[bytes]]], options: Mapping[str, Any], whole: bool = True
) -> str:
    """The encoding in which a file can be read, found as `decode` does, block by block.

    Args:
        opening: opens the file, as `dialects.unpacked` does.
        options: those of `prepare:`.
        whole: look at all of it, not only at its first MiB.
    """
    with opening() as file:
        first = file.read(2**20)
    encoding = _of_beginning(first, _given(options))
    try:
        decoder = codecs.getincrementaldecoder(encoding)()
        with opening() as file:
            while block := file.read(2**20):
                decoder.decode(block)
                if not whole:
                    break
        return encoding
    except UnicodeError:
        return _lines_of(_given(options)) if encoding == "utf-8" else "latin-1"


def described(encoding: str) -> str:
    """The encoding for people."""
    return _other(encoding) or "cp1252" if encoding.endswith(_ENDS) else encoding


def to_name(encoding: str) -> str | None:
    """The encoding that has to be named so that other files are read like this one; None: it is found in them."""
    name = described(encoding).rpartition(" and ")[2]
    return None if name in FOUND else name


def _given(options: Mapping[str, Any]) -> str | None:
    """Python's name of `prepare.encoding`."""
    given = options.get("encoding")
    try:
        return codecs.lookup(str(given)).name if given else None
    except LookupError as error:
        raise DataError(f"prepare.encoding: Python knows no encoding {given!r}") from error


def _of_beginning(raw: bytes, given: str | None) -> str:
    """The encoding that the beginning of a file shows."""
    if marked := [encoding for mark, encoding in _BOMS if raw.startswith(mark)]:
        return marked[0]
    head = raw[:200]
    if len(head) >= 8 and len(raw) % 2 == 0 and given is None:  # UTF-16 without a mark: every other byte is 0
        if head[1::2].count(0) > 0.8 * len(head[1::2]) and not head[0::2].count(0):
            return "utf-16-le"
        if head[0::2].count(0) > 0.8 * len(head[0::2]) and not head[1::2].count(0):
            return "utf-16-be"
    if given is not None and not _has_plain_lines(given):
        return "utf-8" if _is_utf_8(raw) else given
    return "utf-8" if (given is None or not _of_several_bytes(given)) and _is_utf_8(raw) else _lines_of(given)


def _is_utf_8(raw: bytes) -> bool:
    """Whether bytes are UTF-8; the last character may be cut off."""
    try:
        codecs.utf_8_decode(raw, "strict", len(raw) < 2**20)
    except UnicodeError:
        return False
    return True


def _lines_of(given: str | None) -> str:
    return LINES if given is None else f"{_BEGINS}{given.replace('-', '_')}{_ENDS}"


def _other(encoding: str) -> str | None:
    """The encoding of the lines that are no UTF-8; None: it was not given."""
    return None if encoding == LINES else encoding.removeprefix(_BEGINS).removesuffix(_ENDS)


@cache
def _has_plain_lines(encoding: str) -> bool:
    """Whether ends of lines are a byte of their own, and every line can be read by itself."""
    stateful = encoding.startswith(("iso2022", "utf-7", "hz"))
    try:
        return not stateful and "\n,;aZ09".encode(encoding) == b"\n,;aZ09"
    except UnicodeError:
        return False


@cache
def _of_several_bytes(encoding: str) -> bool:
    """Whether some characters have two bytes, which may look like UTF-8."""
    return len(b"\xc8\xb8".decode(encoding, "replace")) == 1


def _by_line(raw: bytes, other: str | None, errors: str = "strict") -> tuple[str, Counter[str]]:
    """(the text, how many lines beyond ASCII have each encoding)."""
    seen: Counter[str] = Counter()
    return "".join(_line(line, other, errors, seen) for line in raw.splitlines(keepends=True)), seen


def _line(line: bytes, other: str | None, errors: str, seen: Counter[str]) -> str:
    if line.isascii():
        return line.decode("ascii")
    utf_8 = line.decode() if _is_utf_8(line) else None
    if utf_8 is not None and (other is None or not _of_several_bytes(other) or max(utf_8) > "\u07ff"):
        seen["utf-8"] += 1
        return utf_8
    for encoding in (other,) if other else ("cp1252", "latin-1"):
        try:
            text = line.decode(encoding, "strict" if other is None or utf_8 is not None else errors)
        except UnicodeError:
            continue
        seen[encoding] += 1
        return text
    seen["utf-8"] += 1
    return line.decode("utf-8", errors)


class _Decoder(codecs.BufferedIncrementalDecoder):
    """Reads whole lines; a last one without an end waits."""

    def __init__(self, errors: str = "strict", other: str | None = None) -> None:
        super().__init__(errors)
        self.other = other

    def _buffer_decode(self, input: Any, errors: str, final: bool) -> tuple[str, int]:
        cut = len(input) if final else input.rfind(b"\n") + 1
        return _by_line(bytes(input[:cut]), self.other, errors)[0], cut


def _found(name: str) -> codecs.CodecInfo | None:
    """What Python is to do with a name of an encoding; None: it is none of ours."""
    if not (name.startswith(_BEGINS) and name.endswith(_ENDS)):
        return None
    other = _other(name)

    def decoded(raw: Any, errors: str = "strict") -> tuple[str, int]:
        return _by_line(bytes(raw), other, errors)[0], len(raw)

    begun = partial(_Decoder, other=other)
    return codecs.CodecInfo(codecs.utf_8_encode, decoded, incrementaldecoder=begun, name=name)


codecs.register(_found)
