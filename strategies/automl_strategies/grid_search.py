"""Grid search: every combination of a few values of each parameter, in an order that is even from the beginning.

The grid is never stored: a point is computed from its index. Parameters that conditions tie together form a
*component*; components are independent, so the grid is their product, and an index is a mixed-radix number over them.
"""

import itertools
import math
from bisect import bisect_right
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from weakref import WeakKeyDictionary

from automl.core.history import History
from automl.core.space import Config, Space, Value, config_key, identity
from automl.core.strategy import Strategy
from automl.errors import SpecError

MOST_BRANCHES = 100_000
"""Combinations of the values that conditions depend on, in one component."""
GOLDEN = (math.sqrt(5) - 1) / 2


@dataclass(frozen=True)
class Grid(Strategy):
    """Try every combination of a few values of each parameter; the search ends when all were tried.

    For small, mostly discrete spaces. If the grid has more points than the budget, random or Sobol search covers each
    single parameter better (Bergstra & Bengio, JMLR 2012).

    Args:
        resolution: values of a range without a step, evenly spaced, both ends included; at least 2. Choices and
            ranges with a step are tried with all their values.

    Raises:
        SpecError: the resolution is too small.

    Example:
        automl.search("space.yaml", strategy={"name": "grid", "resolution": 3})
    """

    resolution: int = 5

    def __post_init__(self) -> None:
        if self.resolution < 2:
            raise SpecError(f"grid: resolution must be at least 2, got {self.resolution}")

    def suggest(self, history: History, n: int) -> list[Config]:
        return list(itertools.islice(_walk(self, history), n))

    def size(self, space: Space) -> int:
        """How many points the grid of `space` has."""
        return _layout(_Same(space), self.resolution).size

    def points(self, space: Space) -> Iterator[Config]:
        """All points of the grid of `space`, in the order in which they are tried."""
        layout = _layout(_Same(space), self.resolution)
        return (layout.point(k) for k in range(layout.size))

    def note(self, history: History) -> str:
        size, budget = self.size(history.space), history.plan.trials
        if budget is None or budget >= size:
            return f"grid of {size:,} point{'s' * (size != 1)}: all are tried, then the search ends"
        return (
            f"grid of {size:,} points, budget {budget:,}: {budget / size:.2g} of it, spread evenly; "
            f"a smaller resolution than {self.resolution} or more trials would complete it"
        )


_progress: "WeakKeyDictionary[History, tuple[Grid, int, int]]" = WeakKeyDictionary()
_seen: "WeakKeyDictionary[History, set[tuple[object, ...]]]" = WeakKeyDictionary()


def _walk(grid: Grid, history: History) -> Iterator[Config]:
    """The points of the grid that no trial of `history` has, whoever suggested it.

    How far the last call got is cached for each history: trials are only ever added, so a point that was tried stays
    tried. Without the cache the walk is the same, only slower.
    """
    layout = _layout(_Same(history.space), grid.resolution)
    known, start, counted = _progress.get(history, (grid, 0, 0))
    if known != grid or counted > len(history):
        start, counted = 0, 0
        _seen.pop(history, None)
    seen = _seen.setdefault(history, set())
    seen.update(config_key(t.config) for t in history.trials[counted:])
    leading = True
    for k in range(start, layout.size):
        config = layout.point(k)
        if config_key(config) not in seen:
            if leading:
                _progress[history] = (grid, k, len(history))
                leading = False
            yield config
    if leading:
        _progress[history] = (grid, layout.size, len(history))


class _Same:
    """A space as a cache key: equal only to the same object."""

    def __init__(self, space: Space) -> None:
        self.space = space

    def __hash__(self) -> int:
        return id(self.space)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and other.space is self.space


@dataclass(frozen=True)
class _Branch:
    """Values of the parameters of a component that conditions depend on, and the other parameters active then."""

    fixed: tuple[tuple[str, Value], ...]
    free: tuple[tuple[str, tuple[Value, ...]], ...]

    @property
    def size(self) -> int:
        return math.prod(len(values) for _, values in self.free)

    def point(self, index: int) -> Iterator[tuple[str, Value]]:
        yield from self.fixed
        for name, values in self.free:
            index, digit = divmod(index, len(values))
            yield name, values[digit]


