"""Never suggests a config twice."""

from collections.abc import Iterator
from dataclasses import dataclass

from automl.core.history import History
from automl.core.space import Config
from automl.core.strategy import Strategy
from automl_strategies.grid_search import Grid
from automl_strategies.surrogates.deduplication import RANDOM_TRIES, SeenConfigs
from automl_strategies.surrogates.unit_cube import UnitCube
from automl_strategies.wrappers.base import Described, inner

ENUMERABLE = 200_000
"""Spaces with up to so many points are searched for those that are left."""


@dataclass(frozen=True)
class NoDuplicates(Strategy):
    """Follow another strategy but never repeat a config; in a finite space the search ends when all were tried.

    Args:
        strategy: which one to follow.

    Example:
        automl.search("space.yaml", strategy={"name": "no_duplicates", "strategy": "tpe"})
    """

    strategy: Described = "auto"

    def suggest(self, history: History, n: int) -> list[Config]:
        seen = SeenConfigs(history)
        chosen: list[Config] = []
        for config in self._proposals(history, n):
            if len(chosen) == n:
                break
            if config not in seen:
                chosen.append(seen.add(config))
        return chosen

    def _proposals(self, history: History, n: int) -> Iterator[Config]:
        if n == 0:
            return
        yield from inner(self.strategy).suggest(history, n)
        rng = history.rng(0, "no duplicates")
        for _ in range(RANDOM_TRIES * n):
            yield history.space.sample(rng)
        if UnitCube(history.space).size <= ENUMERABLE:  # which random draws no longer find
            largest = max([2, *(int(p.size) for p in history.space.params.values())])
            yield from Grid(resolution=largest).points(history.space)
