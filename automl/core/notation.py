"""How a parameter is written: as an entry of the YAML grammar, and in messages."""

from collections.abc import Mapping, Sequence, Set
from typing import Any

import numpy as np

from automl.core.parameters import Choice, Float, Int, Parameter, Value, is_number, plain, shortened
from automl.errors import SpecError, did_you_mean

KINDS = ("float", "int", "choice")
FOREIGN = {"min", "max", "low", "high", "lower", "upper", "type", "values", "distribution", "uniform", "loguniform"}
"""Keys by which other tools describe a range; they get a hint instead of being taken for names of parameters."""
FORMS = "write {float: [low, high]}, {int: [low, high]} or {choice: [a, b]}"


def is_described(item: object) -> bool:
    """Whether a plain dict describes a parameter (`{float: [0, 1]}`) rather than a group of parameters."""
    return isinstance(item, Mapping) and any(kind in item for kind in KINDS)


def parameter(item: Any) -> Parameter | Value:
    """A parameter or a constant from one entry of the YAML grammar.

    Args:
        item: `{"float": [low, high], "log": True, ...}`, `{"int": ...}`, `{"choice": [...]}`, a list (a choice), text,
            a number, true, false or None (a constant), or a parameter, which is returned as it is. A pair of numbers
            is refused: it might be a range.

    Raises:
        SpecError: which rule is broken; without the parameter's name, which the caller knows.

    Example:
        >>> parameter({"float": [1e-4, 1.0], "log": True})
        Float(low=0.0001, high=1.0, log=True, step=None, default=None, when={})
    """
    if isinstance(item, Float | Int | Choice):
        return item
    if isinstance(item, Mapping):
        return _from_dict(dict(item))
    if isinstance(item, tuple) and len(item) == 2 and all(is_number(plain(v)) for v in item):
        low, high = sorted(plain(v) for v in item)
        raise SpecError(
            f"({item[0]!r}, {item[1]!r}) could be a range or a choice; did you mean Float({low!r}, {high!r})? "
            f"A whole number is Int(low, high), a choice of the two is the list [{item[0]!r}, {item[1]!r}]"
        )
    if isinstance(item, range | np.ndarray) and np.ndim(item):
        return Choice(tuple(plain(v) for v in item))
    if isinstance(item, Sequence) and not isinstance(item, str | bytes):
        return Choice(tuple(item))
    value = plain(item)
    if isinstance(value, Set):
        listed = sorted(value, key=repr)
        raise SpecError(f"cannot be a {type(item).__name__}, which has no order; write a list: {listed}")
    if not isinstance(value, str | int | float | bool | None):
        raise SpecError(f"cannot be a {type(item).__name__}; a constant is text, a number, true, false or null")
    return value


def _from_dict(item: dict[str, Any]) -> Parameter:
    kinds = [kind for kind in KINDS if kind in item]
    if len(kinds) != 1:
        raise SpecError(f"needs exactly one of {', '.join(KINDS)}")
    content = item.pop(kinds[0])
    allowed = {"default", "when", "ordered", "tuples"} if kinds[0] == "choice" else {"default", "when", "log", "step"}
    for key in item:
        if key not in allowed:
            raise SpecError(f"{kinds[0]} has no option {key!r}{did_you_mean(key, allowed)}")
    if kinds[0] == "choice":
        if item.pop("tuples", False) and isinstance(content, Sequence):
            content = [tuple(value) if isinstance(value, list) else value for value in content]
        return Choice(content, **item)
    if not isinstance(content, Sequence) or isinstance(content, str) or len(content) != 2:
        raise SpecError(f"{kinds[0]} takes [low, high], got {content!r}")
    return (Float if kinds[0] == "float" else Int)(content[0], content[1], **item)


def written(p: Parameter) -> Any:
    """The entry that `parameter` reads back as `p`: a plain dict, or a list for a choice without options."""
    extras: dict[str, Any] = {}
    if isinstance(p, Choice):
        if p.ordered:
            extras["ordered"] = True
        if p.tuples:
            extras["tuples"] = True
    else:
        if p.log:
            extras["log"] = True
        if _has_step(p):
            extras["step"] = p.step
    if p.has_default:
        extras["default"] = p.default
    if p.when:
        extras["when"] = {
            k: v[0] if len(v) == 1 and not isinstance(v[0], list | tuple) else list(v) for k, v in p.when.items()
        }
    if isinstance(p, Choice):
        return {"choice": list(p.choices), **extras} if extras else list(p.choices)
    return {type(p).__name__.lower(): [p.low, p.high], **extras}


def describe(p: Parameter) -> str:
    """The parameter in a message or in `print(space)`: `float [0.1, 1.0] log`."""
    if isinstance(p, Choice):
        return f"{'ordered' if p.ordered else 'one of'} {shortened(p.choices)}"
    step = f" step {p.step}" if _has_step(p) else ""
    return f"{type(p).__name__.lower()} [{p.low}, {p.high}]{' log' if p.log else ''}{step}"


def _has_step(p: Float | Int) -> bool:
    return p.step is not None and not (isinstance(p, Int) and p.step == 1)
