"""Bayesian optimization with a forest of regression trees: for categories, conditions and jumps.

Hutter et al., "Sequential Model-Based Optimization for General Algorithm Configuration" (SMAC, LION 2011): the spread
of the trees' predictions is the uncertainty, candidates are random points and neighbours of the best configs.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from weakref import WeakKeyDictionary

import numpy as np
from scipy.special import log_ndtr, ndtr

from automl import seeds
from automl.errors import SpecError
from automl.space import Config
from automl.trial import History, State
from automl_strategies.cube import Cube, Mask, Points, encoded
from automl_strategies.distinct import Taken, fill
from automl_strategies.evidence import Evidence, Floats, evidence, telling
from automl_strategies.sobol import sobol
from automl_strategies.trees import Trees
from automl_strategies.warp import targets

REACH = 0.08  # distance per parameter within which a pending config discourages another one
MOST = 500  # trials a model is fitted to: the better half, and others evenly from the rest


@dataclass(frozen=True)
class Forest:
    """Fit randomized trees to all results and suggest where most improvement is expected; for mixed and conditional
    spaces.

    Knows categories, conditions and failures; about 0.1 s a suggestion up to thousands of trials.
    """

    startup: int = 10  # quasi-random trials before the model is asked
    trees: int = 50
    candidates: int = 1000  # points the expected improvement is computed at
    random_share: float = 0.1  # share of suggestions that stay random, against a model that is sure and wrong

    def __post_init__(self) -> None:
        if self.startup < 2 or self.trees < 2 or self.candidates < 16 or not 0 <= self.random_share <= 1:
            raise SpecError("forest: needs startup >= 2, trees >= 2, candidates >= 16, random_share within [0, 1]")

    def suggest(self, history: History, n: int) -> list[Config]:
        if n == 0 or history.space.dim == 0:
            return [history.space.sample(history.rng(k)) for k in range(n)]
        taken = Taken(history)
        if (plan := self._planned(history)) is None:
            return fill(history, n, (sobol(history, k) for k in range(n)), taken)
        return fill(history, n, self._proposals(history, n, plan, taken), taken)

    def _proposals(self, history: History, n: int, plan: "_Plan", taken: Taken) -> Iterator[Config]:
        at = history.next_number - plan.before
        for k in range(n):
            draw = history.rng(k, "forest mix")
            if draw.random() < self.random_share:
                yield history.space.sample(draw)
                continue
            while (point := plan.point(at + k)) is not None:
                if (config := plan.cube.config(point)) not in taken:
                    yield config
                    break
                at += 1

    def _planned(self, history: History) -> "_Plan | None":
        """What to try until the next refit; None while too few trials have ended.

        The model is fitted anew after about each tenth of new trials or endings, or when a paused one gets farther. In
        between the plan is remembered, and the trial k numbers later is its k-th entry.
        """
        ended = history.count(State.DONE) + history.count(State.STOPPED) + history.count(State.FAILED)
        before, endings = _rounded(history.next_number), _rounded(ended)
        paused = history.version if history.count(State.PAUSED) else 0  # how far these got may change at any time
        looked: tuple[object, ...] = (self, history.seed, before, endings, paused)
        known = _known.get(history)
        if known is None or known.looked != looked:
            found = evidence(history, before, endings)
            if len(found) < self.startup:
                before, found, looked = history.next_number, evidence(history), ()
            if len(found) < self.startup:
                return None
            key = (self, before, history.seed, found.points.tobytes(), found.losses.tobytes(), found.failed.tobytes())
            if known is None or known.key != key:
                known = self._plan(history.seed, found, before, key)
            known = replace(known, looked=looked)
        running = tuple(t.number for t in history.running if t.number < known.before)
        if known.running != running:
            known = known.beside(running, np.nan_to_num(encoded(history)[1][list(running)], nan=0.5))
        _known[history] = known
        return known

    def _plan(self, seed: int, found: Evidence, before: int, key: tuple[object, ...]) -> "_Plan":
        cube, rng = found.cube, np.random.default_rng(seeds.derive(seed, before, "forest"))
        points = cube.snap(candidates(found, rng, self.candidates))
        active = cube.active(points)
        gain = self._gain(seed, before, found, _inputs(points, active))
        return _Plan(key, (), before, cube, points, cube.fixed(points, active), gain, (), gain.copy())

    def _gain(self, seed: int, before: int, found: Evidence, inputs: Floats) -> Floats:
        """The log of the expected improvement, times the probability of not failing, at `inputs` [M, d] -> [M]."""
        rng = np.random.default_rng(seeds.derive(seed, before, "trees"))
        rows = telling(len(found), MOST)
        x, y = _inputs(found.points, ~np.isnan(found.points))[rows], targets(found)[rows]
        each = Trees.grow(x, y, rng, self.trees, leaf=2, split=0.8, sample=0.63).each(inputs)
        mean, deviation = each.mean(axis=0), np.sqrt(each.var(axis=0) + 1e-4)
        z = (y.min() - mean) / deviation
        gain = np.where(z > -5, np.log(np.maximum(_h(z), 1e-300)), log_ndtr(z) - np.log(np.maximum(-z, 1.0)))
        expected: Floats = gain + np.log(deviation)
        if not len(found.failed):
            return expected
        bad = found.failed[-MOST:]
        both = np.concatenate([x, _inputs(bad, ~np.isnan(bad))])
        failed = np.repeat([0.0, 1.0], [len(x), len(bad)])
        guard = Trees.grow(both, failed, rng, 30, leaf=3, split=1.0, sample=1.0).each(inputs).mean(axis=0)
        likely: Floats = np.log(np.maximum(1.0 - guard, 0.02))
        return expected + likely


@dataclass(frozen=True)
class _Plan:
    """Candidates [M, d], the same as plain vectors, and the log of what each promises [M]; what was picked of them so
    far, best first, each keeping the next ones away from its neighbourhood, as `running` trials do (`score` [M])."""

    key: tuple[object, ...]
    looked: tuple[object, ...]  # what tells, without gathering evidence, that it would be the same
    before: int  # trials from this number on were not seen
    cube: Cube
    points: Points
    vectors: Points
    gain: Floats
    running: tuple[int, ...]
    score: Floats
    picked: list[int] = field(default_factory=list)

    def beside(self, running: tuple[int, ...], rows: Points) -> "_Plan":
        """The same with nothing picked yet, away from `rows` [p, d], the configs of the `running`."""
        return replace(self, running=running, score=self.gain + _discouraged(self.vectors, rows), picked=[])

    def point(self, k: int) -> Points | None:
        """The k-th pick [d]; None when all candidates are used up."""
        while len(self.picked) <= k < len(self.points):
            best = int(self.score.argmax())
            self.picked.append(best)
            self.score[:] += _discouraged(self.vectors, self.vectors[best : best + 1])
            self.score[best] = -np.inf
        return self.points[self.picked[k]] if k < len(self.points) else None


_known: "WeakKeyDictionary[History, _Plan]" = WeakKeyDictionary()


def _rounded(count: int) -> int:
    """`count` less what makes a refit worth it: a power of two about a tenth of it, at most 128."""
    return count - count % min(128, 1 << max(0, (count // 10).bit_length() - 1))


def candidates(found: Evidence, rng: np.random.Generator, count: int) -> Points:
    """Random points, neighbours of the best configs and mixtures of two good ones. [count, d]"""
    cube = found.cube
    near, crossed = count * 4 // 10, count // 5
    parents = np.where(np.isnan(found.points[:10]), 0.5, found.points[:10])
    rank = np.minimum((rng.random(near) ** 2 * len(parents)).astype(np.int64), len(parents) - 1)
    copies = parents[rank]
    width = rng.choice([0.03, 0.1, 0.3], size=(near, 1))
    moved = copies + width * rng.standard_normal(copies.shape)
    moved = np.where(moved < 0, -moved, np.where(moved > 1, 2 - moved, moved))
    moved = np.where(cube.categories > 0, rng.random(copies.shape), moved)
    change = rng.random(copies.shape) < 1.5 / cube.dim
    change[np.arange(near), rng.integers(0, cube.dim, near)] = True
    a, b = (parents[rng.integers(0, len(parents), crossed)] for _ in range(2))
    mixed = np.where(rng.random(a.shape) < 0.5, a, b)
    return np.concatenate([rng.random((count - near - crossed, cube.dim)), np.where(change, moved, copies), mixed])


def _inputs(points: Points, active: Mask) -> Floats:
    """What the trees split on: -1 marks an inactive parameter, outside every range. [M, d]"""
    return np.where(active, points, -1.0)


def _h(z: Floats) -> Floats:
    out: Floats = np.exp(-0.5 * z * z) / np.sqrt(2 * np.pi) + z * ndtr(z)
    return out


def _discouraged(vectors: Points, rows: Points) -> Floats:
    """A log penalty for each of `vectors` [M, d]: about 0 far from all `rows` [p, d] and large beside one. [M]"""
    apart = (vectors**2).sum(1)[:, None] + (rows**2).sum(1) - 2 * vectors @ rows.T
    near = np.maximum(apart, 0.0) / (vectors.shape[1] * REACH**2)
    out: Floats = np.log(-np.expm1(-0.5 * near) + 1e-6).sum(1)
    return out
