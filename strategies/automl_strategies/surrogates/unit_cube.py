"""The unit cube encoder: many configs at once as points of the unit cube, rounded to values that exist.

Shapes: `M` points, `d` parameters (coordinates in the order of `space.names`, see `Space.encode`). In an encoded config
the coordinate of an inactive parameter is NaN.
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
MOST_ONE_HOT = 64
"""Choices of more values get no one-hot columns, which would cost time and memory for values never tried."""


class UnitCube:
    """The unit cube of a space. `categories[j]` is the number of values of an unordered choice, 0 for a number."""

    def __init__(self, space: Space) -> None:
        self.space = space
        self.params = list(space.params.values())
        self.categories = np.array(
            [len(p.choices) if isinstance(p, Choice) and not p.ordered else 0 for p in self.params], dtype=np.int64
        )

    @property
    def dim(self) -> int:
        """How many coordinates a point has."""
        return len(self.params)

    @cached_property
    def cells(self) -> NDArray[np.float64]:
        """How many different values each coordinate has [d]; infinite for a real number."""
        return np.array([p.size for p in self.params], dtype=np.float64)

    @cached_property
    def size(self) -> float:
        """An upper bound of the number of configs; conditions make them fewer."""
        return float(np.prod(self.cells)) if self.dim else 1.0

    @cached_property
    def _parents(self) -> list[tuple[int, list[tuple[int, NDArray[np.float64]]]]]:
        """(coordinate, [(coordinate of a parent, allowed values)]) of parameters with conditions, parents first."""
        at = {name: k for k, name in enumerate(self.space.names)}
        rows = []
        for k, name in self.space.parents_first:
            when = self.space.params[name].when
            conditions = [
                (at[parent], np.array([self.space.params[parent].to_unit(v) for v in allowed]))
                for parent, allowed in when.items()
                if parent in at
            ]
            never = any(parent not in at and not self._constant_allows(parent, when[parent]) for parent in when)
            if conditions or never:
                rows.append((k, [(k, np.array([]))] if never else conditions))
        return rows

    def _constant_allows(self, parent: str, allowed: Sequence[object]) -> bool:
        probe = Space({"p": Choice((True,), when={parent: tuple(allowed)})}, {parent: self.space.constants[parent]})  # type: ignore[arg-type]
        return probe.active("p", self.space.constants)

    def snap(self, points: Points) -> Points:
        """`points` [M, d], each coordinate moved to the middle of the cell of the value that it stands for."""
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
        """Which coordinates of snapped `points` [M, d] are active. [M, d]"""
        mask = np.ones(points.shape, dtype=np.bool_)
        for k, parents in self._parents:
            for parent, allowed in parents:
                near = np.abs(points[:, parent, None] - allowed[None, :]) < 1e-7
                mask[:, k] &= near.any(axis=1) & mask[:, parent]
        return mask

    def random(self, rng: np.random.Generator, count: int) -> Points:
        """`count` uniformly random, snapped points. [count, d]"""
        return self.snap(rng.random((count, self.dim)))

    def fixed(self, points: Points, active: Mask) -> Points:
        """`points` [M, d] with 0.5 where a coordinate is inactive, so that equal configs are equal points. [M, d]"""
        return np.where(active, points, 0.5)

    def config(self, point: Points) -> Config:
        """The config at one `point` [d]."""
        return self.space.decode(point)


def positions(coordinates: Points, total: int) -> NDArray[np.int64]:
    """Which of its `total` values a choice has at these coordinates [M], which are not NaN. [M]"""
    return np.minimum(coordinates * total, total - 1).astype(np.int64)


def one_hot(index: NDArray[np.int64], total: int) -> Points:
    """A row for each of `index` [M], with 1 in its column and 0 in the others. [M, total]"""
    rows = np.zeros((len(index), total))
    rows[np.arange(len(index)), index] = 1.0
    return rows


class _Encoded:
    """The configs of a history as points. Configs never change, so only those of new trials are encoded."""

    def __init__(self, history: History) -> None:
        self.cube = UnitCube(history.space)
        self.rows = np.empty((0, self.cube.dim))
        self.count = 0

    def upto(self, history: History) -> Points:
        """The points of all trials so far. [trials, d]"""
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


def encoded_trials(history: History) -> tuple[UnitCube, Points]:
    """The unit cube of the history's space, and the points of all its trials [trials, d], NaN where inactive.

    The array is shared: it may only be read.
    """
    known = _encoded.get(history)
    if known is None or known.cube.space is not history.space:
        known = _encoded[history] = _Encoded(history)
    return known.cube, known.upto(history)
