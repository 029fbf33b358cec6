"""A steady-state genetic algorithm."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from automl.core.history import History
from automl.core.space import Config
from automl.core.strategy import Strategy
from automl.errors import SpecError
from automl_strategies.operators import crossed, mutated
from automl_strategies.surrogates.deduplication import SeenConfigs, new_configs
from automl_strategies.surrogates.initial_design import sobol
from automl_strategies.surrogates.observations import Observations, observations

TRIES = 20
"""Children that are made until one is new; after so many, a random config is suggested instead."""


@dataclass(frozen=True)
class Genetic(Strategy):
    """Mix and mutate the best configs; robust, costs nothing, good with many workers and long searches.

    Whitley, "The GENITOR Algorithm and Selection Pressure" (ICGA 1989): steady state, without generations that workers
    would have to wait for. The population is always the best configs of the history. Operators: see
    `operators`.

    Args:
        population: how many of the best configs can be parents; at least 2.
        tournament: each parent is the best of so many random members of the population; at least 1.
        crossover: share of children with two parents; the others are mutations of one.
        immigrants: share of suggestions that are random.

    Raises:
        SpecError: an option is out of its range.

    Example:
        automl.search("space.yaml", strategy={"name": "genetic", "population": 40})
    """

    population: int = 20
    tournament: int = 3
    crossover: float = 0.7
    immigrants: float = 0.05

    def __post_init__(self) -> None:
        if self.population < 2 or self.tournament < 1:
            raise SpecError("genetic: needs population >= 2, tournament >= 1")
        if not (0 <= self.crossover <= 1 and 0 <= self.immigrants <= 1):
            raise SpecError("genetic: crossover and immigrants are shares between 0 and 1")

    def suggest(self, history: History, n: int) -> list[Config]:
        if n == 0 or history.space.dim == 0:
            return [history.space.sample(history.rng(k)) for k in range(n)]
        data, seen = observations(history), SeenConfigs(history)
        if len(data) < min(self.population, 10):
            return new_configs(history, n, (sobol(history, k) for k in range(n)), seen)
        return new_configs(history, n, self._children(history, data, n, seen), seen)

    def _children(self, history: History, data: Observations, n: int, seen: SeenConfigs) -> Iterator[Config]:
        cube = data.cube
        parents = np.clip(np.nan_to_num(data.points[: self.population], nan=0.5), 0.0, 1.0)  # the space may be narrower
        for k in range(n):
            rng = history.rng(k, "genetic")
            if rng.random() < self.immigrants:
                yield history.space.sample(rng)
                continue
            for _ in range(TRIES):
                a, b = (parents[rng.integers(0, len(parents), self.tournament).min()] for _ in range(2))
                child = crossed(cube, a, b, rng) if rng.random() < self.crossover else a
                config = cube.config(cube.snap(mutated(cube, child, rng)[None, :])[0])
                if config not in seen:
                    yield config
                    break
