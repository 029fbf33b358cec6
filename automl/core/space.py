"""The search space: parameters, conditions between them, and groups.

A *config* is one point of the space: a plain dict `{name: value}` in the order of declaration. Parameters whose
condition (`when`) does not hold are absent from it; constants are present in every config.

Every config can be encoded as a point of the unit cube and decoded again, with one coordinate for each parameter.
Single parameters are defined in `automl.core.parameters`; their names can be imported from here too.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from automl.core.notation import FOREIGN, FORMS, describe, is_described, parameter, written
from automl.core.parameters import (
    Choice,
    Config,
    Float,
    Int,
    NoDefault,
    Parameter,
    Scale,
    Value,
    When,
    config_key,
    copied,
    identity,
    plain,
)
from automl.errors import SpecError, did_you_mean

__all__ = [
    "Choice", "Config", "Float", "Int", "Parameter", "Scale", "Space", "Unit", "Value", "When", "config_key",
    "describe", "identity", "is_described", "parameter",
]  # fmt: skip

Unit = NDArray[np.float64]


@dataclass(frozen=True)
class Space:
    """Named parameters and constants, with conditions between them. Build one with `Space.of`.

    Args:
        params: {name: parameter}, in the order of declaration.
        constants: {name: value}, the same in every config.
        groups: {name: its group}, such as "architecture" or "optimizer"; names without a group are left out.

    Raises:
        SpecError: a condition names an unknown parameter or a value it cannot have, or conditions go in a circle.
    """

    params: Mapping[str, Parameter]
    constants: Mapping[str, Value] = field(default_factory=dict)
    groups: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, condition in ((n, p.when) for n, p in self.params.items()):
            for parent, allowed in condition.items():
                self._check_condition(name, parent, allowed)
        self.parents_first  # noqa: B018  (finds circular conditions now, not at the first sample)

    def _check_condition(self, name: str, parent: str, allowed: Sequence[Value]) -> None:
        if parent in self.constants:
            return
        if parent not in self.params:
            raise SpecError(
                f"{name}: when names {parent!r}, which is not a parameter{did_you_mean(parent, self.params)}"
            )
        p = self.params[parent]
        if isinstance(p, Float) and math.isinf(p.size):
            raise SpecError(
                f"{name}: when names {parent!r}, a real number, which never has exactly one value; "
                f"give {parent} a step, or choose among names or whole numbers that {name} can depend on"
            )
        for value in allowed:
            if not p.contains(value):
                hint = ""
                if p.contains(tuple(allowed)):
                    listed = f"when={{{parent!r}: [{list(allowed)!r}]}}"
                    hint = f"; a list as the value of a condition is a list in a list: {listed}"
                raise SpecError(f"{name}: when {parent} = {value!r}, but {parent} can never be that{hint}")

    @classmethod
    def of(cls, described: "Mapping[str, Any] | Space") -> "Space":
        """A space from a dict, as in space.yaml.

        Args:
            described: {name: entry}; an entry is a parameter, a list (a choice), text, a number, true, false or None
                (a constant), a plain dict such as `{"float": [0, 1]}`, or a group: {name: entry} once more.

        Raises:
            SpecError: which parameter breaks which rule.

        Example:
            Space.of({"lr": Float(1e-4, 1, log=True), "opt": ["sgd", "adam"], "model": {"depth": Int(1, 4)}})
        """
        if isinstance(described, Space):
            return described
        if not isinstance(described, Mapping):
            raise SpecError(f"a space is a dict of names, such as {{'lr': Float(1e-4, 1)}}; got {described!r:.60}")
        params: dict[str, Parameter] = {}
        constants: dict[str, Value] = {}
        groups: dict[str, str] = {}
        for name, item, group in _entries(described, ""):
            if name in params or name in constants:
                raise SpecError(f"{name}: parameter names must be unique across groups")
            try:
                entry = parameter(item)
            except SpecError as error:
                raise SpecError(f"{name}: {error}") from None
            if isinstance(entry, Float | Int | Choice):
                params[name] = entry
            else:
                constants[name] = entry
            if group:
                groups[name] = group
        return cls(params, constants, groups)

    def fixed(self, values: Mapping[str, Value]) -> "Space":
        """A copy of the space in which each of these names is a constant with this value."""
        params = {name: p for name, p in self.params.items() if name not in values}
        return replace(self, params=params, constants={**self.constants, **values})

    @property
    def dim(self) -> int:
        """How many parameters are searched: the dimension of the unit cube."""
        return len(self.params)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Names of the searched parameters, in the order of the unit cube's coordinates."""
        return tuple(self.params)

    @cached_property
    def parents_first(self) -> tuple[tuple[int, str], ...]:
        """(coordinate, name) of every parameter, those that decide over others before these."""
        order: dict[str, int] = {}
        waiting = {name: k for k, name in enumerate(self.params)}
        while waiting:
            ready = [n for n in waiting if all(p in order or p in self.constants for p in self.params[n].when)]
            if not ready:
                raise SpecError(f"{min(waiting)}: when conditions go in a circle ({', '.join(sorted(waiting))})")
            for name in ready:
                order[name] = waiting.pop(name)
        return tuple((k, name) for name, k in order.items())

    @cached_property
    def conditional(self) -> bool:
        """Whether any parameter has a condition."""
        return any(p.when for p in self.params.values())

    def active(self, name: str, config: Mapping[str, Value]) -> bool:
        """Whether the parameter `name` exists in `config`, given the values of its parents there."""
        return all(
            parent in config and identity(config[parent]) in {identity(v) for v in allowed}
            for parent, allowed in self.params[name].when.items()
        )

    def build(self, value_of: Callable[[int, str], Value]) -> Config:
        """A config whose active parameters get the values of `value_of(coordinate, name)`, parents before children."""
        config: Config = dict(self.constants)
        for k, name in self.parents_first:
            if not self.params[name].when or self.active(name, config):
                config[name] = value_of(k, name)
        return {name: config[name] for name in (*self.constants, *self.params) if name in config}

    def sample(self, rng: np.random.Generator) -> Config:
        """A random config, uniform in the unit cube."""
        return self.decode(rng.random(self.dim))

    def decode(self, unit: Unit | Sequence[float]) -> Config:
        """The config at `unit` [dim]; coordinates of inactive parameters are ignored."""
        return self.build(lambda k, name: self.params[name].from_unit(float(unit[k])))

    def encode(self, config: Mapping[str, Value]) -> Unit:
        """`config` as a point of the unit cube [dim], float64; NaN where a parameter is inactive."""
        return np.array(
            [p.to_unit(config[name]) if name in config else math.nan for name, p in self.params.items()],
            dtype=np.float64,
        )

    def default(self) -> Config | None:
        """The config of all defaults, with range middles for the others; None when no parameter has a default."""
        if not any(p.has_default for p in self.params.values()):
            return None

        def value(_: int, name: str) -> Value:
            p = self.params[name]
            return start_value(p)

        return self.build(value)

    def problems(self, config: Mapping[str, Any]) -> list[str]:
        """Why `config` is not a point of this space, one sentence for each reason; empty when it is one."""
        known = {**self.constants, **self.params}
        reasons = [f"{n} is not a parameter{did_you_mean(n, known)}" for n in config if n not in known]
        for name, constant in self.constants.items():
            if name not in config or identity(plain(config[name])) != identity(constant):
                reasons.append(f"{name} must be {constant!r}")
        for name, p in self.params.items():
            if self.active(name, config) != (name in config):
                reasons.append(f"{name} is {'not active here' if name in config else 'missing'}")
            elif name in config and not p.contains(plain(config[name])):
                reasons.append(f"{name} = {config[name]!r} is outside {describe(p)}")
        return reasons

    def contains(self, config: Mapping[str, Any]) -> bool:
        """Whether `config` is a point of this space, constants included."""
        return not self.problems(config)

    def canonical(self, config: Mapping[str, Any]) -> Config:
        """`config` with plain Python values, constants filled in and names in order.

        Raises:
            SpecError: it is not a point of this space.
        """
        full = {**self.constants, **{name: plain(value) for name, value in config.items()}}
        if problems := self.problems(full):
            raise SpecError("; ".join(problems))
        for name, p in self.params.items():
            if name in full and isinstance(p, Float):
                full[name] = float(full[name])
        full = self.restored(full)
        return {name: full[name] for name in (*self.constants, *self.params) if name in full}

    def completed(self, config: Mapping[str, Any]) -> Config:
        """`config` with the parameters that it leaves out, at their default or in the middle of their range.

        Raises:
            SpecError: it is no mapping, or not a point of this space.

        Example:
            Space.of({"lr": Float(0, 1), "opt": ["sgd", "adam"]}).completed({"lr": 0.1})  # {"lr": 0.1, "opt": "adam"}
        """
        if not isinstance(config, Mapping):
            raise SpecError(f"a config is a mapping {{parameter: value}}, got {config!r}")
        given = {name: plain(value) for name, value in config.items()}
        full = self.build(lambda _, name: given[name] if name in given else start_value(self.params[name]))
        return self.canonical({**full, **given})

    @cached_property
    def _with_items(self) -> "dict[str, Choice]":
        return {name: p for name, p in self.params.items() if isinstance(p, Choice) and p.has_items}

    def restored(self, config: Config) -> Config:
        """`config` as it was before it was written as JSON, where tuples become lists."""
        if not self._with_items:
            return config
        known = {name: p for name, p in self._with_items.items() if name in config and p.contains(config[name])}
        return {**config, **{name: p.given(config[name]) for name, p in known.items()}}

    def to_json(self) -> dict[str, Any]:
        """The space in the YAML grammar, as plain dicts, lists and scalars; `Space.of` reads it back."""
        out: dict[str, Any] = {}
        for name, item in {**self.constants, **self.params}.items():
            at = out.setdefault(self.groups[name], {}) if name in self.groups else out
            at[name] = written(item) if isinstance(item, Float | Int | Choice) else item
        return out

    def __str__(self) -> str:
        """A line for each parameter and constant."""
        lines = []
        for name, p in self.params.items():
            when = " and ".join(f"{k} in {list(v)}" if len(v) > 1 else f"{k} = {v[0]}" for k, v in p.when.items())
            lines.append(f"{name}: {describe(p)}" + (f" when {when}" if when else ""))
        lines += [f"{name} = {value!r}" for name, value in self.constants.items()]
        return "\n".join(lines)


def start_value(p: Parameter) -> Value:
    """The default of a parameter, or the middle of its range."""
    return p.from_unit(0.5) if isinstance(p.default, NoDefault) or not p.has_default else copied(p.default)


def _entries(described: Mapping[str, Any], group: str) -> Iterator[tuple[str, Any, str]]:
    for name, item in described.items():
        if not isinstance(name, str) or not name.strip():
            raise SpecError(f"the name of a parameter is a text, not {name!r}")
        if isinstance(item, Mapping) and not is_described(item):
            if item and FOREIGN.issuperset(item):
                raise SpecError(f"{name}: needs one of float, int, choice, got {next(iter(item))!r}; {FORMS}")
            if group:
                raise SpecError(f"{group}.{name}: groups cannot hold groups; a parameter is {{float|int|choice: ...}}")
            yield from _entries(item, name)
        else:
            yield name, item, group
