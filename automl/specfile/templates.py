"""Arguments of a command with `{name}` in them: checked when the spec is read, filled in for each trial.

    --lr={lr}            the value
    --lr={lr:.3e}        formatted as Python does it
    {amp?--amp}          the argument `--amp` where `amp` is true, else nothing
    --amp={amp:on|off}   one of two words, for true and for false (0 and none count as false)
    --x={x:json}         as JSON writes it: true, false, null, "text"

An argument that names an inactive parameter is left out. `{{` and `}}` stand for braces.
"""

import json
import re
import string
from collections.abc import Iterator, Mapping
from typing import Any

from automl.errors import SpecError

FLAG = re.compile(r"\{(\w+)\?([^{}]*)\}")
MOST_WIDTH = 1000  # characters that a format may ask for
LONGEST = 100_000  # characters of an argument that was filled in


def names_in(argument: str) -> set[str]:
    """The parameters that an argument names.

    Raises:
        SpecError: the braces do not fit together, or a format is not allowed.
    """
    if flag := FLAG.fullmatch(argument):
        return {flag[1]}
    return {name for name, _ in _fields(argument)}


def fill(argument: str, values: Mapping[str, Any]) -> str | None:
    """The argument with the values in it.

    Args:
        argument: see above.
        values: {name: value} of the active parameters.

    Returns:
        The text; None where the argument is left out.

    Raises:
        SpecError: a value cannot be written in the given format.

    Example:
        fill("--lr={lr:.1e}", {"lr": 0.01})  # "--lr=1.0e-02"
    """
    if flag := FLAG.fullmatch(argument):
        return flag[2] if values.get(flag[1]) else None
    if any(name not in values for name, _ in _fields(argument)):
        return None
    text = _Formatter().vformat(argument, (), values)
    if len(text) > LONGEST:
        raise SpecError(f"{argument}: more than {LONGEST:,} characters once it is filled in")
    return text


def _fields(argument: str) -> Iterator[tuple[str, str]]:
    """(name, format) of every `{...}`, checked."""
    try:
        parts = list(string.Formatter().parse(argument))
    except ValueError as error:
        raise SpecError(f"{argument}: {error}; write {{{{ and }}}} for braces") from None
    for _, name, form, conversion in parts:
        if name is None:
            continue
        if not re.fullmatch(r"\w+", name) or conversion:
            raise SpecError(f"{argument}: only names stand in braces, as in {{lr}} or {{lr:.3e}}, got {{{name}}}")
        wide = "{" in (form or "") or any(int(digits) > MOST_WIDTH for digits in re.findall(r"\d+", form or ""))
        if wide and form != "json" and "|" not in (form or ""):
            raise SpecError(f"{argument}: a format may ask for {MOST_WIDTH} characters at most, got {form!r}")
        yield name, form or ""


class _Formatter(string.Formatter):
    """Python's format, with `json` and `yes|no` beside it."""

    def format_field(self, value: Any, format_spec: str) -> str:
        if format_spec == "json":
            return json.dumps(value)
        if "|" in format_spec:
            yes, _, no = format_spec.partition("|")
            return yes if value else no
        try:
            return format(value, format_spec) if format_spec else str(value)
        except (ValueError, TypeError, OverflowError) as error:
            raise SpecError(f"{value!r} cannot be written as {{:{format_spec}}}: {error}") from None
