"""One parameter of a space: a range or a choice, and its map to the unit interval.

Logarithmic ranges are uniform in the logarithm. Whole numbers, steps and choices divide the unit interval into equal
cells: every point of a cell stands for the cell's value, and a value is encoded as the middle of its cell.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Protocol

import numpy as np

from automl.errors import SpecError

Value = str | int | float | bool | None
Config = dict[str, Value]
When = Mapping[str, Sequence[Value]]

DIGITS = 10  # significant digits of a float parameter: enough for training, few enough to survive encode/decode
LARGEST = 1e300  # ends of a range beyond this would overflow
MANY_STEPS = 10_000  # a grid holds all steps of a stepped range up to so many; of more, evenly spaced ones


def identity(value: object) -> tuple[str, object]:
    """A hashable key that differs for 1, True and "1", as in JSON (1 and 1.0 are the same number)."""
    kind = "number" if isinstance(value, int | float) and not isinstance(value, bool) else type(value).__name__
    return kind, value


def config_key(config: Mapping[str, Value]) -> tuple[object, ...]:
    """A hashable key, equal for equal configs whatever the order of their names."""
    return tuple((name, *identity(config[name])) for name in sorted(config))


def plain(value: object) -> Any:
    """A numpy scalar as the Python value it stands for; anything else unchanged."""
    return value.item() if isinstance(value, np.generic) else value


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


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


@dataclass(frozen=True)
class Float(Domain):
    """A real number between two ends, both included.

    Args:
        low, high: the ends.
        log: search the logarithm uniformly; needs low > 0.
        step: allow only low + k * step.
        default: the value to try first, if the study tries defaults.
        when: {other parameter: its values} under which this parameter exists at all.

    Raises:
        SpecError: the ends, step or default contradict each other.

    Example:
        automl.Float(1e-4, 1.0, log=True, default=1e-2)
    """

    low: float
    high: float
    log: bool = False
    step: float | None = None
    default: float | None = None
    when: When = field(default_factory=dict)

    def __post_init__(self) -> None:
        _check_range(self)
        for name in ("low", "high", "step", "default"):
            value = getattr(self, name)
            object.__setattr__(self, name, None if value is None else float(value))

    @cached_property
    def _scale(self) -> "Scale":
        return Scale(self.low, self.high, self.log)

    @property
    def size(self) -> float:
        return math.inf if self.step is None else math.floor((self.high - self.low) / self.step + 1e-9) + 1

    def contains(self, value: object) -> bool:
        if not _is_number(value) or not self.low <= value <= self.high:  # type: ignore[operator]
            return False
        if self.step is None:
            return True
        index = self._index(value)  # type: ignore[arg-type]
        return index < self.size and abs(self._at(index) - value) <= 1e-6 * self.step  # type: ignore[operator]

    def to_unit(self, value: Any) -> float:
        return self._scale.to_unit(value) if self.step is None else (self._index(value) + 0.5) / self.size

    def from_unit(self, u: float) -> float:
        if self.step is not None:
            return self._at(min(max(int(u * self.size), 0), int(self.size) - 1))
        if u <= 0.0 or u >= 1.0:
            return self.low if u <= 0.0 else self.high
        return min(max(self._round(self._scale.from_unit(u)), self.low), self.high)

    def grid(self, resolution: int) -> list[Value]:
        if self.step is not None:
            return [self._at(k) for k in _indices(int(self.size), resolution)]
        return list(dict.fromkeys(self.from_unit(u) for u in np.linspace(0, 1, resolution)))

    def _index(self, value: float) -> int:
        assert self.step is not None
        return round((value - self.low) / self.step)

    def _at(self, index: int) -> float:
        """The value `index` steps above low, without rounding errors in the last digits (0.30000000000000004)."""
        assert self.step is not None
        if index == 0:
            return self.low
        size = max(abs(self.low), abs(self.high))
        return min(max(round(self.low + index * self.step, 14 - math.floor(math.log10(size))), self.low), self.high)

    def _round(self, value: float) -> float:
        """`DIGITS` significant digits: of the value itself on a log range, of the range's larger end otherwise."""
        size = abs(value) if self.log else max(abs(self.low), abs(self.high))
        return float(value) if size == 0 else round(float(value), DIGITS - 1 - math.floor(math.log10(size)))


