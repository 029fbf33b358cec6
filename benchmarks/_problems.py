"""Black boxes without curves, in two halves: methods are tuned on the first and reported on the second.

Each is a function of a config, from one of three sources: formulas (`_functions`), exhaustive tables of real trainings
(`_grids`) and YAHPO Gym's surrogates of real trainings (`_surrogates`). Which task lies in which half was fixed before
any result of the report half was seen.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np

from automl.core.space import Config, Space


@dataclass(frozen=True, eq=False)
class Problem:
    """`loss(config)`, lower is better; regret is (loss - best) / (median of random - best)."""

    name: str
    space: Space
    loss: Callable[[Config], float]
    best: float  # of a table: its minimum; of a surrogate: the best that is known, which a search may pass
    kind: str  # numeric, mixed (tables and choices) or conditional
    half: str  # develop or report

    @cached_property
    def median(self) -> float:
        rng = np.random.default_rng(0)
        return float(np.median([self.loss(self.space.sample(rng)) for _ in range(2000)]))

    def regret(self, loss: float) -> float:
        return (loss - self.best) / (self.median - self.best)


@lru_cache
def problems(half: str) -> tuple[Problem, ...]:
    """The tasks of one half, `develop` or `report`."""
    import _functions
    import _grids
    import _surrogates

    made = [*_functions.problems(), *_surrogates.problems(half), *_grids.problems(half)]
    order = ("numeric", "mixed", "conditional")
    return tuple(sorted((p for p in made if p.half == half), key=lambda p: order.index(p.kind)))
