"""The search space: parameters, their ranges, conditions and groups.

A *config* is one point of the space: a plain dict `{name: value}` in the order of declaration. Parameters whose
condition (`when`) does not hold are absent from it; constants are present in every config.

Every config can be written as a point of the unit cube and back (`encode`, `decode`), one coordinate for each
parameter: logarithmic ranges are uniform in the logarithm, integers and choices sit in the middle of equal cells.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from automl.errors import SpecError, did_you_mean

Value = str | int | float | bool | None
Config = dict[str, Value]
When = Mapping[str, Sequence[Value]]
Unit = NDArray[np.float64]

DIGITS = 10  # significant digits of a float parameter: enough for any training, few enough to survive encode/decode


def identity(value: object) -> tuple[str, object]:
    """A key that tells 1, True and "1" apart, as JSON does (1 and 1.0 are the same number)."""
    kind = "number" if isinstance(value, int | float) and not isinstance(value, bool) else type(value).__name__
    return kind, value


def config_key(config: Mapping[str, Value]) -> tuple[object, ...]:
    """A hashable key, equal for equal configs whatever the order of their names."""
    return tuple((name, *identity(config[name])) for name in sorted(config))


def _plain(value: object) -> object:
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
        object.__setattr__(self, "low", float(self.low))
        object.__setattr__(self, "high", float(self.high))

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
        return self.step is None or self._at(self._index(value)) == self._round(value)  # type: ignore[arg-type]

    def to_unit(self, value: Any) -> float:
        return self._scale.to_unit(value) if self.step is None else (self._index(value) + 0.5) / self.size

    def from_unit(self, u: float) -> float:
        if self.step is not None:
            return self._at(min(int(u * self.size), int(self.size) - 1))
        if u <= 0.0 or u >= 1.0:
            return self.low if u <= 0.0 else self.high
        return min(max(self._round(self._scale.from_unit(u)), self.low), self.high)

    def grid(self, resolution: int) -> list[Value]:
        if self.step is not None:
            return [self._at(k) for k in range(int(self.size))]
        return [self.from_unit(u) for u in np.linspace(0, 1, resolution)]

    def _index(self, value: float) -> int:
        assert self.step is not None
        return round((value - self.low) / self.step)

    def _at(self, index: int) -> float:
        assert self.step is not None
        return min(self._round(self.low + index * self.step), self.high)

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
            return list(range(self.low, self.high + 1, self.step))
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
        object.__setattr__(self, "choices", tuple(self.choices))
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
            return math.log(value / self.low) / math.log(self.high / self.low)
        return (value - self.low) / (self.high - self.low)

    def from_unit(self, u: float) -> float:
        if self.log:
            return self.low * math.exp(u * math.log(self.high / self.low))
        return self.low + u * (self.high - self.low)


def _check_range(p: Float | Int) -> None:
    kind = type(p).__name__.lower()
    for name in ("low", "high"):
        if not _is_number(getattr(p, name)):
            raise SpecError(f"{kind} needs a finite number for {name}, got {getattr(p, name)!r}")
    if not p.low < p.high and not (kind == "int" and p.low == p.high):
        raise SpecError(f"{kind} needs low < high, got [{p.low}, {p.high}]")
    if p.log and p.low <= 0:
        raise SpecError(f"log needs low > 0, got {p.low}")
    if p.step is not None and p.step <= 0:
        raise SpecError(f"step must be above 0, got {p.step}")
    if p.log and p.step not in (None, 1):
        raise SpecError("log and step cannot be combined")
    if p.step is not None and p.step > p.high - p.low and p.high > p.low:
        raise SpecError(f"step {p.step} is larger than the range [{p.low}, {p.high}]")
    if p.default is not None and not p.contains(p.default):
        raise SpecError(
            f"default {p.default} is not in [{p.low}, {p.high}]" + (f" with step {p.step}" if p.step else "")
        )


@dataclass(frozen=True)
class Space:
    """Named parameters and constants, with conditions between them. Build one with `Space.of`.

    `params` keeps the order of declaration; `groups` says which group ("architecture", "optimizer", ...) a name is in.
    """

    params: Mapping[str, Parameter]
    constants: Mapping[str, Value] = field(default_factory=dict)
    groups: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, condition in ((n, p.when) for n, p in self.params.items()):
            for parent, allowed in condition.items():
                self._check_condition(name, parent, allowed)
        self._order  # noqa: B018  (finds circular conditions now, not at the first sample)

    def _check_condition(self, name: str, parent: str, allowed: Sequence[Value]) -> None:
        if parent in self.constants:
            return
        if parent not in self.params:
            raise SpecError(
                f"{name}: when names {parent!r}, which is not a parameter{did_you_mean(parent, self.params)}"
            )
        for value in allowed:
            if not self.params[parent].contains(value):
                raise SpecError(f"{name}: when {parent} = {value!r}, but {parent} can never be that")

    @classmethod
    def of(cls, described: "Mapping[str, Any] | Space") -> "Space":
        """A space from parameters, lists (choices), scalars (constants), plain dicts of the YAML grammar, and groups.

        Raises:
            SpecError: naming the parameter and the rule it breaks.
        """
        if isinstance(described, Space):
            return described
        params: dict[str, Parameter] = {}
        constants: dict[str, Value] = {}
        groups: dict[str, str] = {}
        for name, item, group in _entries(described, ""):
            if name in params or name in constants:
                raise SpecError(f"{name}: parameter names must be unique across groups")
            try:
                made = parameter(item)
            except SpecError as error:
                raise SpecError(f"{name}: {error}") from None
            if isinstance(made, Float | Int | Choice):
                params[name] = made
            else:
                constants[name] = made
            if group:
                groups[name] = group
        return cls(params, constants, groups)

    @property
    def dim(self) -> int:
        return len(self.params)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Names of the searched parameters, in the order of the unit cube's coordinates."""
        return tuple(self.params)

    @cached_property
    def _order(self) -> tuple[tuple[int, str], ...]:
        """(coordinate, name), parents before children."""
        order: dict[str, int] = {}
        waiting = {name: k for k, name in enumerate(self.params)}
        while waiting:
            free = [n for n in waiting if all(p in order or p in self.constants for p in self.params[n].when)]
            if not free:
                raise SpecError(f"{min(waiting)}: when conditions go in a circle ({', '.join(sorted(waiting))})")
            for name in free:
                order[name] = waiting.pop(name)
        return tuple((k, name) for name, k in order.items())

    @cached_property
    def conditional(self) -> bool:
        return any(p.when for p in self.params.values())

    def active(self, name: str, config: Mapping[str, Value]) -> bool:
        """Whether `name` belongs into `config`, given the values of its parents there."""
        return all(
            parent in config and identity(config[parent]) in {identity(v) for v in allowed}
            for parent, allowed in self.params[name].when.items()
        )

    def build(self, value_of: Callable[[int, str], Value]) -> Config:
        """A config whose active parameters are asked from `value_of(coordinate, name)`, parents first."""
        config: Config = dict(self.constants)
        for k, name in self._order:
            if not self.params[name].when or self.active(name, config):
                config[name] = value_of(k, name)
        return {name: config[name] for name in (*self.constants, *self.params) if name in config}

    def sample(self, rng: np.random.Generator) -> Config:
        """A random config, uniform in the unit cube."""
        return self.decode(rng.random(self.dim))

    def decode(self, unit: Unit | Sequence[float]) -> Config:
        """The config at `unit` [dim]; coordinates of inactive parameters are not looked at."""
        return self.build(lambda k, name: self.params[name].from_unit(float(unit[k])))

    def encode(self, config: Mapping[str, Value]) -> Unit:
        """`config` as a point of the unit cube [dim], float64; NaN where a parameter is inactive."""
        return np.array(
            [p.to_unit(config[name]) if name in config else math.nan for name, p in self.params.items()],
            dtype=np.float64,
        )

    def default(self) -> Config | None:
        """The config of all defaults, with range middles for the others; None when no parameter has a default."""
        if all(p.default is None for p in self.params.values()):
            return None

        def value(_: int, name: str) -> Value:
            p = self.params[name]
            return p.from_unit(0.5) if p.default is None else p.default

        return self.build(value)

    def problems(self, config: Mapping[str, Any]) -> list[str]:
        """What keeps `config` from being a member, one sentence each; empty when it is one."""
        known = {**self.constants, **self.params}
        found = [f"{n} is not a parameter{did_you_mean(n, known)}" for n in config if n not in known]
        for name, constant in self.constants.items():
            if name not in config or identity(_plain(config[name])) != identity(constant):
                found.append(f"{name} must be {constant!r}")
        for name, p in self.params.items():
            if self.active(name, config) != (name in config):
                found.append(f"{name} is {'not active here' if name in config else 'missing'}")
            elif name in config and not p.contains(_plain(config[name])):
                found.append(f"{name} = {config[name]!r} is outside {describe(p)}")
        return found

    def contains(self, config: Mapping[str, Any]) -> bool:
        return not self.problems(config)

    def canonical(self, config: Mapping[str, Any]) -> Config:
        """`config` with plain Python values, constants filled in and names in order.

        Raises:
            SpecError: when it is not a member of this space.
        """
        full = {**self.constants, **{name: _plain(value) for name, value in config.items()}}
        if problems := self.problems(full):
            raise SpecError("; ".join(problems))
        for name, p in self.params.items():
            if name in full and isinstance(p, Float):
                full[name] = float(full[name])
        return {name: full[name] for name in (*self.constants, *self.params) if name in full}

    def to_json(self) -> dict[str, Any]:
        """The space in the YAML grammar, as plain dicts, lists and scalars; `Space.of` reads it back."""
        out: dict[str, Any] = {}
        for name, item in {**self.constants, **self.params}.items():
            at = out.setdefault(self.groups[name], {}) if name in self.groups else out
            at[name] = _described(item) if isinstance(item, Float | Int | Choice) else item
        return out

    def __str__(self) -> str:
        lines = []
        for name, p in self.params.items():
            when = " and ".join(f"{k} in {list(v)}" if len(v) > 1 else f"{k} = {v[0]}" for k, v in p.when.items())
            lines.append(f"{name}: {describe(p)}" + (f" when {when}" if when else ""))
        lines += [f"{name} = {value!r}" for name, value in self.constants.items()]
        return "\n".join(lines)


