"""Gradient ascent on a surrogate: climb what the model believes about the numeric parameters, from many starts.

What it is not: it does not differentiate training. The gradient is that of a Gaussian process's lower confidence bound
with respect to the numeric parameters; choices are taken from the good configs the climbs start at.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from automl.core.history import History
from automl.core.space import Config
from automl.core.strategy import Strategy
from automl.errors import SpecError
from automl_strategies.gaussian_process import Gp
from automl_strategies.surrogates.acquisition import Acquisition
from automl_strategies.surrogates.deduplication import Taken, fill
from automl_strategies.surrogates.initial_design import sobol
from automl_strategies.surrogates.observations import Floats, evidence


@dataclass(frozen=True)
class Gradient(Strategy):
    """Follow the gradient of a smooth model of the results from the best configs; for refining few numbers.

    Each suggestion starts at another good config or random point and climbs the model's optimistic bound. Local and
    greedy compared with `gp`; not a gradient of the training itself.
    """

    startup: int = 10  # quasi-random trials before there is a model
    starts: int = 8  # climbs for one suggestion, half from good configs
    steps: int = 40  # steps of each climb
    optimism: float = 1.0  # deviations below the mean that count as the value

    def __post_init__(self) -> None:
        if self.startup < 2 or self.starts < 1 or self.steps < 1:
            raise SpecError("gradient: needs startup >= 2, starts >= 1, steps >= 1")

    def suggest(self, history: History, n: int) -> list[Config]:
        if n == 0 or history.space.dim == 0:
            return [history.space.sample(history.rng(k)) for k in range(n)]
        found, taken = evidence(history), Taken(history)
        if len(found) < self.startup:
            return fill(history, n, (sobol(history, k) for k in range(n)), taken)
        model = Bound(Gp(startup=self.startup, climbs=self.starts), found)
        model.optimism = self.optimism
        return fill(history, n, self._climbs(history, model, n, taken), taken)

    def _climbs(self, history: History, model: "Bound", n: int, taken: Taken) -> Iterator[Config]:
        cube = model.cube
        for k in range(n):
            rng = history.rng(k, "gradient")
            good = np.nan_to_num(model.found.points[: self.starts // 2 + 1], nan=0.5)
            starts = np.concatenate([good, rng.random((self.starts - len(good) + 1, cube.dim))])[: self.starts]
            starts = np.clip(starts + 0.05 * rng.standard_normal(starts.shape) * (cube.categories == 0), 0, 1)
            ends = model.climbed(cube.snap(starts), self.steps)
            active = cube.active(ends)
            value = model.value(model.features.of(ends, active))
            for at in np.argsort(-value, kind="stable").tolist():
                config = cube.config(ends[at])
                if config not in taken:
                    model.model = model.model.believing(model.features.of(ends[at : at + 1], active[at : at + 1]))
                    yield config
                    break


class Bound(Acquisition):
    """The optimistic bound in place of expected improvement."""

    optimism: float = 1.0

    def worth(self, mean: Floats, variance: Floats) -> Floats:
        bound: Floats = self.optimism * np.sqrt(variance) - mean
        return bound

    def worth_slopes(self, mean: Floats, variance: Floats) -> tuple[Floats, Floats]:
        return -np.ones_like(mean), 0.5 * self.optimism / np.sqrt(variance)
