"""Constraints between parameters, such as `width % heads == 0`, which every suggestion keeps.

A constraint is a Python expression over parameter names, numbers and text, with arithmetic, comparisons and `and`,
`or`, `not`, `in`, `if else`. Nothing else is allowed, and arithmetic takes numbers only (text can be added to text), so
a constraint from a file can neither run anything nor take much memory or time.
"""

import ast
import math
import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

from automl.core.history import History
from automl.core.space import Config, Space, Value, config_key
from automl.core.strategy import Strategy
from automl.errors import SpecError, did_you_mean
from automl_strategies.surrogates.deduplication import SeenConfigs
from automl_strategies.wrappers import solving
from automl_strategies.wrappers.base import Described, inner
from automl_strategies.wrappers.solving import BINARY

COMPARED: dict[type, Callable[[Any, Any], Any]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.In: lambda a, b: a in b,
    ast.NotIn: lambda a, b: a not in b,
}
VALUES = (ast.Name, ast.Constant, ast.Tuple, ast.List, ast.expr_context)
ALLOWED = (
    *VALUES,
    *(ast.BoolOp, ast.UnaryOp, ast.BinOp, ast.Compare, ast.IfExp),
    *(ast.boolop, ast.unaryop, ast.operator, ast.cmpop),
)
MOST_DRAWS, FEWEST_DRAWS = 20_000, 100
"""Random configs that are checked before the constraints count as impossible."""
FEW = 1000
"""Configs of a space that is searched until each of them was drawn."""
RARE = 1000
"""Random configs of which hardly one keeps all constraints, before a local search begins."""
MOST_KNOWN = 12
"""Solutions that were tried before, after which it is taken that there are no others."""
STARTS = 60
"""Starts of the local search for each suggestion."""
MOST_STEPS = 4_000_000
"""Steps of calculation for all of them, so that long constraints get fewer of them."""
MOST_CHARACTERS = 500
"""Of a constraint."""


