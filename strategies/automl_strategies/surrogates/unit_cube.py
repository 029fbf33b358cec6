"""The unit cube of a space, vectorised: rounding many points at once to what can be tried, and which parts are active.

`M` points, `d` parameters (coordinates in the order of `space.names`); see `Space.encode` for the meaning of a
coordinate. An inactive coordinate is NaN in an encoded config.
"""

import math
from collections.abc import Sequence
from functools import cached_property
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from automl.core.history import History
from automl.core.space import Choice, Config, Int, Space

Points = NDArray[np.float64]  # [M, d]
Mask = NDArray[np.bool_]  # [M, d]


class Cube:
    """Vectorised view of a space. `categories[j]` is the number of values of an unordered choice, 0 for a number."""

    def __init__(self, space: Space) -> None:
        self.space = space
        self.params = list(space.params.values())
        self.categories = np.array(
            [len(p.choices) if isinstance(p, Choice) and not p.ordered else 0 for p in self.params], dtype=np.int64
        )

    @property
    def dim(self) -> int:
        return len(self.params)

    @cached_property
    def cells(self) -> NDArray[np.float64]:
        """How many different values each coordinate has; inf for a real number. [d]"""
        return np.array([p.size for p in self.params], dtype=np.float64)

    @cached_property
    def size(self) -> float:
        """An upper bound of the number of configs (conditions only reduce it)."""
        return float(np.prod(self.cells)) if self.dim else 1.0

    @cached_property
    def _parents(self) -> list[tuple[int, list[tuple[int, NDArray[np.float64]]]]]:
        """(coordinate, [(its parent's coordinate, allowed coordinates there)]), parents before children."""
        at = {name: k for k, name in enumerate(self.space.names)}
        rows = []
        for k, name in self.space.parents_first:
            when = self.space.params[name].when
            found = [
                (at[parent], np.array([self.space.params[parent].to_unit(v) for v in allowed]))
                for parent, allowed in when.items()
                if parent in at
            ]
            never = any(parent not in at and not self._constant_allows(parent, when[parent]) for parent in when)
            if found or never:
                rows.append((k, [(k, np.array([]))] if never else found))
        return rows

    def _constant_allows(self, parent: str, allowed: Sequence[object]) -> bool:
        probe = Space({"p": Choice((True,), when={parent: tuple(allowed)})}, {parent: self.space.constants[parent]})  # type: ignore[arg-type]
        return probe.active("p", self.space.constants)

    def snap(self, points: Points) -> Points:
        """`points` [M, d] moved to the nearest points that stand for a value."""
        out = np.clip(points, 0.0, 1.0)
        for k, p in enumerate(self.params):
            if isinstance(p, Int) and p.log:
                low, high = math.log(p.low - 0.5), math.log(p.high + 0.5)
                value = np.clip(np.round(np.exp(low + out[:, k] * (high - low))), p.low, p.high)
                out[:, k] = (np.log(value) - low) / (high - low)
            elif math.isfinite(p.size):
                out[:, k] = (np.minimum(np.floor(out[:, k] * p.size), p.size - 1) + 0.5) / p.size
        return out

    def active(self, points: Points) -> Mask:
        """Which coordinates of snapped `points` [M, d] are active."""
        mask = np.ones(points.shape, dtype=np.bool_)
        for k, parents in self._parents:
            for parent, allowed in parents:
                near = np.abs(points[:, parent, None] - allowed[None, :]) < 1e-7
                mask[:, k] &= near.any(axis=1) & mask[:, parent]
        return mask

    def random(self, rng: np.random.Generator, count: int) -> Points:
        """`count` snapped points, uniform. [count, d]"""
        return self.snap(rng.random((count, self.dim)))

    def fixed(self, points: Points, active: Mask) -> Points:
        """`points` with the middle of the range wherever a coordinate is inactive: one vector for one config. [M, d]"""
        return np.where(active, points, 0.5)

    def config(self, point: Points) -> Config:
        """The config at one point [d]."""
        return self.space.decode(point)


class _Encoded:
    """Configs of a history as points; they never change, so only new ones are encoded."""

    def __init__(self, history: History) -> None:
        self.cube = Cube(history.space)
        self.rows = np.empty((0, self.cube.dim))
        self.count = 0

    def upto(self, history: History) -> Points:
        if self.count > len(history):
            self.count = 0
        if self.count < len(history):
            if len(self.rows) < len(history):
                grown = np.empty((max(64, 2 * len(history)), self.cube.dim))
                grown[: self.count] = self.rows[: self.count]
                self.rows = grown
            for k in range(self.count, len(history)):
                self.rows[k] = history.space.encode(history.trials[k].config)
            self.count = len(history)
        return self.rows[: self.count]


_encoded: "WeakKeyDictionary[History, _Encoded]" = WeakKeyDictionary()


def encoded(history: History) -> tuple[Cube, Points]:
    """The cube of the history's space and all its configs as points [trials, d], NaN where inactive. Read only."""
    found = _encoded.get(history)
    if found is None or found.cube.space is not history.space:
        found = _encoded[history] = _Encoded(history)
    return found.cube, found.upto(history)
