"""The initial design: the points of a scrambled Sobol sequence, which cover the space evenly.

Sobol (1967), scrambled as by Owen (1995), from scipy. The point of a trial depends on (study seed, trial number) alone.
"""

from functools import lru_cache

import numpy as np
from scipy.stats import qmc

from automl.core import seeds
from automl.core.history import History
from automl.core.space import Config

MOST_DIMENSIONS = 1000
"""Coordinates beyond this are random."""
BLOCK = 256
"""Points that are computed at once."""


def sobol(history: History, k: int) -> Config:
    """The config of the k-th next trial in the study's Sobol sequence."""
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