@dataclass(frozen=True)
class Int(Domain):
    """A whole number between two ends, both included.

    Args:
        low, high: the ends, whole numbers within 2^53.
        log: search the logarithm uniformly; needs low > 0, and no step.
        step: allow only low + k * step.
        default: the value to try first, if the study tries defaults.
        when: {other parameter: its values} under which this parameter exists at all.

    Raises:
        SpecError: the ends, step or default contradict each other.

    Example:
        automl.Int(16, 512, log=True)
    """

    low: int
    high: int
    log: bool = False
    step: int = 1
    default: int | None = None
    when: When = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("low", "high", "step"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or abs(value) > 2**53:
                raise SpecError(f"int needs a whole number within 2^53 for {name}, got {value!r}")
        _check_range(self)

    @cached_property
    def _scale(self) -> "Scale":
        return Scale(self.low - 0.5, self.high + 0.5, True)

    @property
    def size(self) -> float:
        return (self.high - self.low) // self.step + 1

    def contains(self, value: object) -> bool:
        return (
            isinstance(value, int)
            and not isinstance(value, bool)
            and self.low <= value <= self.high
            and (value - self.low) % self.step == 0
        )

    def to_unit(self, value: Any) -> float:
        if self.log:
            return self._scale.to_unit(value)
        return float(((value - self.low) // self.step + 0.5) / self.size)

    def from_unit(self, u: float) -> int:
        if self.log:
            return min(max(round(self._scale.from_unit(u)), self.low), self.high)
        index = min(max(int(u * self.size), 0), int(self.size) - 1)
        return self.low + index * self.step

    def grid(self, resolution: int) -> list[Value]:
        if self.step != 1:
            return [self.low + k * self.step for k in _indices(int(self.size), resolution)]
        count = min(resolution, int(self.size))
        ends = Scale(self.low, self.high, self.log) if self.high > self.low else None
        values = [self.low if ends is None else round(ends.from_unit(u)) for u in np.linspace(0, 1, count)]
        values = [min(max(v, self.low), self.high) for v in values]  # a large range's ends are rounded
        return list(dict.fromkeys(values))


@dataclass(frozen=True)
class Choice(Domain):
    """One of several values.

    Args:
        choices: text, numbers, True, False or None.
        ordered: neighbours behave alike (32, 64, 128): models treat the choice as a number.
        default: the value to try first, if the study tries defaults.
        when: {other parameter: its values} under which this parameter exists at all.

    Raises:
        SpecError: no values, a value twice, a value of another type, or a default that is not among them.

    Example:
        automl.Choice(("relu", "gelu", "silu"))
    """

    choices: tuple[Value, ...]
    ordered: bool = False
    default: Value = None
    when: When = field(default_factory=dict)

    def __post_init__(self) -> None:
        if isinstance(self.choices, str | Mapping) or not isinstance(self.choices, Iterable):
            raise SpecError(f"choice takes a list of values, got {self.choices!r}")
        if not isinstance(self.ordered, bool):
            raise SpecError(f"ordered takes true or false, got {self.ordered!r}")
        object.__setattr__(self, "choices", tuple(plain(value) for value in self.choices))
        if not self.choices:
            raise SpecError("a choice needs at least one value")
        for value in self.choices:
            if not isinstance(value, str | int | float | bool | None):
                raise SpecError(f"a choice holds text, numbers, true, false or null, not {type(value).__name__}")
            if isinstance(value, float) and not math.isfinite(value):
                raise SpecError(f"a choice cannot hold {value}")
        if len(self._index) < len(self.choices):
            raise SpecError(f"a choice names a value twice: {list(self.choices)}")
        if self.default is not None and not self.contains(self.default):
            raise SpecError(f"default {self.default!r} is not among {list(self.choices)}")

    @cached_property
    def _index(self) -> dict[tuple[str, object], int]:
        return {identity(value): k for k, value in enumerate(self.choices)}

    @property
    def size(self) -> float:
        return len(self.choices)

    def contains(self, value: object) -> bool:
        return isinstance(value, str | int | float | bool | None) and identity(value) in self._index

    def to_unit(self, value: Any) -> float:
        return (self._index[identity(value)] + 0.5) / len(self.choices)

    def from_unit(self, u: float) -> Value:
        return self.choices[min(max(int(u * len(self.choices)), 0), len(self.choices) - 1)]

    def grid(self, resolution: int) -> list[Value]:
        return list(self.choices)


Parameter = Float | Int | Choice


@dataclass(frozen=True)
class Scale:
    """The rising map between [low, high] and [0, 1], linear or logarithmic; nothing is clipped or rounded."""

    low: float
    high: float
    log: bool

    def to_unit(self, value: float) -> float:
        """`low` -> 0, `high` -> 1."""
        if self.log:
            return (math.log(value) - math.log(self.low)) / (math.log(self.high) - math.log(self.low))
        return (value - self.low) / (self.high - self.low)

    def from_unit(self, u: float) -> float:
        """0 -> `low`, 1 -> `high`."""
        if self.log:
            return math.exp(math.log(self.low) + u * (math.log(self.high) - math.log(self.low)))
        return self.low + u * (self.high - self.low)


def _indices(size: int, resolution: int) -> list[int]:
    """Every step of a stepped range; of more than `MANY_STEPS`, `resolution` evenly spaced ones."""
    if size <= MANY_STEPS:
        return list(range(size))
    return list(dict.fromkeys(round(k) for k in np.linspace(0, size - 1, min(resolution, size))))


def _check_range(p: Float | Int) -> None:
    kind = type(p).__name__.lower()
    if not isinstance(p.log, bool):
        raise SpecError(f"log takes true or false, got {p.log!r}")
    for name in ("low", "high"):
        if not _is_number(getattr(p, name)):
            raise SpecError(f"{kind} needs a finite number for {name}, got {getattr(p, name)!r}")
        if abs(getattr(p, name)) > LARGEST:
            raise SpecError(f"{kind} needs ends within {LARGEST:g}, got {getattr(p, name)!r} for {name}")
    if not p.low < p.high and not (kind == "int" and p.low == p.high):
        raise SpecError(f"{kind} needs low < high, got [{p.low}, {p.high}]")
    if p.log and p.low <= 0:
        raise SpecError(f"log needs low > 0, got {p.low}")
    if kind == "float" and (p.high - p.low) <= max(1e-9 * max(abs(p.low), abs(p.high)), 1 / LARGEST):
        raise SpecError(f"float range [{p.low}, {p.high}] is too narrow to tell its values apart")
    if p.log and p.low < 1 / LARGEST:
        raise SpecError(f"log needs low of at least {1 / LARGEST:g}, got {p.low}")
    _check_step(p)
    if p.default is not None and not p.contains(p.default):
        raise SpecError(
            f"default {p.default!r} is not in [{p.low}, {p.high}]" + (f" with step {p.step}" if p.step else "")
        )


def _check_step(p: Float | Int) -> None:
    if p.step is None:
        return
    if not _is_number(p.step):
        raise SpecError(f"step takes a number, got {p.step!r}")
    if p.step <= 0:
        raise SpecError(f"step must be above 0, got {p.step}")
    if p.log and (isinstance(p, Float) or p.step != 1):
        raise SpecError("log and step cannot be combined")
    if p.step > p.high - p.low and p.high > p.low:
        raise SpecError(f"step {p.step} is larger than the range [{p.low}, {p.high}]")
    if isinstance(p, Float) and p.step < 1e-9 * max(abs(p.low), abs(p.high)):
        raise SpecError(f"step {p.step} is too small to tell the values of [{p.low}, {p.high}] apart")
