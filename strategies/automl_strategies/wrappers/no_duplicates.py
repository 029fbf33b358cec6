"""Never the same config twice, and an end when there is none left."""

from collections.abc import Iterator
from dataclasses import dataclass

from automl.core.history import History
from automl.core.space import Config
from automl.core.strategy import Strategy
from automl_strategies.grid_search import Grid
from automl_strategies.surrogates.deduplication import RANDOM_TRIES, Taken
from automl_strategies.surrogates.unit_cube import Cube
from automl_strategies.wrappers.base import Described, inner

ENUMERABLE = 200_000  # spaces up to this size are written out to find what is left


@dataclass(frozen=True)
class NoDuplicates(Strategy):
    """Follow another strategy but never repeat a config; in a finite space the search ends when all were tried."""

    strategy: Described = "auto"

    def suggest(self, history: History, n: int) -> list[Config]:
        taken = Taken(history)
        found: list[Config] = []
        for config in self._proposals(history, n):
            if len(found) == n:
                break
            if config not in taken:
                found.append(taken.add(config))
        return found

    def _proposals(self, history: History, n: int) -> Iterator[Config]:
        if n == 0:
            return
        yield from inner(self.strategy).suggest(history, n)
        rng = history.rng(0, "no duplicates")
        for _ in range(RANDOM_TRIES * n):
            yield history.space.sample(rng)
        if Cube(history.space).size <= ENUMERABLE:  # what random draws did not find any more
            largest = max([2, *(int(p.size) for p in history.space.params.values())])
            yield from Grid(resolution=largest).points(history.space)
