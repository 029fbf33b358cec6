"""One parameter of a space: a range or a choice, its map to the unit interval, and how it is written.

Logarithmic ranges are uniform in the logarithm; integers, steps and choices sit in the middle of equal cells.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from automl.errors import SpecError, did_you_mean

Value = str | int | float | bool | None
Config = dict[str, Value]
When = Mapping[str, Sequence[Value]]

DIGITS = 10  # significant digits of a float parameter: enough for any training, few enough to survive encode/decode
LARGEST = 1e300  # ends beyond this overflow somewhere
MANY_STEPS = 10_000


def identity(value: object) -> tuple[str, object]:
    """A key that tells 1, True and "1" apart, as JSON does (1 and 1.0 are the same number)."""
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


@dataclass(frozen=True)
class Float:
    """A real number in [low, high]; `log` searches its logarithm, `step` allows only low + k * step."""

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
        """How many different values there are; infinite without a step."""
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
        """The value `index` steps above low, without the last digits that adding up leaves (0.30000000000000004)."""
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
class Int:
    """A whole number in [low, high], both included; `log` searches its logarithm, `step` allows low + k * step."""

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
class Choice:
    """One of several values (text, numbers, true/false, null); `ordered` when neighbours are alike (32, 64, 128)."""

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
    """The monotone map between [low, high] and [0, 1], linear or logarithmic."""

    low: float
    high: float
    log: bool

    def to_unit(self, value: float) -> float:
        if self.log:
            return (math.log(value) - math.log(self.low)) / (math.log(self.high) - math.log(self.low))
        return (value - self.low) / (self.high - self.low)

    def from_unit(self, u: float) -> float:
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


def describe(p: Parameter) -> str:
    """`float [0.1, 1.0] log`, as shown in messages and by `print(space)`."""
    if isinstance(p, Choice):
        return f"{'ordered' if p.ordered else 'one of'} {list(p.choices)}"
    step = f" step {p.step}" if _has_step(p) else ""
    return f"{type(p).__name__.lower()} [{p.low}, {p.high}]{' log' if p.log else ''}{step}"


def _has_step(p: Float | Int) -> bool:
    return p.step is not None and not (isinstance(p, Int) and p.step == 1)


KINDS = ("float", "int", "choice")


def is_described(item: object) -> bool:
    """Whether a plain dict describes a parameter (`{float: [0, 1]}`) rather than a group of them."""
    return isinstance(item, Mapping) and any(kind in item for kind in KINDS)


def parameter(item: Any) -> Parameter | Value:
    """A parameter or a constant from one entry of the YAML grammar (or from a parameter itself).

    Raises:
        SpecError: saying which rule is broken, without the parameter's name (the caller knows it).
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
            raise SpecError(f"{kinds[0]} knows no {key!r}{did_you_mean(key, allowed)}")
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
    extras: dict[str, Any] = {k: getattr(p, k) for k in ("log", "ordered") if getattr(p, k, False)}
    if not isinstance(p, Choice) and _has_step(p):
        extras["step"] = p.step
    if p.default is not None:
        extras["default"] = p.default
    if p.when:
        extras["when"] = {k: list(v) if len(v) > 1 else v[0] for k, v in p.when.items()}
    if isinstance(p, Choice):
        return {"choice": list(p.choices), **extras} if extras else list(p.choices)
    return {type(p).__name__.lower(): [p.low, p.high], **extras}
