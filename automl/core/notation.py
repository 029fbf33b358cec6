"""How a parameter is written: as an entry of the YAML grammar, and in messages."""

from collections.abc import Mapping, Sequence
from typing import Any

from automl.core.parameters import Choice, Float, Int, Parameter, Value, When, plain
from automl.errors import SpecError, did_you_mean

KINDS = ("float", "int", "choice")


def is_described(item: object) -> bool:
    """Whether a plain dict describes a parameter (`{float: [0, 1]}`) rather than a group of parameters."""
    return isinstance(item, Mapping) and any(kind in item for kind in KINDS)


def parameter(item: Any) -> Parameter | Value:
    """A parameter or a constant from one entry of the YAML grammar.

    Args:
        item: `{"float": [low, high], "log": True, ...}`, `{"int": ...}`, `{"choice": [...]}`, a list (a choice), text,
            a number, true, false or None (a constant), or a parameter, which is returned as it is.

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
    if isinstance(item, Sequence) and not isinstance(item, str):
        return Choice(tuple(plain(v) for v in item))
    value = plain(item)
    if not isinstance(value, str | int | float | bool | None):
        raise SpecError(f"cannot be a {type(item).__name__}; a constant is text, a number, true, false or null")
    return value


def _from_dict(item: dict[str, Any]) -> Parameter:
    kinds = [kind for kind in KINDS if kind in item]
    if len(kinds) != 1:
        raise SpecError(f"needs exactly one of {', '.join(KINDS)}")
    content = item.pop(kinds[0])
    allowed = {"default", "when", "ordered"} if kinds[0] == "choice" else {"default", "when", "log", "step"}
    for key in item:
        if key not in allowed:
            raise SpecError(f"{kinds[0]} has no option {key!r}{did_you_mean(key, allowed)}")
    if "when" in item:
        item["when"] = _condition(item["when"])
    if kinds[0] == "choice":
        return Choice(content, **item)
    if not isinstance(content, Sequence) or isinstance(content, str) or len(content) != 2:
        raise SpecError(f"{kinds[0]} takes [low, high], got {content!r}")
    return (Float if kinds[0] == "float" else Int)(content[0], content[1], **item)


def _condition(when: Any) -> When:
    if not isinstance(when, Mapping):
        raise SpecError(f"when takes {{parameter: value}}, got {when!r}")
    return {str(k): tuple(v) if isinstance(v, list | tuple) else (v,) for k, v in when.items()}


def written(p: Parameter) -> Any:
    """The entry that `parameter` reads back as `p`: a plain dict, or a list for a choice without options."""
    extras: dict[str, Any] = {}
    if isinstance(p, Choice):
        if p.ordered:
            extras["ordered"] = True
    else:
        if p.log:
            extras["log"] = True
        if _has_step(p):
            extras["step"] = p.step
    if p.default is not None:
        extras["default"] = p.default
    if p.when:
        extras["when"] = {k: list(v) if len(v) > 1 else v[0] for k, v in p.when.items()}
    if isinstance(p, Choice):
        return {"choice": list(p.choices), **extras} if extras else list(p.choices)
    return {type(p).__name__.lower(): [p.low, p.high], **extras}


def describe(p: Parameter) -> str:
    """The parameter in a message or in `print(space)`: `float [0.1, 1.0] log`."""
    if isinstance(p, Choice):
        return f"{'ordered' if p.ordered else 'one of'} {list(p.choices)}"
    step = f" step {p.step}" if _has_step(p) else ""
    return f"{type(p).__name__.lower()} [{p.low}, {p.high}]{' log' if p.log else ''}{step}"


def _has_step(p: Float | Int) -> bool:
    return p.step is not None and not (isinstance(p, Int) and p.step == 1)
