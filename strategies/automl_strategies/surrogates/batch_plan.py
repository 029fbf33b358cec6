"""Batch plans: a model is fitted after about each tenth of new results, and plans what to try until the next fit.

In between a suggestion costs next to nothing, so the model keeps up with trials that take milliseconds. The k-th trial
after the fit gets the k-th entry of the plan, whoever asks for it and when.
"""

from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from automl.core import seeds
from automl.core.history import History
from automl.core.space import Config
from automl.core.strategy import Strategy
from automl.core.trial import State
from automl_strategies.surrogates.deduplication import SeenConfigs, new_configs
from automl_strategies.surrogates.drawbacks.failures import enough
from automl_strategies.surrogates.initial_design import sobol
from automl_strategies.surrogates.observations import Observations, haste, observations
from automl_strategies.surrogates.unit_cube import Mask, Points, UnitCube


class BatchPlanner(Strategy):
    """Base of strategies with a batch plan: quasi-random until `startup` trials have ended, then from the plan.

    A subclass is a frozen dataclass with these options, and writes `plan`.
    """

    startup: int  # trials that end before there is a plan
    candidates: int  # points that a plan chooses from
    random_share: float  # share of suggestions that are random instead

    @abstractmethod
    def plan(self, data: Observations, points: Points, active: Mask, rng: np.random.Generator) -> Iterator[int]:
        """Fit a model, and choose among candidates.

        Args:
            data: what the model is fitted to.
            points: the candidates [M, d].
            active: which of their coordinates are active [M, d].
            rng: all randomness.

        Returns:
            the rows of `points` in the order in which they are tried, each at most once. A row is chosen as if all
            rows before it were running, as the trials in `data.pending` are.
        """

    def suggest(self, history: History, n: int) -> list[Config]:
        if n == 0 or history.space.dim == 0:
            return [history.space.sample(history.rng(k)) for k in range(n)]
        seen = SeenConfigs(history)
        if (plan := self._current(history)) is None:
            return new_configs(history, n, (sobol(history, k) for k in range(n)), seen)
        return new_configs(history, n, self._proposals(history, n, plan, seen), seen)

    def _proposals(self, history: History, n: int, plan: "_BatchPlan", seen: SeenConfigs) -> Iterator[Config]:
        at = history.next_number - plan.before
        for k in range(n):
            draw = history.rng(k, "plan mix")
            if draw.random() < self.random_share:
                yield history.space.sample(draw)
                continue
            while (point := plan.point(at + k)) is not None:
                if (config := plan.cube.config(point)) not in seen:
                    yield config
                    break
                at += 1

    def _current(self, history: History) -> "_BatchPlan | None":
        """The plan until the next fit; None while too few trials have ended.

        It depends on the history alone, and is cached only because it costs time. It changes after about each tenth
        of new trials or endings, and when a paused trial gets farther.
        """
        ended = history.count(State.DONE) + history.count(State.STOPPED) + history.count(State.FAILED)
        before, endings = _rounded(history.next_number), _rounded(ended)
        paid = _rounded(len(history.paid)) if haste(history, before) else None
        paused = history.version if history.count(State.PAUSED) else 0  # paused trials may get farther at any time
        state: tuple[object, ...] = (self, history.seed, before, endings, paused, paid)
        plans = _plans.setdefault(history, {})
        known = plans.get(self)
        if known is None or known.state != state:
            data = observations(history, before, endings, paid)
            if not enough(data, self.startup):
                before, data, state = history.next_number, observations(history), ()
            if not enough(data, self.startup):
                return None
            arrays = (data.points, data.losses, data.failed, data.pending, data.paces)
            key = (self, before, history.seed, data.haste, *(array.tobytes() for array in arrays))
            if known is None or known.key != key:
                known = self._new(history.seed, data, before, key)
            known = plans[self] = replace(known, state=state)
        return known

    def _new(self, seed: int, data: Observations, before: int, key: tuple[object, ...]) -> "_BatchPlan":
        rng = np.random.default_rng(seeds.derive(seed, before, "candidates"))
        points = data.cube.snap(candidates(data, rng, self.candidates))
        points = points[_distinct(points, data.cube.active(points))]
        active = data.cube.active(points)
        order = self.plan(data, points, active, np.random.default_rng(seeds.derive(seed, before, "model")))
        return _BatchPlan(key, (), before, data.cube, points, order)


def _distinct(points: Points, active: Mask) -> NDArray[np.intp]:
    """The first row of each config, in their order. In small spaces, most candidates are the same few configs."""
    return np.sort(np.unique(np.where(active, points, -1.0), axis=0, return_index=True)[1])


@dataclass(frozen=True)
class _BatchPlan:
    """Candidates [M, d], and the order in which they are tried, computed as far as it was needed."""

    key: tuple[object, ...]  # what it was computed from
    state: tuple[object, ...]  # of the history: if it is the same, so is the key
    before: int  # trials from this number on were not known
    cube: UnitCube
    points: Points
    order: Iterator[int]
    chosen: list[int] = field(default_factory=list)  # the beginning of `order`

    def point(self, k: int) -> Points | None:
        """The k-th point to try [d]; None where all candidates are used up."""
        while len(self.chosen) <= k and (row := next(self.order, None)) is not None:
            self.chosen.append(row)
        return self.points[self.chosen[k]] if k < len(self.chosen) else None


_plans: "WeakKeyDictionary[History, dict[BatchPlanner, _BatchPlan]]" = WeakKeyDictionary()


def _rounded(count: int) -> int:
    """`count` rounded down to a multiple of a power of two that is about a tenth of it, and at most 128."""
    return count - count % min(128, 1 << max(0, (count // 10).bit_length() - 1))


def candidates(data: Observations, rng: np.random.Generator, count: int) -> Points:
    """Points that a plan chooses from. [count, d]

    Random points, neighbours of the best configs (also at the ends of the ranges), and mixtures of two good configs.
    """
    cube = data.cube
    near, crossed = count * 4 // 10, count // 5
    parents = np.where(np.isnan(data.points[:10]), 0.5, data.points[:10])
    rank = np.minimum((rng.random(near) ** 2 * len(parents)).astype(np.int64), len(parents) - 1)
    copies = parents[rank]
    width = rng.choice([0.03, 0.1, 0.3], size=(near, 1))
    moved = copies + width * rng.standard_normal(copies.shape)
    inside = np.where(moved < 0, -moved, np.where(moved > 1, 2 - moved, moved))
    moved = np.where(rng.random((near, 1)) < 0.5, inside, np.clip(moved, 0.0, 1.0))
    moved = np.where(cube.categories > 0, rng.random(copies.shape), moved)
    change = rng.random(copies.shape) < 1.5 / cube.dim
    change[np.arange(near), rng.integers(0, cube.dim, near)] = True
    a, b = (parents[rng.integers(0, len(parents), crossed)] for _ in range(2))
    mixed = np.where(rng.random(a.shape) < 0.5, a, b)
    return np.concatenate([rng.random((count - near - crossed, cube.dim)), np.where(change, moved, copies), mixed])
