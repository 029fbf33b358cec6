"""How a row's letters are read never depends on the other rows of its file, whatever encodings are in it."""

import io
from contextlib import closing
from pathlib import Path

import pytest

from automl.data.reading import encodings
from automl.data.reading.many.table import Table
from automl.data.reading.readers import read_table
from automl.errors import DataError

CITIES = ["Z\u00fcrich", "Bern", "Gen\u00e8ve", "K\u00f6ln \u201ealt\u201c 5 \u20ac", "\u0141\u00f3d\u017a", "Oslo"]


def file_of(lines: list[bytes]) -> bytes:
    return b"\n".join([b"city,a", *lines]) + b"\n"


MIXED = [
    *(f"{city},1".encode("cp1252") for city in CITIES if city != "\u0141\u00f3d\u017a"),
    *(f"{city},2".encode() for city in CITIES),
    b"no letter of cp1252: \x81,3",
]


@pytest.mark.catalogue(
    44, "a table with lines in several encodings", "each line is read as what it is, and it is told", 0
)
def test_each_line_is_read_as_what_it_is(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes(file_of(MIXED))
    whole = read_table(tmp_path / "t.csv")
    assert list(whole["city"]) == [*(c for c in CITIES if ord(c[0]) < 256), *CITIES, "no letter of cp1252: \x81"]
    for k, line in enumerate(MIXED):
        (tmp_path / "one.csv").write_bytes(file_of([line]))
        assert list(read_table(tmp_path / "one.csv")["city"]) == [whole["city"][k]]


def test_a_table_on_disk_is_read_alike(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes(file_of(MIXED))
    table = Table.of(tmp_path / "t.csv")
    read = [cell for frame in table.chunks(4) for cell in frame["city"]]
    assert read == list(read_table(tmp_path / "t.csv")["city"])


@pytest.mark.parametrize(
    ("raw", "encoding"),
    [
        ("Z\u00fcrich\n".encode(), "utf-8"),
        ("Z\u00fcrich\n".encode("cp1252"), "cp1252"),
        ("Z\u00fcrich\n".encode() + "Z\u00fcrich\n".encode("cp1252"), "utf-8 and cp1252"),
        (b"\x81\n", "latin-1"),
        ("Z\u00fcrich\n".encode("utf-16"), "utf-16"),
        (b"plain\n", "utf-8"),
    ],
)
def test_the_encoding_is_told(raw: bytes, encoding: str) -> None:
    assert encodings.decode(raw, "t.csv", {})[1] == encoding


@pytest.mark.parametrize("given", ["cp850", "cp1250", "cp1251", "shift_jis", "gbk", "koi8-r", "mac_roman"])
def test_an_encoding_that_was_named_is_for_lines_that_are_no_utf_8(given: str) -> None:
    word = {"cp1250": "\u0142\u00f3d\u017a", "shift_jis": "\u65e5\u672c", "gbk": "\u8054\u901a"}.get(given, "")
    word = word or ("\u0451\u0436" if given in ("cp1251", "koi8-r") else "\u00fc\u00df")
    for lines in ([given], ["utf-8"], [given, "utf-8"], ["utf-8", given, given]):
        raw = b"".join(f"{word},1\n".encode(encoding) for encoding in lines)
        text, encoding = encodings.decode(raw, "t.csv", {"encoding": given})
        assert text == f"{word},1\n" * len(lines)
        assert given == "utf-8" or lines == ["utf-8"] or encodings.to_name(encoding) is not None


def test_two_bytes_of_chinese_that_look_like_utf_8_are_read_as_was_said() -> None:
    raw = "\u951a\u8def".encode("gbk")
    assert raw.decode() == "\u00ea\u00b7"
    assert encodings.decode(raw, "t.csv", {"encoding": "gbk"}) == ("\u951a\u8def", "gbk")


def test_what_is_in_neither_encoding_is_told() -> None:
    with pytest.raises(DataError, match=r"prepare\.encoding: t\.csv is not written in ascii"):
        encodings.decode(b"a\n\xff\n", "t.csv", {"encoding": "ascii"})


@pytest.mark.parametrize("size", [1, 7, 64])
def test_pieces_of_a_file_give_the_same_text(size: int) -> None:
    raw = file_of(MIXED)
    assert encodings.encoding_of(lambda: closing(io.BytesIO(raw)), {}) == encodings.LINES
    stream = io.TextIOWrapper(io.BufferedReader(io.BytesIO(raw), size), encoding=encodings.LINES, newline="")
    assert "".join(iter(lambda: stream.read(size), "")) == encodings.decode(raw, "t.csv", {})[0]
