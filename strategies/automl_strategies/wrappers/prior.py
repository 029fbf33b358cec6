"""Searches near a guess as long as it is good."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from automl.core.history import History
from automl.core.space import Config, Value
from automl.core.strategy import Strategy
from automl.errors import SpecError
from automl_strategies.surrogates.deduplication import SeenConfigs, new_configs
from automl_strategies.surrogates.ranking import rank_trials
from automl_strategies.surrogates.unit_cube import Points, encoded_trials
from automl_strategies.wrappers.base import Described, inner

NEAR = 0.15
"""A config whose mean distance per parameter from the guess is smaller than this counts for the guess."""


@dataclass(frozen=True)
class Prior(Strategy):
    """Draw part of the configs around a good guess (or the defaults); the share shrinks if the guess is poor.

    After Mallik et al., "PriorBand" (NeurIPS 2023): the share follows how well the guess did so far.

    Args:
        config: the guess; parameters that it leaves out take their default, or the middle of their range.
        confidence: the share of configs near the guess at first: 0 ignores it, 1 tries nothing else.
        width: standard deviation around the guess, as a share of each range; above 0, at most 1.
        strategy: suggests the other configs.

    Raises:
        SpecError: an option is out of its range.

    Example:
        automl.search("space.yaml", strategy={"name": "prior", "config": {"lr": 0.01}, "confidence": 0.7})
    """

    config: Mapping[str, Value] = field(default_factory=dict)
    confidence: float = 0.5
    width: float = 0.15
    strategy: Described = "auto"

    def __post_init__(self) -> None:
        if not 0 <= self.confidence <= 1 or not 0 < self.width <= 1:
            raise SpecError("prior: confidence and width are shares between 0 and 1")

    def suggest(self, history: History, n: int) -> list[Config]:
        if n == 0 or history.space.dim == 0:
            return [history.space.sample(history.rng(k)) for k in range(n)]
        guess = history.space.completed(self.config)
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
        return new_configs(history, n, proposals + rest, SeenConfigs(history))

    def share(self, history: History, center: Points) -> float:
        """The share of suggestions near the guess `center` [d]: `confidence`, times how often the best are near it."""
        best = rank_trials(history)[: max(3, len(history) // 5)]
        if len(history) < 10 or not best:
            return self.confidence
        rows = encoded_trials(history)[1][[t.number for t in best]]
        near = np.nanmean(np.abs(rows - center), axis=1) < NEAR
        return self.confidence * float(0.1 + 0.9 * near.mean())

    def _near(self, history: History, center: Points, rng: np.random.Generator) -> Config:
        cube = encoded_trials(history)[0]
        moved = center + self.width * rng.standard_normal(cube.dim)
        moved = np.where(moved < 0, -moved, np.where(moved > 1, 2 - moved, moved))
        kept = rng.random(cube.dim) > self.width * 2  # choices change rarely
        point = np.where(cube.categories > 0, np.where(kept, center, rng.random(cube.dim)), moved)
        return cube.config(cube.snap(point[None, :])[0])
