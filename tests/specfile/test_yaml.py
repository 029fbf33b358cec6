"""The loader: YAML 1.2 scalars, exact places, and files that mean harm."""

import time

import pytest

from automl import specfile
from automl.errors import SpecError
from automl.specfile.yaml.events import MAX_BYTES, load


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 0.001), ("1E5", 1e5), ("-.5", -0.5), ("1.", 1.0), ("5e-4", 5e-4), ("+3", 3), ("010", 10),
        ("0o17", 15), ("0x1f", 31), ("true", True), ("False", False), ("null", None), ("~", None), ("", None),
        ("no", "no"), ("on", "on"), ("off", "off"), ("yes", "yes"), ("y", "y"), ("12:30", "12:30"), ("1_000", "1_000"),
        ("190:20:30", "190:20:30"), ("2024-01-01", "2024-01-01"), ("none", "none"), ("0b11", "0b11"), ("1e", "1e"),
        ("'1e-3'", "1e-3"), ('"true"', "true"), ("1.2.3", "1.2.3"), ("=", "="), ("9223372036854775808", 2**63),
    ],
)  # fmt: skip
def test_scalars_are_yaml_1_2(text: str, value: object) -> None:
    document = load(f"a: {text}\n", "f")
    assert not document.complaints
    assert document.value == {"a": value}
    assert type(document.value["a"]) is type(value)


def test_places_of_keys_and_values() -> None:
    document = load("a:\n  b: [1, {c: é}]\n", "f")
    place = document.source.place
    assert place(document.keys[("a", "b")]) == (2, 3)
    assert place(document.values[("a", "b")]) == (2, 6)
    assert place(document.values[("a", "b", 0)]) == (2, 7)
    assert place(document.keys[("a", "b", 1, "c")]) == (2, 11)
    assert place(document.values[("a", "b", 1, "c")]) == (2, 14)


@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
def test_lines_are_counted_for_every_line_end(line_end: str) -> None:
    document = load(line_end.join(["a: 1", "", "b: &x 2", ""]), "f")
    assert (document.complaints[0].line, document.complaints[0].column) == (3, 4)


def test_unicode_line_separators_do_not_move_the_place() -> None:
    assert load('a: "x\u00a0y"\nb: &x 2\n', "f").complaints[0].line == 2
    assert "U+2028" in str(load("a: x\u2028y\n", "f").complaints[0])


def test_a_byte_order_mark_is_no_part_of_the_file() -> None:
    document = load(b"\xef\xbb\xbfa: 1\n", "f")
    assert document.value == {"a": 1}
    assert load("\ufeffa: &x 1\n", "f").complaints[0].column == 4


def test_the_first_of_two_equal_keys_stays_and_both_are_told() -> None:
    document = load("a: 1\na: 2\n", "f")
    assert document.value == {"a": 1}
    assert str(document.complaints[0]) == "f:2:1: a: the key appears twice (first in line 1)"


MERGES = "a: &a {x: 1}\n" + "".join(f"b{k}: &b{k} {{<<: [*a, *a, *a, *a]}}\n" for k in range(9))
HOSTILE = {
    "brackets": "[" * 100_000,
    "braces": "{" * 100_000,
    "dashes": "- " * 100_000,
    "questions": "? " * 50_000,
    "deep flow": "a: " + "[" * 40 + "]" * 40,
    "merge bomb": MERGES,
    "alias bomb": "a: &a [x, x]\n" + "".join(f"b{k}: [*a, *a, *a]\n" for k in range(999)),
    "huge int": "a: " + "9" * 200_000,
    "10,000 digits": "a: " + "9" * 10_000,
    "10,000 hex digits": "a: 0x" + "f" * 10_000,
    "huge exponent": "a: 1e" + "9" * 5_000,
    "long scalar": "a: '" + "x" * 100_000 + "'",
    "long words": "a " * 100_000,
    "many values": "a: [" + "1," * 20_000 + "]",
    "many keys": "\n".join(f"k{k}: 1" for k in range(6_000)),
    "too large": "#" * (MAX_BYTES + 1),
    "NUL": "a: \x00",
    "UTF-16": "a: 1".encode("utf-16"),
    "latin-1": "a: é".encode("latin-1"),
    "lone surrogate": "a: \ud800",
    "tabs": "\ta:\n\t\tb: 1",
    "empty": "",
    "blank": " \n \n",
    "BOM alone": b"\xef\xbb\xbf",
    "tag": "!!python/object/apply:os.system ['true']",
    "int tag": "a: !!int abc",
    "timestamp tag": "a: !!timestamp abc",
    "binary": bytes(range(256)),
    "anchors": "\n".join(f"k{k}: &k{k} 1" for k in range(2_000)),
    "quotes": "'" * 100_001,
    "percent": "%" * 1000,
    "many comments": "# x\n" * 60_000,
    "block": "a: |\n" + "  x\n" * 50_000,
    "wide block": "a: |9\n x",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_files_get_one_clear_error_soon(name: str) -> None:
    started = time.process_time()
    with pytest.raises(SpecError) as caught:
        specfile.parse(HOSTILE[name], "space.yaml")
    assert time.process_time() - started < 2
    assert str(caught.value).startswith("space.yaml:")
    assert len(str(caught.value)) < 20_000