@dataclass(frozen=True)
class Constrained(Strategy):
    """Follow another strategy, but suggest only configs that keep all constraints.

    Configs that break a constraint are replaced by random ones that keep all; where hardly any does, by near ones
    that a local search finds (see `solving`).

    Args:
        constraints: expressions that must be true, such as `["width % heads == 0"]`. One that names an inactive
            parameter holds.
        strategy: which one to follow.

    Raises:
        SpecError: a constraint is not an expression, or uses something that is not allowed in one.

    Example:
        automl.search("space.yaml", strategy={"name": "constrained", "constraints": ["width % heads == 0"]})
    """

    constraints: Sequence[str] = ()
    strategy: Described = "auto"

    def __post_init__(self) -> None:
        for rule in self.constraints:
            parsed(rule)

    def suggest(self, history: History, n: int) -> list[Config]:
        constraints = [Constraint.of(text, history.space) for text in self.constraints]
        seen = SeenConfigs(history)
        chosen: list[Config] = []
        repeated: list[Config] = []
        steps = sum(sum(1 for _ in ast.walk(constraint.tree)) for constraint in constraints)
        draws = max(FEWEST_DRAWS, min(MOST_DRAWS, MOST_STEPS // max(steps, 1)))
        size = math.prod(p.size for p in history.space.params.values())
        tried: set[tuple[object, ...]] = set()
        for config in self._proposals(history, n, draws, constraints, seen):
            if len(chosen) == n or (len(tried) == size and len(chosen) + len(repeated) >= n):
                break  # there are enough, or every config of the space was looked at
            if size <= FEW:
                tried.add(config_key(config))
            if all(constraint.holds(config) for constraint in constraints):
                if config not in seen:
                    chosen.append(seen.add(config))
                else:
                    repeated.append(config)
        if len(chosen) < n and not chosen and not repeated:
            raise SpecError(
                f"no config in {draws} random ones keeps all of {list(self.constraints)}, nor was one found near them; "
                "are they possible within the ranges? Real numbers are rarely equal: give a step, or compare by < and >"
            )
        return chosen + repeated[: n - len(chosen)]

    def _proposals(
        self, history: History, n: int, draws: int, constraints: "list[Constraint]", seen: SeenConfigs
    ) -> Iterator[Config]:
        """What the other strategy suggests, random configs, and configs that a local search finds near both."""
        if n == 0:
            return
        suggested = inner(self.strategy).suggest(history, n)
        yield from suggested
        rng = history.rng(0, "constrained")
        kept = 0
        for k in range(draws):
            config = history.space.sample(rng)
            kept += k < RARE and all(constraint.holds(config) for constraint in constraints)
            if k == RARE and kept < n:
                starts = (history.space.sample(rng) for _ in range(STARTS * n))
                trees = [constraint.tree for constraint in constraints]
                known = 0
                for solution in solving.solutions(history.space, trees, chain(suggested, starts), rng):
                    known += solution in seen
                    yield solution
                    if known == MOST_KNOWN:
                        return
            yield config


def parsed(rule: str) -> ast.expr:
    """The syntax tree of a constraint.

    Raises:
        SpecError: it is not an expression, is too long, or uses something that is not allowed in a constraint.
    """
    if len(rule) > MOST_CHARACTERS:
        raise SpecError(f"constraint {rule[:50]!r}... is longer than {MOST_CHARACTERS} characters")
    try:
        tree = ast.parse(rule.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        why = error.msg if isinstance(error, SyntaxError) else str(error) or "it is nested too deeply"
        raise SpecError(f"constraint {rule!r} is not an expression: {why}") from None
    for node in ast.walk(tree):
        if not isinstance(node, ALLOWED):
            raise SpecError(f"constraint {rule!r}: {type(node).__name__.lower()} is not allowed in a rule")
        if isinstance(node, ast.operator | ast.cmpop) and type(node) not in {**BINARY, **COMPARED}:
            raise SpecError(f"constraint {rule!r}: the operator {type(node).__name__.lower()} is not allowed in a rule")
    return tree


@dataclass(frozen=True)
class Constraint:
    """A constraint over the parameters of a space."""

    text: str
    tree: ast.expr
    names: frozenset[str]

    @classmethod
    def of(cls, text: str, space: Space) -> "Constraint":
        """Read a constraint.

        Raises:
            SpecError: it is wrong, or names something that is not a parameter.
        """
        tree = parsed(text)
        names = frozenset(node.id for node in ast.walk(tree) if isinstance(node, ast.Name))
        known = {**space.params, **space.constants}
        for name in names:
            if name not in known:
                raise SpecError(f"constraint {text!r}: {name} is not a parameter{did_you_mean(name, known)}")
        return cls(text, tree, names)

    def holds(self, config: Mapping[str, Value]) -> bool:
        """Whether `config` keeps the constraint: also if it names an inactive parameter, not if it divides by zero."""
        if not self.names <= config.keys():
            return True
        try:
            return bool(_value(self.tree, config))
        except (TypeError, ValueError, ZeroDivisionError, OverflowError):
            return False


def _value(node: ast.expr, names: Mapping[str, Value]) -> Any:
    match node:
        case ast.Constant(value):
            return value
        case ast.Name(name):
            return names[name]
        case ast.Tuple(items) | ast.List(items):
            return tuple(_value(item, names) for item in items)
        case ast.BinOp(left, op, right):
            a, b = _value(left, names), _value(right, names)
            numbers = isinstance(a, int | float) and isinstance(b, int | float)
            if not numbers and not (isinstance(op, ast.Add) and isinstance(a, str) and isinstance(b, str)):
                raise TypeError("arithmetic takes numbers")  # a text or list times a number takes any memory
            return BINARY[type(op)](a, b)
        case ast.UnaryOp(ast.Not(), operand):
            return not _value(operand, names)
        case ast.UnaryOp(ast.USub(), operand):
            return -_value(operand, names)
        case ast.UnaryOp(_, operand):
            return +_value(operand, names)
        case ast.BoolOp(op, parts):
            decide = all if isinstance(op, ast.And) else any
            return decide(_value(part, names) for part in parts)
        case ast.IfExp(test, body, otherwise):
            return _value(body if _value(test, names) else otherwise, names)
        case ast.Compare(left, ops, rights):
            values = [_value(left, names), *(_value(r, names) for r in rights)]
            return all(COMPARED[type(op)](a, b) for op, a, b in zip(ops, values, values[1:], strict=False))
    raise AssertionError(f"parsed() does not allow {type(node).__name__}")
