"""What all entries of `space.yaml` are made of: strict mappings, values and texts, and our own complaints."""

from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, WithJsonSchema
from pydantic_core import PydanticCustomError

from automl.specfile.yaml.explain import CUSTOM


def wrong(message: str, hint: str = "") -> PydanticCustomError:
    """A validation error with our own message; braces in `message` are safe."""
    return PydanticCustomError(CUSTOM, "{message}", {"message": message, "hint": hint})


def _scalar(value: Any) -> Any:
    if not isinstance(value, str | int | float | bool | None):
        kind = "a mapping" if isinstance(value, dict) else "a list"
        raise wrong(f"needs text, a number, true, false or null, got {kind}")
    return value


def _item(value: Any) -> Any:
    if isinstance(value, list):
        return [_item(one) for one in value]
    return _scalar(value)


def _word(value: Any) -> Any:
    if isinstance(value, str) and not value.strip():
        raise wrong("needs a text, got an empty one")
    return value


def _words(value: Any) -> Any:
    """A text, or a list of different ones; a list of one is that text."""
    if not isinstance(value, list):
        return _word(value)
    for name in value:
        if not isinstance(name, str) or not name.strip():
            raise wrong(f"needs texts, got {name!r}")
        if value.count(name) > 1:
            raise wrong(f"{name!r} is named twice")
    if not value:
        raise wrong("needs at least one name, got an empty list")
    return value[0] if len(value) == 1 else value


Scalar = Annotated[Any, BeforeValidator(_scalar), WithJsonSchema({"type": ["string", "number", "boolean", "null"]})]
Item = Annotated[
    Any, BeforeValidator(_item), WithJsonSchema({"type": ["string", "number", "boolean", "null", "array"]})
]
Word = Annotated[str, BeforeValidator(_word)]
Words = Annotated[
    str | list[str],
    BeforeValidator(_words),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}, "minItems": 1}]}),
]


class Strict(BaseModel):
    """A mapping with these keys only; values are not converted to other types."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False, populate_by_name=True)
