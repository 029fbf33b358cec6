"""`top --where 'lr<1e-3' --sort -width`: select and order rows by plain comparisons; no text is run as code."""

import re
from collections.abc import Callable, Sequence
from operator import eq, ge, gt, le, lt, ne
from typing import Any

from automl.errors import SpecError, did_you_mean
from automl.leaderboard.board import Leaderboard
from automl.leaderboard.rows import Row

OPERATORS: dict[str, Callable[[Any, Any], bool]] = {"<=": le, ">=": ge, "==": eq, "!=": ne, "<": lt, ">": gt, "=": eq}
CONDITION = re.compile(r"\s*([^<>=!\s]+)\s*(<=|>=|==|!=|<|>|=)\s*(.*?)\s*")
FIELDS: dict[str, Callable[[Row], Any]] = {
    "trial": lambda r: r.trial,
    "state": lambda r: r.state,
    "value": lambda r: r.value,
    "step": lambda r: r.step,
    "seconds": lambda r: r.seconds,
    "rank": lambda r: r.rank,
}


def where(board: Leaderboard, conditions: Sequence[str]) -> Callable[[Row], bool]:
    """A test for rows that fulfil all `conditions`, each `NAME OPERATOR VALUE`.

    Raises:
        SpecError: a condition is not of that form, or names no column.
    """
    tests = [_condition(board, text) for text in conditions]
    return lambda row: all(test(row) for test in tests)


def sort_key(board: Leaderboard, name: str) -> Callable[[Row], tuple[bool, str, Any]]:
    """A key for `sorted`; rows without a value come last. A `name` that begins with `-` orders numbers descending.

    Raises:
        SpecError: there is no such column.
    """
    get = _getter(board, name.removeprefix("-"))
    sign = -1 if name.startswith("-") else 1

    def key(row: Row) -> tuple[bool, str, Any]:
        value = get(row)
        if isinstance(value, bool | int | float):
            return False, "", sign * value
        return value is None, type(value).__name__, str(value)

    return key


def _condition(board: Leaderboard, text: str) -> Callable[[Row], bool]:
    match = CONDITION.fullmatch(text)
    if not match or not match[3]:
        raise SpecError(f"--where {text!r}: expected NAME OPERATOR VALUE, e.g. 'lr<1e-3' or 'state=done'")
    get, compare, wanted = _getter(board, match[1]), OPERATORS[match[2]], _value(match[3])

    def test(row: Row) -> bool:
        value = get(row)
        if value is None and wanted is not None:
            return False
        numbers = isinstance(value, int | float) and isinstance(wanted, int | float)
        if not numbers and compare not in (eq, ne):
            return False
        return compare(value, wanted) if numbers else compare(_text(value), _text(wanted))

    return test


def _getter(board: Leaderboard, name: str) -> Callable[[Row], Any]:
    names = {key for row in board.rows for key in row.config} | set(board.columns)
    if name in names:
        return lambda row: row.config.get(name)
    if name == board.metric.name:
        return FIELDS["value"]
    if name not in FIELDS:
        known = [*sorted(names), board.metric.name, *FIELDS]
        raise SpecError(f"no column {name!r}{did_you_mean(name, known)} (columns: {', '.join(known)})")
    return FIELDS[name]


def _value(text: str) -> Any:
    text = text.strip("'\"")
    if text in ("true", "false", "null"):
        return {"true": True, "false": False, "null": None}[text]
    try:
        return float(text)
    except ValueError:
        return text


def _text(value: Any) -> str:
    return {True: "true", False: "false", None: "null"}.get(value, str(value)) if not isinstance(value, str) else value
