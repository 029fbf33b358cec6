"""Ranges: real and whole numbers between two ends."""

import math
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from automl.core.parameters.domain import Domain, normalize
from automl.core.parameters.values import Value, When, is_number
from automl.errors import SpecError

DIGITS = 10  # significant digits of a float parameter: enough for training, few enough to survive encode/decode
LARGEST = 1e300  # ends of a range beyond this would overflow
MANY_STEPS = 10_000  # a grid holds all steps of a stepped range up to so many; of more, evenly spaced ones


@dataclass(frozen=True)
class Float(Domain):
    """A real number between two ends, both included.

    Args:
        low, high: the ends; equal ones allow that number only.
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
        normalize(self, ("low", "high", "log", "step", "default"))
        _check_range(self)
        for name in ("low", "high", "step", "default"):
            value = getattr(self, name)
            object.__setattr__(self, name, None if value is None else float(value))

    @property
    def has_default(self) -> bool:
        """Whether there is a value to try first."""
        return self.default is not None

    @cached_property
    def _scale(self) -> "Scale":
        return Scale(self.low, self.high, self.log)

    @property
    def size(self) -> float:
        if self.low == self.high:
            return 1
        return math.inf if self.step is None else math.floor((self.high - self.low) / self.step + 1e-9) + 1

    def contains(self, value: object) -> bool:
        if not is_number(value) or not self.low <= value <= self.high:  # type: ignore[operator]
            return False
        if self.step is None:
            return True
        index = self._index(value)  # type: ignore[arg-type]
        return index < self.size and abs(self._at(index) - value) <= 1e-6 * self.step  # type: ignore[operator]

    def to_unit(self, value: Any) -> float:
        if self.low == self.high:
            return 0.5
        return self._scale.to_unit(value) if self.step is None else (self._index(value) + 0.5) / self.size

    def from_unit(self, u: float) -> float:
        if self.low == self.high:
            return self.low
        if self.step is not None:
            return self._at(min(max(int(u * self.size), 0), int(self.size) - 1))
        if u <= 0.0 or u >= 1.0:
            return self.low if u <= 0.0 else self.high
        return min(max(self._round(self._scale.from_unit(u)), self.low), self.high)

    def grid(self, resolution: int) -> list[Value]:
        if self.low == self.high:
            return [self.low]
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
        normalize(self, ("low", "high", "log", "step", "default"))
        for name in ("low", "high", "step"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or abs(value) > 2**53:
                raise SpecError(f"int needs a whole number within 2^53 for {name}, got {value!r}")
        _check_range(self)

    @property
    def has_default(self) -> bool:
        """Whether there is a value to try first."""
        return self.default is not None

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
        if not is_number(getattr(p, name)):
            raise SpecError(f"{kind} needs a finite number for {name}, got {getattr(p, name)!r}")
        if abs(getattr(p, name)) > LARGEST:
            raise SpecError(f"{kind} needs ends within {LARGEST:g}, got {getattr(p, name)!r} for {name}")
    if p.low > p.high:
        raise SpecError(f"{kind} needs low < high, got [{p.low}, {p.high}]")
    if p.log and p.low <= 0:
        raise SpecError(f"log needs low > 0, got {p.low}")
    if kind == "float" and p.low < p.high and (p.high - p.low) <= max(1e-9 * max(abs(p.low), abs(p.high)), 1 / LARGEST):
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
    if not is_number(p.step):
        raise SpecError(f"step takes a number, got {p.step!r}")
    if p.step <= 0:
        raise SpecError(f"step must be above 0, got {p.step}")
    if p.log and (isinstance(p, Float) or p.step != 1):
        raise SpecError("log and step cannot be combined")
    if p.step > p.high - p.low and p.high > p.low:
        raise SpecError(f"step {p.step} is larger than the range [{p.low}, {p.high}]")
    if isinstance(p, Float) and p.step < 1e-9 * max(abs(p.low), abs(p.high)):
        raise SpecError(f"step {p.step} is too small to tell the values of [{p.low}, {p.high}] apart")
