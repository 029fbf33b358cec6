import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from automl.leaderboard import words


@given(st.text())
def test_clean_text_has_one_line_and_no_control_characters(text):
    cleaned = words.clean(text)
    assert not any(unicodedata.category(c) in ("Cc", "Cf", "Zl", "Zp") for c in cleaned)
    assert len(cleaned.splitlines()) <= 1


def test_clean_keeps_what_is_readable():
    assert words.clean("größe 空 é\tx\ny") == "größe 空 é x y"
    assert words.clean("\x1b[31mred\x1b[0m") == "[31mred[0m"
    assert words.clean("\u202eevil") == "evil"


@given(st.text(), st.integers(0, 40), st.booleans())
def test_pad_gives_exactly_the_cells_asked_for(text, width, right):
    assert words.cells(words.pad(words.clean(text), width, right=right)) == width


def test_fit_marks_what_was_cut():
    assert words.fit("abcdef", 4) == "abc…"
    assert words.fit("abcdef", 4, cut="~") == "abc~"
    assert words.fit("abc", 3) == "abc"
    assert words.cells(words.fit("空空空", 4)) <= 4


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.98712, "0.9871"),
        (None, "-"),
        (0.0, "0.0000"),
        (-0.5, "-0.5000"),
        (12345.678, "1.235e4"),
        (123.456, "123.5"),
        (2e-9, "2e-9"),
        (float("nan"), "nan"),
        (float("-inf"), "-inf"),
    ],
)
def test_number(value, text):
    assert words.number(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0021, "2.1e-3"),
        (256, "256"),
        (0.114, "0.114"),
        (True, "true"),
        (None, "null"),
        ("a\nb", "a b"),
        (1e-4, "1e-4"),
        (0.0, "0"),
    ],
)
def test_short(value, text):
    assert words.short(value) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.04, "0.0s"),
        (9.94, "9.9s"),
        (9.96, "10s"),
        (59.6, "1m00s"),
        (62, "1m02s"),
        (3600, "1h00m"),
        (187200, "2d04h"),
        (None, "-"),
    ],
)
def test_duration(seconds, text):
    assert words.duration(seconds) == text


@pytest.mark.parametrize(
    ("low", "high", "text"),
    [(480, 660, "8-11 min"), (3, 3.2, "3 s"), (10, 80, "10-80 s"), (7200, 10800, "2.0-3.0 h"), (0, 0, "0 s")],
)
def test_span(low, high, text):
    assert words.span(low, high) == text


def test_ordinals_and_plurals():
    assert [words.ordinal(n) for n in (1, 2, 3, 4, 11, 12, 13, 21, 112)] == [
        "1st", "2nd", "3rd", "4th", "11th", "12th", "13th", "21st", "112th",
    ]  # fmt: skip
    assert words.plural(1, "trial") == "1 trial"
    assert words.plural(1234, "trial") == "1,234 trials"


def test_config_puts_the_named_values_first():
    assert words.config({"a": 1, "b": 0.25}, ("b",)) == "b 0.25  a 1"
    assert words.config({"a": 1}, equals="=") == "a=1"


@pytest.mark.parametrize(
    ("count", "said"), [(0, "0 B"), (812, "812 B"), (3400, "3.4 kB"), (56_700_000, "57 MB"), (12e12, "12000 GB")]
)
def test_size(count: float, said: str) -> None:
    assert words.size(count) == said
