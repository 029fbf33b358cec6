"""A genetic algorithm: children of the best configs, mixed and slightly changed.

Steady state (no generations, so no worker waits for one): the population is always the best configs known, which is
elitist and keeps nothing that the history does not hold. Operators from DEAP, see `operators`.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from automl.core.history import History
from automl.core.space import Config
from automl.core.strategy import Strategy
from automl.errors import SpecError
from automl_strategies.surrogates.deduplication import Taken, fill
from automl_strategies.surrogates.initial_design import sobol
from automl_strategies.surrogates.observations import Evidence, evidence
from automl_strategies.surrogates.operators import crossed, mutated

TRIES = 20  # children made before a random config takes the place of one that is new


@dataclass(frozen=True)
class Genetic(Strategy):
    """Mix and mutate the best configs, steadily; robust, costs nothing, good with many workers and long searches."""

    population: int = 20  # the best so many are parents
    tournament: int = 3  # parents are the best of so many drawn
    crossover: float = 0.7  # share of children with two parents
    immigrants: float = 0.05  # share of random configs

    def __post_init__(self) -> None:
        if self.population < 2 or self.tournament < 1:
            raise SpecError("genetic: needs population >= 2, tournament >= 1")
        if not (0 <= self.crossover <= 1 and 0 <= self.immigrants <= 1):
            raise SpecError("genetic: crossover and immigrants are shares between 0 and 1")

    def suggest(self, history: History, n: int) -> list[Config]:
        if n == 0 or history.space.dim == 0:
            return [history.space.sample(history.rng(k)) for k in range(n)]
        found, taken = evidence(history), Taken(history)
        if len(found) < min(self.population, 10):
            return fill(history, n, (sobol(history, k) for k in range(n)), taken)
        return fill(history, n, self._children(history, found, n, taken), taken)

    def _children(self, history: History, found: Evidence, n: int, taken: Taken) -> Iterator[Config]:
        cube = found.cube
        parents = np.where(np.isnan(found.points[: self.population]), 0.5, found.points[: self.population])
        for k in range(n):
            rng = history.rng(k, "genetic")
            if rng.random() < self.immigrants:
                yield history.space.sample(rng)
                continue
            for _ in range(TRIES):
                a, b = (parents[rng.integers(0, len(parents), self.tournament).min()] for _ in range(2))
                child = crossed(cube, a, b, rng) if rng.random() < self.crossover else a
                config = cube.config(cube.snap(mutated(cube, child, rng)[None, :])[0])
                if config not in taken:
                    yield config
                    break
