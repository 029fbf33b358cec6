"""Models that plan ahead: fitted after about each tenth of new results, with what to try until the next fit in order.

In between a suggestion costs next to nothing, so a model keeps up with trials that take milliseconds. The k-th later
trial gets the k-th entry of the plan, whoever asks for it and whenever.
"""

from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from weakref import WeakKeyDictionary

import numpy as np

from automl.core import seeds
from automl.core.history import History
from automl.core.space import Config
from automl.core.strategy import Strategy
from automl.core.trial import State
from automl_strategies.surrogates.deduplication import Taken, fill
from automl_strategies.surrogates.initial_design import sobol
from automl_strategies.surrogates.observations import Evidence, evidence
from automl_strategies.surrogates.unit_cube import Cube, Mask, Points


class Planned(Strategy):
    """Quasi-random until `startup` trials have ended; then, but for a `random_share`, from the plan."""

    startup: int
    candidates: int
    random_share: float

    @abstractmethod
    def ranking(self, found: Evidence, points: Points, active: Mask, rng: np.random.Generator) -> Iterator[int]:
        """After a fit to `found`: which of `points` [M, d] to try, each chosen as if those before it were running, as
        `found.pending` are. Each at most once."""

    def suggest(self, history: History, n: int) -> list[Config]:
        if n == 0 or history.space.dim == 0:
            return [history.space.sample(history.rng(k)) for k in range(n)]
        taken = Taken(history)
        if (plan := self._plan(history)) is None:
            return fill(history, n, (sobol(history, k) for k in range(n)), taken)
        return fill(history, n, self._proposals(history, n, plan, taken), taken)

    def _proposals(self, history: History, n: int, plan: "_Plan", taken: Taken) -> Iterator[Config]:
        at = history.next_number - plan.before
        for k in range(n):
            draw = history.rng(k, "plan mix")
            if draw.random() < self.random_share:
                yield history.space.sample(draw)
                continue
            while (point := plan.point(at + k)) is not None:
                if (config := plan.cube.config(point)) not in taken:
                    yield config
                    break
                at += 1

    def _plan(self, history: History) -> "_Plan | None":
        """What to try until the next fit; None while too few trials have ended.

        A function of the history alone: it is remembered only because it costs time. It changes after about each tenth
        of new trials or endings, and when a paused one gets farther.
        """
        ended = history.count(State.DONE) + history.count(State.STOPPED) + history.count(State.FAILED)
        before, endings = _rounded(history.next_number), _rounded(ended)
        paused = history.version if history.count(State.PAUSED) else 0  # how far these got may change at any time
        looked: tuple[object, ...] = (self, history.seed, before, endings, paused)
        plans = _plans.setdefault(history, {})
        known = plans.get(self)
        if known is None or known.looked != looked:
            found = evidence(history, before, endings)
            if len(found) < self.startup:
                before, found, looked = history.next_number, evidence(history), ()
            if len(found) < self.startup:
                return None
            key = (self, before, history.seed, *(part.tobytes() for part in (found.points, found.losses, found.failed,
                                                                             found.pending)))  # fmt: skip
            if known is None or known.key != key:
                known = self._made(history.seed, found, before, key)
            known = plans[self] = replace(known, looked=looked)
        return known

    def _made(self, seed: int, found: Evidence, before: int, key: tuple[object, ...]) -> "_Plan":
        rng = np.random.default_rng(seeds.derive(seed, before, "candidates"))
        points = found.cube.snap(candidates(found, rng, self.candidates))
        active = found.cube.active(points)
        ranking = self.ranking(found, points, active, np.random.default_rng(seeds.derive(seed, before, "model")))
        return _Plan(key, (), before, found.cube, points, ranking)


@dataclass(frozen=True)
class _Plan:
    """Candidates [M, d], and which of them to try, as far as that was asked."""

    key: tuple[object, ...]
    looked: tuple[object, ...]  # what tells, without gathering evidence, that it would be the same
    before: int  # trials from this number on were not seen
    cube: Cube
    points: Points
    ranking: Iterator[int]
    picked: list[int] = field(default_factory=list)

    def point(self, k: int) -> Points | None:
        """The k-th pick [d]; None when all candidates are used up."""
        while len(self.picked) <= k and (pick := next(self.ranking, None)) is not None:
            self.picked.append(pick)
        return self.points[self.picked[k]] if k < len(self.picked) else None


_plans: "WeakKeyDictionary[History, dict[Planned, _Plan]]" = WeakKeyDictionary()


def _rounded(count: int) -> int:
    """`count` less what makes a refit worth it: a power of two about a tenth of it, at most 128."""
    return count - count % min(128, 1 << max(0, (count // 10).bit_length() - 1))


def candidates(found: Evidence, rng: np.random.Generator, count: int) -> Points:
    """Random points, neighbours of the best configs (also at the ends of their ranges) and mixtures of two good ones.
    [count, d]"""
    cube = found.cube
    near, crossed = count * 4 // 10, count // 5
    parents = np.where(np.isnan(found.points[:10]), 0.5, found.points[:10])
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
