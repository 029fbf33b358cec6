"""Choices: one of several values."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from automl.core.parameters.domain import Domain, normalize
from automl.core.parameters.values import (
    NO_DEFAULT,
    NoDefault,
    Value,
    When,
    copied,
    identity,
    is_value,
    shortened,
    values_of,
)
from automl.errors import SpecError


@dataclass(frozen=True)
class Choice(Domain):
    """One of several values.

    Args:
        choices: text, numbers, True, False, None, or lists and tuples of these (sizes of layers, betas).
        ordered: neighbours behave alike (32, 64, 128): models treat the choice as a number.
        default: the value to try first, if the study tries defaults. None is one only where it is among the choices.
        when: {other parameter: its values} under which this parameter exists at all.

    Raises:
        SpecError: no values, a value twice, a value of another type, or a default that is not among them.

    Example:
        automl.Choice(("relu", "gelu", "silu"))
        automl.Choice([(64,), (64, 64), (256, 64)])
    """

    choices: tuple[Value, ...]
    ordered: bool = False
    default: Value | NoDefault = NO_DEFAULT
    when: When = field(default_factory=dict)

    def __post_init__(self) -> None:
        normalize(self, ("default",))
        if isinstance(self.choices, str | Mapping) or not isinstance(self.choices, Iterable):
            raise SpecError(f"choice takes a list of values, got {self.choices!r}")
        if not isinstance(self.ordered, bool):
            raise SpecError(f"ordered takes true or false, got {self.ordered!r}")
        object.__setattr__(self, "choices", values_of(self.choices))
        if not self.choices:
            raise SpecError("a choice needs at least one value")
        if len(self._index) < len(self.choices):
            counted = Counter(identity(value) for value in self.choices)
            twice = next(value for value in self.choices if counted[identity(value)] > 1)
            raise SpecError(f"a choice names a value twice ({twice!r}): {shortened(self.choices)}")
        if self.default is None and not self.contains(None):
            object.__setattr__(self, "default", NO_DEFAULT)
        if self.has_default:
            if not self.contains(self.default):
                raise SpecError(f"default {self.default!r} is not among {shortened(self.choices)}")
            object.__setattr__(self, "default", self.choices[self._index[identity(self.default)]])

    @property
    def has_default(self) -> bool:
        """Whether there is a value to try first."""
        return self.default is not NO_DEFAULT

    @cached_property
    def tuples(self) -> bool:
        """Whether values that hold several are tuples; else they are lists."""
        return any(isinstance(value, tuple) for value in self.choices)

    @cached_property
    def has_items(self) -> bool:
        """Whether some values are lists or tuples."""
        return any(isinstance(value, list | tuple) for value in self.choices)

    def given(self, value: Value) -> Value:
        """The choice that equals `value`, as the user gave it: JSON knows no tuples."""
        return copied(self.choices[self._index[identity(value)]])

    @cached_property
    def _index(self) -> dict[tuple[str, object], int]:
        return {identity(value): k for k, value in enumerate(self.choices)}

    @property
    def size(self) -> float:
        return len(self.choices)

    def contains(self, value: object) -> bool:
        try:
            return is_value(value) and identity(value) in self._index
        except (TypeError, RecursionError):  # a list of something that no choice can hold
            return False

    def to_unit(self, value: Any) -> float:
        """As for all parameters; NaN, as if inactive, where a narrowed choice has the value no more."""
        at = self._index.get(identity(value))
        return math.nan if at is None else (at + 0.5) / len(self.choices)

    def from_unit(self, u: float) -> Value:
        return copied(self.choices[min(max(int(u * len(self.choices)), 0), len(self.choices) - 1)])

    def grid(self, resolution: int) -> list[Value]:
        return [copied(value) for value in self.choices]
