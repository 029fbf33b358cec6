"""Values of parameters: which there are, when two are the same, and what users may write for them."""

import math
from collections.abc import Iterable, Mapping, Sequence, Set
from enum import Enum
from typing import Any

import numpy as np

from automl.errors import SpecError

Value = str | int | float | bool | None | list[Any] | tuple[Any, ...]
Config = dict[str, Value]
When = Mapping[str, Sequence[Value]]
MOST_NESTED = 8
"""How deep lists of a choice may lie in one another."""


class NoDefault(Enum):
    """The default of a choice that has none. None may be one of its values, and the default."""

    NO_DEFAULT = "no default"

    def __repr__(self) -> str:
        return self.name


NO_DEFAULT = NoDefault.NO_DEFAULT


def identity(value: object) -> tuple[str, object]:
    """A hashable key that differs for 1, True and "1", as in JSON (1 and 1.0, [1] and (1,) are the same value)."""
    if isinstance(value, list | tuple):
        return "items", tuple(identity(item) for item in value)
    kind = "number" if isinstance(value, int | float) and not isinstance(value, bool) else type(value).__name__
    return kind, value


def config_key(config: Mapping[str, Value]) -> tuple[object, ...]:
    """A hashable key, equal for equal configs whatever the order of their names."""
    return tuple((name, *identity(config[name])) for name in sorted(config))


def plain(value: object) -> Any:
    """A numpy scalar, or an array without dimensions, as the Python value it stands for; anything else unchanged.

    A float of 16 or 32 bits is the shortest decimal number that it stands for: float32(0.1) is 0.1.
    """
    if not isinstance(value, np.generic) and not (isinstance(value, np.ndarray) and value.ndim == 0):
        return value
    item = value.item()
    return float(str(np.asarray(value)[()])) if isinstance(item, float) and value.itemsize < 8 else item


def is_number(value: object) -> bool:
    """Whether `value` is a finite number; True and False are not."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def is_value(value: object) -> bool:
    """Whether `value` is of a kind that a parameter can have."""
    return isinstance(value, str | int | float | bool | list | tuple | None)


def values_of(choices: Iterable[object]) -> tuple[Value, ...]:
    """The values of a choice, as plain Python values.

    Values that are lists or tuples (hidden layers, betas) are all tuples if one of them is, else all lists.

    Raises:
        SpecError: a value is of another kind.
    """
    given = [plain(value) for value in choices]
    as_tuples = any(isinstance(value, tuple) for value in given)
    return tuple(_checked(value, tuple if as_tuples else list, 0) for value in given)


def _checked(value: Any, items: type, depth: int) -> Value:
    value = plain(value)
    if isinstance(value, list | tuple):
        if depth >= MOST_NESTED:
            raise SpecError(f"lists in a choice can be {MOST_NESTED} deep, not more")
        inner: Value = items(_checked(item, items, depth + 1) for item in value)
        return inner
    if isinstance(value, float) and not math.isfinite(value):
        raise SpecError(f"a choice cannot hold {value}")
    if not isinstance(value, str | int | float | bool | None):
        raise SpecError(
            f"a choice holds text, numbers, true, false, null and lists of these, not {type(value).__name__}; "
            "for anything else, choose among names and look the name up in your program"
        )
    return value


def copied(value: Value) -> Value:
    """`value`, or a copy of it where it could be changed (a list)."""
    return [copied(item) for item in value] if isinstance(value, list) else value


def shortened(values: Sequence[Value], most: int = 12) -> str:
    """A list of values in a message; of many, the first ones and how many there are."""
    if len(values) <= most:
        return str(list(values))
    return f"[{', '.join(map(repr, values[: most - 2]))}, ... {len(values):,} values]"


def condition(when: object) -> When:
    """What a user writes as `when`, with a tuple of values for each parent.

    Example:
        condition({"optimizer": "sgd", "depth": [1, 2]})  # {"optimizer": ("sgd",), "depth": (1, 2)}

    Raises:
        SpecError: it is no mapping from names to values.
    """
    if when is None:
        return {}
    if not isinstance(when, Mapping):
        raise SpecError(f"when takes {{parameter: value}}, got {when!r}")
    return {str(name): _alternatives(values) for name, values in when.items()}


def _alternatives(values: Any) -> tuple[Value, ...]:
    if isinstance(values, Set):
        values = sorted(values, key=repr)  # the order of a set differs between processes
    values = values.tolist() if isinstance(values, np.ndarray) else values
    if isinstance(values, str | Mapping) or not isinstance(values, Iterable):
        return (plain(values),)
    return tuple(plain(value) for value in values)
