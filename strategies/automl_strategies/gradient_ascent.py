"""Gradient ascent on the confidence bound of a Gaussian process."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from automl.core.history import History
from automl.core.space import Config
from automl.core.strategy import Strategy
from automl.errors import SpecError
from automl_strategies.surrogates.acquisition import Acquisition
from automl_strategies.surrogates.deduplication import SeenConfigs, new_configs
from automl_strategies.surrogates.drawbacks.failures import enough
from automl_strategies.surrogates.initial_design import sobol
from automl_strategies.surrogates.observations import Floats, observations


@dataclass(frozen=True)
class Gradient(Strategy):
    """Follow the gradient of a smooth model of the results from the best configs; for refining few numbers.

    The lower confidence bound of Cox & John, "SDO: A Statistical Method for Global Optimization" (1997), climbed from
    good configs and random points: more local and greedy than `gp`. The gradient is that of the model with respect to
    the numeric parameters, not that of the training; choices stay as they are in the configs where the climbs begin.

    Args:
        startup: quasi-random trials before there is a model; at least 2.
        starts: climbs for one suggestion, half of them from good configs; at least 1.
        steps: of each climb; at least 1.
        optimism: the bound lies so many standard deviations below the mean.

    Raises:
        SpecError: an option is too small.

    Example:
        automl.search("space.yaml", strategy={"name": "gradient", "optimism": 2.0})
    """

    startup: int = 10
    starts: int = 8
    steps: int = 40
    optimism: float = 1.0

    def __post_init__(self) -> None:
        if self.startup < 2 or self.starts < 1 or self.steps < 1:
            raise SpecError("gradient: needs startup >= 2, starts >= 1, steps >= 1")

    def suggest(self, history: History, n: int) -> list[Config]:
        if n == 0 or history.space.dim == 0:
            return [history.space.sample(history.rng(k)) for k in range(n)]
        data, seen = observations(history), SeenConfigs(history)
        if not enough(data, self.startup):
            return new_configs(history, n, (sobol(history, k) for k in range(n)), seen)
        model = ConfidenceBound(data, climbs=self.starts)
        model.optimism = self.optimism
        return new_configs(history, n, self._climbs(history, model, n, seen), seen)

    def _climbs(self, history: History, model: "ConfidenceBound", n: int, seen: SeenConfigs) -> Iterator[Config]:
        cube = model.cube
        for k in range(n):
            rng = history.rng(k, "gradient")
            good = np.nan_to_num(model.data.points[: self.starts // 2 + 1], nan=0.5)
            starts = np.concatenate([good, rng.random((self.starts - len(good) + 1, cube.dim))])[: self.starts]
            starts = np.clip(starts + 0.05 * rng.standard_normal(starts.shape) * (cube.categories == 0), 0, 1)
            ends = model.climbed(cube.snap(starts), self.steps)
            active = cube.active(ends)
            value = model.value(model.features.of(ends, active))
            for at in np.argsort(-value, kind="stable").tolist():
                config = cube.config(ends[at])
                if config not in seen:
                    model.model = model.model.believing(model.features.of(ends[at : at + 1], active[at : at + 1]))
                    yield config
                    break


class ConfidenceBound(Acquisition):
    """Acquisition by the lower confidence bound of the loss, in place of expected improvement.

    Attributes:
        optimism: how many standard deviations below the mean the bound lies.
    """

    optimism: float = 1.0

    def acquisition(self, mean: Floats, variance: Floats) -> Floats:
        bound: Floats = self.optimism * np.sqrt(variance) - mean
        return bound

    def acquisition_slopes(self, mean: Floats, variance: Floats) -> tuple[Floats, Floats]:
        return -np.ones_like(mean), 0.5 * self.optimism / np.sqrt(variance)