@dataclass(frozen=True)
class _Component:
    """Parameters that conditions tie together, as the branches they have."""

    branches: tuple[_Branch, ...]
    ends: tuple[int, ...]  # cumulated sizes of the branches

    @classmethod
    def of(cls, branches: list[_Branch]) -> "_Component":
        return cls(tuple(branches), tuple(itertools.accumulate(b.size for b in branches)))

    @property
    def size(self) -> int:
        return self.ends[-1]

    def point(self, index: int) -> Iterator[tuple[str, Value]]:
        at = bisect_right(self.ends, index)
        return self.branches[at].point(index - (self.ends[at - 1] if at else 0))


@dataclass(frozen=True)
class _Layout:
    """The grid of a space. The k-th point that is tried has the index `k * stride % size`."""

    space: Space
    components: tuple[_Component, ...]
    size: int
    stride: int

    def point(self, k: int) -> Config:
        """The k-th point to try."""
        return self.at(k * self.stride % self.size)

    def at(self, index: int) -> Config:
        values: dict[str, Value] = {}
        for component in self.components:
            index, part = divmod(index, component.size)
            values.update(component.point(part))
        return self.space.build(lambda _, name: values[name])


@lru_cache(maxsize=64)
def _layout(same: _Same, resolution: int) -> _Layout:
    space = same.space
    values = {name: _values(space, name, resolution) for name in space.names}
    components = tuple(_Component.of(_branches(space, names, values)) for names in _components(space))
    size = math.prod(c.size for c in components)
    trial = _Layout(space, components, size, 1)
    return _Layout(space, components, size, _stride(trial))


def _values(space: Space, name: str, resolution: int) -> tuple[Value, ...]:
    """The grid of one parameter, with all values that conditions name."""
    values = space.params[name].grid(resolution)
    known = {identity(v) for v in values}
    for p in space.params.values():
        for value in p.when.get(name, ()):
            if identity(value) not in known:
                values.append(value)
                known.add(identity(value))
    return tuple(values)


def _components(space: Space) -> list[list[str]]:
    """The names of each component, parents before children; a parameter without conditions is one of its own."""
    group = {name: {name} for name in space.names}
    for name, p in space.params.items():
        for parent in p.when:
            if parent in group and group[parent] is not group[name]:
                joined = group[parent] | group[name]
                for member in joined:
                    group[member] = joined
    order: list[str] = []
    remaining = list(space.names)
    while remaining:  # the space has checked that conditions do not go in a circle
        ready = [n for n in remaining if all(parent not in remaining for parent in space.params[n].when)]
        order += ready
        remaining = [n for n in remaining if n not in ready]
    found: list[list[str]] = []
    done: set[str] = set()
    for name in order:
        if name not in done:
            found.append([n for n in order if n in group[name]])
            done |= group[name]
    return found


def _branches(space: Space, names: list[str], values: Mapping[str, tuple[Value, ...]]) -> list[_Branch]:
    deciding = {parent for p in space.params.values() for parent in p.when}
    configs: list[Config] = [dict(space.constants)]
    for name in (n for n in names if n in deciding):
        configs = [
            {**config, **extra}
            for config in configs
            for extra in ([{name: v} for v in values[name]] if space.active(name, config) else [{}])
        ]
        if len(configs) > MOST_BRANCHES:
            raise SpecError(f"grid: {names[0]} and what depends on it have more than {MOST_BRANCHES:,} branches")
    free = [n for n in names if n not in deciding]
    return [
        _Branch(
            tuple((n, config[n]) for n in names if n in config),
            tuple((n, values[n]) for n in free if space.active(n, config)),
        )
        for config in configs
    ]


def _stride(layout: _Layout, points: int = 64, candidates: int = 24) -> int:
    """A stride coprime to the grid's size, near its golden section, whose first points are spread most evenly.

    Any coprime stride visits every index once. See `_unevenness` for what is compared.
    """
    size = layout.size
    if size < 4:
        return 1
    points = min(points, size)
    found: list[tuple[int, int, int]] = []
    middle = round(size * GOLDEN)
    for offset in range(size):
        for stride in {middle + offset, middle - offset}:
            if 0 < stride < size and math.gcd(stride, size) == 1:
                found.append((_unevenness(layout, stride, points), offset, stride))
        if len(found) >= candidates:
            break
    return min(found)[2]


def _unevenness(layout: _Layout, stride: int, points: int) -> int:
    """How unequally often the parts of each component occur among the first points, summed over the components."""
    total = 0
    radix = 1
    for component in layout.components:
        parts = min(component.size, 8)  # long components are divided into eight equal parts
        counts = [0] * parts
        for k in range(points):
            counts[k * stride % layout.size // radix % component.size * parts // component.size] += 1
        total += max(counts) - min(counts)
        radix *= component.size
    return total
