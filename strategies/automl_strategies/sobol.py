"""Quasi-random search: a scrambled Sobol sequence, which covers the space more evenly than random draws.

Sobol (1967), scrambling by Owen (1995) as implemented in scipy. The point of a trial is a function of (study seed,
trial number), so the sequence goes on where it was left.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.stats import qmc

from automl.core import seeds
from automl.core.history import History
from automl.core.space import Config
from automl.core.strategy import Strategy
from automl_strategies.surrogates.distinct import Taken, fill

MOST_DIMENSIONS = 1000  # coordinates beyond this are random
BLOCK = 256


@dataclass(frozen=True)
class Sobol(Strategy):
    """Spread the trials evenly over the space; better than random with few trials, as good with many workers."""

    def suggest(self, history: History, n: int) -> list[Config]:
        return fill(history, n, (sobol(history, k) for k in range(n)), Taken(history))


def sobol(history: History, k: int) -> Config:
    """The point of the k-th next trial in the study's sequence."""
    number = history.next_number + k
    dim = history.space.dim
    block = _block(dim, seeds.derive(history.seed, "sobol"), number // BLOCK)
    point = block[number % BLOCK]
    if dim > MOST_DIMENSIONS:
        point = np.concatenate([point, history.rng(k, "sobol").random(dim - MOST_DIMENSIONS)])
    return history.space.decode(point)


@lru_cache(maxsize=16)
def _block(dim: int, seed: int, index: int) -> np.ndarray:
    """`BLOCK` points of the sequence [BLOCK, dim]."""
    engine = qmc.Sobol(max(1, min(dim, MOST_DIMENSIONS)), scramble=True, rng=np.random.default_rng(seed))
    if index:
        engine.fast_forward(index * BLOCK)
    points: np.ndarray = engine.random(BLOCK)
    return points
