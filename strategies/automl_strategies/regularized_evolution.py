"""Regularized evolution: mutate the best of a random few of the latest trials; old ones die whatever they reached.

Real et al., "Regularized Evolution for Image Classifier Architecture Search" (AAAI 2019), asynchronous.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from automl.core.history import History
from automl.core.space import Config
from automl.core.strategy import Strategy
from automl.errors import SpecError
from automl_strategies.surrogates.deduplication import Taken, fill
from automl_strategies.surrogates.operators import mutated
from automl_strategies.surrogates.ranking import by_merit
from automl_strategies.surrogates.unit_cube import encoded

TRIES = 20  # children made before a random config takes the place of one that is new


@dataclass(frozen=True)
class Aging(Strategy):
    """Mutate the best of a sample of recent trials; the simple default of architecture search, for long searches with
    many workers and noisy results.
    """

    population: int = 50  # the latest so many trials are alive
    sample: int = 10  # of which so many are drawn, and the best is mutated

    def __post_init__(self) -> None:
        if self.population < 2 or not 1 <= self.sample <= self.population:
            raise SpecError("aging: needs population >= 2 and sample between 1 and population")

    def suggest(self, history: History, n: int) -> list[Config]:
        if n == 0 or history.space.dim == 0:
            return [history.space.sample(history.rng(k)) for k in range(n)]
        taken = Taken(history)
        return fill(history, n, self._children(history, n, taken), taken)

    def _children(self, history: History, n: int, taken: Taken) -> Iterator[Config]:
        cube, rows = encoded(history)
        latest = sorted(by_merit(history), key=lambda t: -t.number)[: self.population]
        alive = by_merit(history, latest)
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
                if config not in taken:
                    yield config
                    break
