"""Pydantic's errors in our own words: one complaint each, with path, rule and nearest valid name."""

from collections.abc import Iterator, Mapping
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from automl.errors import did_you_mean
from automl.specfile.yaml.complaint import Path

CUSTOM = "custom"  # the type of complaints that have their message already, see `grammar.wrong`
_KINDS = {
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "string_type": "a text",
    "bool_type": "true or false",
    "list_type": "a list",
    "dict_type": "a mapping {key: value}",
    "model_type": "a mapping {key: value}",
    "model_attributes_type": "a mapping {key: value}",
}
_LIMITS = {
    "greater_than": ("gt", "above"),
    "greater_than_equal": ("ge", "at least"),
    "less_than": ("lt", "below"),
    "less_than_equal": ("le", "at most"),
}


def shown(value: Any) -> str:
    """A value as the user would write it, on one line and not too long."""
    if value is None or isinstance(value, bool):
        text = {None: "null", True: "true", False: "false"}[value]
    elif isinstance(value, Mapping):
        text = "{" + ", ".join(f"{k}: {shown(v)}" for k, v in list(value.items())[:4]) + "}"
    elif isinstance(value, list | tuple):
        text = "[" + ", ".join(shown(v) for v in value[:6]) + (", ..." if len(value) > 6 else "") + "]"
    else:
        text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def explain(error: ValidationError, model: type[BaseModel]) -> Iterator[tuple[Path, str, str, bool]]:
    """Every mistake that validation found.

    Yields:
        (path below the model, message, hint, whether the complaint is about the key rather than the value).
    """
    for mistake in error.errors(include_url=False):
        path: Path = mistake["loc"]
        kind, value, context = mistake["type"], mistake["input"], mistake.get("ctx", {})
        if kind == "extra_forbidden":
            name = str(path[-1])
            yield path, "unknown key", _near(name, _names(model, path[:-1])), True
        elif kind == "missing":
            yield path[:-1], f"{path[-1]} is missing", "", True
        elif kind == CUSTOM:
            yield path, context["message"], context["hint"], False
        elif value is None:
            yield path, "has no value; give one or remove the line", "", True
        elif kind in _KINDS:
            whole = isinstance(value, float) and value.is_integer() and abs(value) < 1e18 and "int" in kind
            yield path, f"needs {_KINDS[kind]}, got {shown(value)}", f"; write {int(value)}" if whole else "", False
        elif kind in _LIMITS:
            limit, words = _LIMITS[kind]
            yield path, f"must be {words} {context[limit]:g}, got {shown(value)}", "", False
        elif kind == "literal_error":
            allowed = _literals(model, path)
            one_of = "one of " if len(allowed) > 1 else ""
            yield path, f"{shown(value)} is not {one_of}{', '.join(allowed)}", _near(value, allowed), False
        elif kind in ("too_short", "too_long"):
            yield path, _length(context, value), "", False
        else:
            yield path, f"{mistake['msg'].lower()}, got {shown(value)}", "", False


def _length(context: Mapping[str, Any], value: Any) -> str:
    low, high, got = context.get("min_length"), context.get("max_length"), len(value)
    if low is not None and got < low:
        return f"needs at least {low} value{'s' if low > 1 else ''}, got {got}"
    return f"takes at most {high} values, got {got}"


def _near(name: Any, known: list[str]) -> str:
    return did_you_mean(name, known) if isinstance(name, str) else ""


def _model_at(model: type[BaseModel], path: Path) -> type[BaseModel] | None:
    for part in path:
        field = next((f for n, f in model.model_fields.items() if part in (n, f.alias)), None)
        inner = [t for t in _types(field.annotation) if issubclass(t, BaseModel)] if field else []
        if not inner:
            return None
        model = inner[0]
    return model


def _types(annotation: Any) -> Iterator[type]:
    if isinstance(annotation, type):
        yield annotation
    for part in get_args(annotation):
        yield from _types(part)


def _names(model: type[BaseModel], path: Path) -> list[str]:
    at = _model_at(model, path)
    return [f.alias or n for n, f in at.model_fields.items()] if at else []


def _literals(model: type[BaseModel], path: Path) -> list[str]:
    path = path[:-1] if isinstance(path[-1], int) else path  # an item of a list has the words of its list
    at = _model_at(model, path[:-1])
    field = at.model_fields.get(str(path[-1])) if at else None
    return [v for v in _values(field.annotation) if isinstance(v, str)] if field else []


def _values(annotation: Any) -> Iterator[Any]:
    for part in get_args(annotation):
        if isinstance(part, str):
            yield part
        else:
            yield from _values(part)
