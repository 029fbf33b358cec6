"""Search near what an expert would try, without believing him for ever.

After Mallik et al., "PriorBand" (NeurIPS 2023): a share of the suggestions is drawn around the prior, and that share
follows how well the prior did.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from automl.core.history import History
from automl.core.space import Config, Value
from automl.core.strategy import Strategy
from automl.errors import SpecError
from automl_strategies.surrogates.deduplication import Taken, fill
from automl_strategies.surrogates.ranking import by_merit
from automl_strategies.surrogates.unit_cube import Points, encoded
from automl_strategies.wrappers.base import Described, inner
from automl_strategies.wrappers.first import completed

ORIGIN_NEAR = 0.15  # a config this close to the prior (mean distance per parameter) counts as the prior's success


@dataclass(frozen=True)
class Prior(Strategy):
    """Draw part of the configs around a good guess (or the defaults); the share shrinks if the guess is poor.

    `confidence` 0 ignores the guess, 1 begins with nothing else.
    """

    config: Mapping[str, Value] = field(default_factory=dict)  # the guess; what it leaves out takes its default
    confidence: float = 0.5
    width: float = 0.15  # deviation around the guess, as a share of each range
    strategy: Described = "auto"  # draws the rest

    def __post_init__(self) -> None:
        if not 0 <= self.confidence <= 1 or not 0 < self.width <= 1:
            raise SpecError("prior: confidence and width are shares between 0 and 1")

    def suggest(self, history: History, n: int) -> list[Config]:
        if n == 0 or history.space.dim == 0:
            return [history.space.sample(history.rng(k)) for k in range(n)]
        guess = completed(history.space, self.config)
        center = np.nan_to_num(history.space.encode(guess), nan=0.5)
        share = self.share(history, center)
        rest = inner(self.strategy).suggest(history, n)
        proposals: list[Config] = []
        for k in range(n):
            rng = history.rng(k, "prior")
            if history.next_number + k == 0:
                proposals.append(guess)
            elif rng.random() < share:
                proposals.append(self._near(history, center, rng))
            elif rest:
                proposals.append(rest.pop(0))
        return fill(history, n, proposals + rest, Taken(history))

    def share(self, history: History, center: Points) -> float:
        """Share of suggestions near the guess: `confidence`, less the fewer of the best trials lie near it."""
        best = by_merit(history)[: max(3, len(history) // 5)]
        if len(history) < 10 or not best:
            return self.confidence
        rows = encoded(history)[1][[t.number for t in best]]
        near = np.nanmean(np.abs(rows - center), axis=1) < ORIGIN_NEAR
        return self.confidence * float(0.1 + 0.9 * near.mean())

    def _near(self, history: History, center: Points, rng: np.random.Generator) -> Config:
        cube = encoded(history)[0]
        moved = center + self.width * rng.standard_normal(cube.dim)
        moved = np.where(moved < 0, -moved, np.where(moved > 1, 2 - moved, moved))
        kept = rng.random(cube.dim) > self.width * 2  # choices change rarely
        point = np.where(cube.categories > 0, np.where(kept, center, rng.random(cube.dim)), moved)
        return cube.config(cube.snap(point[None, :])[0])
