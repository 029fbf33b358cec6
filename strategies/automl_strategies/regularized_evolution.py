"""Regularized evolution."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from automl.core.history import History
from automl.core.space import Config
from automl.core.strategy import Strategy
from automl.errors import SpecError
from automl_strategies.operators import mutated
from automl_strategies.surrogates.deduplication import SeenConfigs, new_configs
from automl_strategies.surrogates.ranking import rank_trials
from automl_strategies.surrogates.unit_cube import encoded_trials

TRIES = 20
"""Children that are made until one is new; after so many, a random config is suggested instead."""


@dataclass(frozen=True)
class Aging(Strategy):
    """Mutate the best of a sample of recent trials; for long searches with many workers and noisy results.

    Real et al., "Regularized Evolution for Image Classifier Architecture Search" (AAAI 2019), "aging evolution",
    without generations. A config leaves the population when it is old, however good it is: so one that was good by
    luck does not stay.

    Args:
        population: the latest so many trials can be parents; at least 2.
        sample: so many of them are drawn, and the best one is mutated; between 1 and `population`.

    Raises:
        SpecError: an option is out of its range.

    Example:
        automl.search("space.yaml", strategy={"name": "aging", "population": 100, "sample": 25})
    """

    population: int = 50
    sample: int = 10

    def __post_init__(self) -> None:
        if self.population < 2 or not 1 <= self.sample <= self.population:
            raise SpecError("aging: needs population >= 2 and sample between 1 and population")

    def suggest(self, history: History, n: int) -> list[Config]:
        if n == 0 or history.space.dim == 0:
            return [history.space.sample(history.rng(k)) for k in range(n)]
        seen = SeenConfigs(history)
        return new_configs(history, n, self._children(history, n, seen), seen)

    def _children(self, history: History, n: int, seen: SeenConfigs) -> Iterator[Config]:
        cube, rows = encoded_trials(history)
        latest = sorted(rank_trials(history), key=lambda t: -t.number)[: self.population]
        alive = rank_trials(history, latest)
        start = max(self.sample, self.population // 3)
        for k in range(n):
            rng = history.rng(k, "aging")
            if len(alive) < start:
                yield history.space.sample(rng)
                continue
            for _ in range(TRIES):
                best = alive[int(rng.integers(0, len(alive), self.sample).min())]
                parent = np.nan_to_num(rows[best.number], nan=0.5)
                config = cube.config(cube.snap(mutated(cube, parent, rng)[None, :])[0])
                if config not in seen:
                    yield config
                    break
