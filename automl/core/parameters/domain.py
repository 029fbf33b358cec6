"""What every kind of parameter can do."""

from collections.abc import Iterable
from typing import Any, Protocol

from automl.core.parameters.values import Value, condition, plain


class Domain(Protocol):
    """The values of one parameter, and their map to the unit interval."""

    @property
    def size(self) -> float:
        """How many different values there are; infinite for a real number without a step."""
        ...

    def contains(self, value: object) -> bool:
        """Whether `value` is one of the parameter's values (True and 1 are different values)."""
        ...

    def to_unit(self, value: Any) -> float:
        """`value`, which the parameter must contain, as a number in [0, 1]."""
        ...

    def from_unit(self, u: float) -> Value:
        """The value that `u` in [0, 1] stands for; numbers outside are clipped."""
        ...

    def grid(self, resolution: int) -> list[Value]:
        """The values that a grid search tries: all steps and choices, or `resolution` evenly spaced numbers."""
        ...


def normalize(p: object, names: Iterable[str]) -> None:
    """Take numpy's numbers in the fields `names` of a parameter as Python's, and its condition in the long form."""
    for name in names:
        object.__setattr__(p, name, plain(getattr(p, name)))
    object.__setattr__(p, "when", condition(p.when))  # type: ignore[attr-defined]