def describe(p: Parameter) -> str:
    """`float [0.1, 1.0] log`, as shown in messages and by `print(space)`."""
    if isinstance(p, Choice):
        return f"{'ordered' if p.ordered else 'one of'} {list(p.choices)}"
    step = f" step {p.step}" if p.step not in (None, 1) else ""
    return f"{type(p).__name__.lower()} [{p.low}, {p.high}]{' log' if p.log else ''}{step}"


KINDS = ("float", "int", "choice")


def is_described(item: object) -> bool:
    """Whether a plain dict describes a parameter (`{float: [0, 1]}`) rather than a group of them."""
    return isinstance(item, Mapping) and any(kind in item for kind in KINDS)


def _entries(described: Mapping[str, Any], group: str) -> Iterator[tuple[str, Any, str]]:
    for name, item in described.items():
        if isinstance(item, Mapping) and not is_described(item):
            if group:
                raise SpecError(f"{group}.{name}: groups cannot hold groups; a parameter is {{float|int|choice: ...}}")
            yield from _entries(item, str(name))
        else:
            yield str(name), item, group


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
        return Choice(tuple(_plain(v) for v in item))  # type: ignore[misc]
    value = _plain(item)
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
        return Choice(tuple(content), **item)
    if not isinstance(content, Sequence) or isinstance(content, str) or len(content) != 2:
        raise SpecError(f"{kinds[0]} takes [low, high], got {content!r}")
    return (Float if kinds[0] == "float" else Int)(content[0], content[1], **item)


def _condition(when: Any) -> When:
    if not isinstance(when, Mapping):
        raise SpecError(f"when takes {{parameter: value}}, got {when!r}")
    return {str(k): tuple(v) if isinstance(v, list | tuple) else (v,) for k, v in when.items()}


def _described(p: Parameter) -> Any:
    extras: dict[str, Any] = {k: getattr(p, k) for k in ("log", "ordered") if getattr(p, k, False)}
    if not isinstance(p, Choice) and p.step not in (None, 1):
        extras["step"] = p.step
    if p.default is not None:
        extras["default"] = p.default
    if p.when:
        extras["when"] = {k: list(v) if len(v) > 1 else v[0] for k, v in p.when.items()}
    if isinstance(p, Choice):
        return {"choice": list(p.choices), **extras} if extras else list(p.choices)
    return {type(p).__name__.lower(): [p.low, p.high], **extras}
