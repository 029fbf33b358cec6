"""Several objectives, limits, and how the winner of a front is chosen."""

from typing import Any, Literal

from pydantic import Field

from automl.specfile.entries.basics import Strict, Word, wrong


class ObjectiveModel(Strict):
    """A metric that is optimized too; or with `at_most` or `at_least` a limit, which is kept and not optimized."""

    name: Word = Field(description="the name under which it is reported; parameters, flops, bytes, latency_ms and "
                       "latency_64_ms are measured for every described model")  # fmt: skip
    direction: Literal["minimize", "maximize"] | None = Field(None, description="required for a metric of your own")
    at_most: float | None = Field(None, description="a limit: the largest value that is allowed")
    at_least: float | None = Field(None, description="a limit: the smallest value that is allowed")


class ChooseModel(Strict):
    """Limits by which the winner is taken from the front: the best by the first metric of the trials that keep them."""

    at_most: dict[str, float] | None = Field(None, description="{name: bound}, with names of objectives")
    at_least: dict[str, float] | None = Field(None, description="{name: bound}, with names of objectives")


def listed(value: Any) -> Any:
    """`[val_error, {name: parameters}]` with each entry in its long form."""
    if not isinstance(value, list):
        raise wrong(f"needs a list of metrics, got {value!r}", "; write [val_error, {name: parameters}]")
    return [{"name": one} if isinstance(one, str) else one for one in value]


def chosen(value: Any) -> Any:
    """`knee` as None, limits as they are."""
    if value != "knee" and not isinstance(value, dict):
        raise wrong(f"needs knee or {{at_most: {{parameters: 100000}}}}, got {value!r}")
    return None if value == "knee" else value


SCHEMA = {
    "type": "array",
    "minItems": 1,
    "items": {
        "anyOf": [
            {"type": "string"},
            {
                "type": "object",
                "required": ["name"],
                "additionalProperties": False,
                "properties": {
                    "name": {"type": "string"},
                    "direction": {"enum": ["minimize", "maximize"]},
                    "at_most": {"type": "number"},
                    "at_least": {"type": "number"},
                },
            },
        ]
    },
}
"""Of `objectives`, for editors."""
_BOUNDS = {"type": "object", "additionalProperties": {"type": "number"}}
CHOOSE_SCHEMA = {
    "anyOf": [
        {"const": "knee"},
        {"type": "object", "additionalProperties": False, "properties": {"at_most": _BOUNDS, "at_least": _BOUNDS}},
    ]
}
"""Of `choose`, for editors."""
