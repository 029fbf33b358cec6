"""Finds configs that keep constraints which random configs hardly ever keep, such as `width * height == 4096`.

A local search: one parameter at a time is set to a value with which the constraints are broken less, until none is
broken. All values of a parameter are compared at once, so that a value which keeps them all is found if there is one.
"""

import ast
import math
import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from automl.core.space import Choice, Config, Int, Parameter, Space, Value

MOST_VALUES = 8192
"""A parameter of up to so many values has all of them compared at once; one of more is narrowed down."""
MOST_CHANGES = 24
"""Changes of one start before the next one is tried."""
ZOOMS = 12
"""Steps in which a number is narrowed down; each time to a thirtieth of the range."""
Floats = NDArray[np.float64]
BINARY: dict[type, Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
}
"""The arithmetic of constraints, of numbers and of arrays of them."""


def solutions(
    space: Space, trees: Sequence[ast.expr], starts: Iterator[Config], rng: np.random.Generator
) -> Iterator[Config]:
    """A config that keeps all constraints from each start from which one was found; it differs in few values from it.

    Args:
        space: of the configs.
        trees: the constraints.
        starts: configs to begin with.
        rng: decides between changes that are equally good.
    """
    search = _Search(space, tuple(trees), rng)
    for start in starts:
        if (found := search.from_start(start)) is not None:
            yield found


@dataclass(frozen=True)
class _Search:
    """A local search in a space."""

    space: Space
    trees: tuple[ast.expr, ...]
    rng: np.random.Generator
    listed: dict[str, tuple[Sequence[Value], Floats | None]] = field(default_factory=dict)

    @cached_property
    def parents(self) -> frozenset[str]:
        """Parameters on whose values others depend."""
        return frozenset(parent for p in self.space.params.values() for parent in p.when)

    def from_start(self, start: Config) -> Config | None:
        """A config near `start` that keeps all constraints; None where none was found."""
        config = dict(start)
        for _ in range(MOST_CHANGES):
            now = float(self._broken(config, {}))
            if now == 0:
                return self.space.canonical(config)
            names = self.rng.permutation(sorted(self._used(config)))
            options: list[tuple[float, str, Value]] = []
            for name in sorted(names, key=self.parents.__contains__):  # what others depend on only where nothing helps
                if options and name in self.parents:
                    break
                option = self._better(config, str(name), now)
                if option is not None and option[0] == 0:
                    options = [option]
                    break
                options += [option] if option is not None else []
            if not options:
                return None
            _, name, value = options[int(self.rng.integers(len(options)))]
            config = self._changed(config, name, value)
        return None

    def _used(self, config: Config) -> set[str]:
        """Active parameters that broken constraints name, and those on which they depend."""
        names: set[str] = set()
        for tree in self.trees:
            inside = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
            if inside <= config.keys() and self._one(tree, config) > 0:
                names |= inside
        for name in list(names):
            names |= set(self.space.params[name].when) if name in self.space.params else set()
        return {name for name in names if name in self.space.params and name in config}

    def _better(self, config: Config, name: str, now: float) -> tuple[float, str, Value] | None:
        """(how much is broken, name, value) of a random better value of this parameter; the best if it breaks none."""
        p = self.space.params[name]
        if name in self.parents:
            values: Sequence[Value] = [value for value in p.grid(32) if value != config[name]]
            broken = np.array([self._broken(self._changed(config, name, value), {}) for value in values])
        else:
            values, broken = self._compared(config, name, p)
        broken = np.where(np.isfinite(broken), broken, np.inf)
        good = np.flatnonzero(broken == 0)
        if not len(good):
            good = np.flatnonzero(broken < now)
        if not len(good):
            return None
        k = int(good[int(self.rng.integers(len(good)))])
        return float(broken[k]), name, values[k]

    def _compared(self, config: Config, name: str, p: Parameter) -> tuple[Sequence[Value], Floats]:
        """Values of one parameter, and how much the constraints are broken with each of them."""
        if isinstance(p, Choice) or p.size <= MOST_VALUES:
            values, numbers = self._listed(name, p)
            return values, self._with(config, name, values, numbers)
        values = [*self._constants(p), *(p.from_unit(float(u)) for u in self.rng.random(64))]
        for _ in range(ZOOMS):
            broken = self._with(config, name, values, np.array(values, dtype=np.float64))
            if not np.isfinite(broken).any() or (broken == 0).any():
                break
            units = np.array([p.to_unit(value) for value in values])
            best, width = units[int(np.nanargmin(broken))], max(np.ptp(units) / 30, 1e-12)
            near = np.clip(np.linspace(best - width, best + width, 64), 0, 1)
            values = list(dict.fromkeys(p.from_unit(float(u)) for u in near))
        return values, broken

    def _constants(self, p: Parameter) -> list[Value]:
        """Numbers in the constraints that are values of this parameter."""
        found = [node.value for tree in self.trees for node in ast.walk(tree) if isinstance(node, ast.Constant)]
        numbers = [value for value in found if isinstance(value, int | float) and not isinstance(value, bool)]
        return [value for value in dict.fromkeys(numbers) if p.contains(value)]

    def _listed(self, name: str, p: Parameter) -> tuple[Sequence[Value], Floats | None]:
        """All values of a parameter, and the same as an array where all are numbers."""
        if name not in self.listed:
            if isinstance(p, Choice):
                values: Sequence[Value] = p.choices
            elif isinstance(p, Int) and p.log:
                values = list(range(p.low, p.high + 1))
            else:
                values = [p.from_unit((k + 0.5) / p.size) for k in range(int(p.size))]
            plain = all(isinstance(value, int | float) for value in values)
            self.listed[name] = values, np.array(values, dtype=np.float64) if plain else None
        return self.listed[name]

    def _with(self, config: Config, name: str, values: Sequence[Value], numbers: Floats | None) -> Floats:
        if numbers is None:
            return np.array([self._broken({**config, name: value}, {}) for value in values])
        return np.broadcast_to(self._broken(config, {name: numbers}), len(numbers)).copy()

    def _broken(self, config: Config, arrays: Mapping[str, Floats]) -> Any:
        """How much all constraints together are broken; 0: none is. One number for each value of `arrays`."""
        with np.errstate(all="ignore"):
            return sum((self._one(tree, config, arrays) for tree in self.trees), start=0.0)

    def _one(self, tree: ast.expr, config: Config, arrays: Mapping[str, Floats] | None = None) -> Any:
        names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
        if not names <= config.keys():
            return 0.0
        try:
            return np.log1p(broken_by(tree, {**config, **(arrays or {})}))
        except (TypeError, ZeroDivisionError, OverflowError, ValueError):
            return math.inf

    def _changed(self, config: Config, name: str, value: Value) -> Config:
        """`config` with another value; parameters that exist only now have random ones."""
        return self.space.build(
            lambda _, other: (
                value
                if other == name
                else config[other]
                if other in config
                else self.space.params[other].from_unit(float(self.rng.random()))
            )
        )


def broken_by(node: ast.expr, names: Mapping[str, Any]) -> Any:
    """How much an expression is broken: 0 where it is true; the difference of two numbers that should be equal, etc.

    Args:
        node: the expression.
        names: values of its names; arrays of numbers give an array of answers.

    Raises:
        TypeError: it computes with something that is no number.
    """
    match node:
        case ast.BoolOp(ast.And(), parts):
            return sum(broken_by(part, names) for part in parts)
        case ast.BoolOp(ast.Or(), parts):
            least = broken_by(parts[0], names)
            for part in parts[1:]:
                least = np.minimum(least, broken_by(part, names))
            return least
        case ast.UnaryOp(ast.Not(), operand):
            return np.where(np.asarray(broken_by(operand, names)) == 0, 1.0, 0.0)
        case ast.Compare(left, ops, rights):
            sides = [_number(left, names), *(_number(r, names) for r in rights)]
            pairs = zip(ops, sides, sides[1:], strict=False)
            return sum(_apart(op, a, b) for op, a, b in pairs)
    return np.where(np.asarray(_number(node, names), dtype=bool), 0.0, 1.0)


def _apart(op: ast.cmpop, a: Any, b: Any) -> Any:
    members = b if isinstance(b, tuple) else ()
    if isinstance(op, ast.In) and members and all(isinstance(one, int | float | np.ndarray) for one in (a, *members)):
        return np.abs(np.asarray(a, dtype=np.float64)[..., None] - np.array(members, dtype=np.float64)).min(axis=-1)
    if isinstance(op, ast.In | ast.NotIn):
        inside = np.isin(a, np.asarray(b)) if not isinstance(a, str) else np.asarray(a in b)
        return np.where(inside == isinstance(op, ast.In), 0.0, 1.0)
    if isinstance(a, str | tuple) or isinstance(b, str | tuple) or a is None or b is None:
        same = a == b
        if not isinstance(op, ast.Eq | ast.NotEq):
            raise TypeError("only numbers have an order")
        return 0.0 if same == isinstance(op, ast.Eq) else 1.0
    gap = np.asarray(a, dtype=np.float64) - np.asarray(b, dtype=np.float64)
    match op:
        case ast.Eq():
            return np.abs(gap)
        case ast.NotEq():
            return np.where(gap == 0, 1.0, 0.0)
        case ast.Lt():
            return np.where(gap < 0, 0.0, np.maximum(gap, 1e-9))
        case ast.LtE():
            return np.maximum(gap, 0.0)
        case ast.Gt():
            return np.where(gap > 0, 0.0, np.maximum(-gap, 1e-9))
    return np.maximum(-gap, 0.0)  # >=


def _number(node: ast.expr, names: Mapping[str, Any]) -> Any:
    """The value of an expression; arrays of numbers give an array."""
    match node:
        case ast.Constant(value):
            return value
        case ast.Name(name):
            return names[name]
        case ast.Tuple(items) | ast.List(items):
            return tuple(_number(item, names) for item in items)
        case ast.BinOp(left, op, right):
            return _computed(op, _number(left, names), _number(right, names))
        case ast.UnaryOp(ast.USub(), operand):
            return -_numeric(_number(operand, names))
        case ast.UnaryOp(ast.UAdd(), operand):
            return _numeric(_number(operand, names))
        case ast.IfExp(test, body, otherwise):
            true = np.asarray(broken_by(test, names)) == 0
            if true.ndim == 0:
                return _number(body if true else otherwise, names)
            return np.where(true, _numeric(_number(body, names)), _numeric(_number(otherwise, names)))
    return np.asarray(broken_by(node, names)) == 0


def _numeric(value: Any) -> Any:
    if isinstance(value, str | tuple) or value is None:
        raise TypeError("constraints compute with numbers only")
    return value


def _computed(op: ast.operator, a: Any, b: Any) -> Any:
    a, b = np.asarray(_numeric(a), dtype=np.float64), np.asarray(_numeric(b), dtype=np.float64)
    return BINARY[type(op)](a, b)
