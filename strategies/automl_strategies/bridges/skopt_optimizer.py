"""The models of scikit-optimize on our history: Gaussian process, random forest, extra trees."""

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from automl.core import seeds
from automl.core.history import History
from automl.core.space import Config
from automl.core.strategy import Strategy
from automl.errors import SpecError
from automl_strategies.surrogates.deduplication import SeenConfigs, new_configs
from automl_strategies.surrogates.initial_design import sobol
from automl_strategies.surrogates.observations import observations
from automl_strategies.surrogates.transforms import targets
from automl_strategies.surrogates.unit_cube import Points


@dataclass(frozen=True)
class Skopt(Strategy):
    """Use a model of scikit-optimize by name; for comparison, and for those who are used to it.

    Slower than `gp` and `forest`. The optimizer is made anew from the history for each call, and keeps no state.
    It knows no conditions (inactive parameters are taken at the middle of their range), and a failure counts as the
    worst loss. Its gradient-boosted trees are not offered: they do not work with current scikit-learn and numpy.

    Args:
        base_estimator: GP, RF or ET: Gaussian process, random forest or extra trees.
        acq_func: EI, PI or LCB: expected improvement, probability of improvement or lower confidence bound.
        startup: quasi-random trials before the model is used; at least 2.
        candidates: points at which the acquisition is computed; at least 16.
        most: trials that the model is fitted to: the best, and an even sample of the others. At least 16.

    Raises:
        SpecError: an option is wrong.

    Example:
        automl.search("space.yaml", strategy={"name": "skopt", "base_estimator": "GP"})
    """

    base_estimator: Literal["GP", "RF", "ET"] = "ET"
    acq_func: str = "EI"
    startup: int = 10
    candidates: int = 1000
    most: int = 300

    def __post_init__(self) -> None:
        if self.base_estimator not in ("GP", "RF", "ET"):
            raise SpecError(f"skopt: base_estimator is GP, RF or ET, got {self.base_estimator!r}")
        if self.acq_func not in ("EI", "PI", "LCB"):
            raise SpecError(f"skopt: acq_func is EI, PI or LCB, got {self.acq_func!r}")
        if self.startup < 2 or self.candidates < 16 or self.most < 16:
            raise SpecError("skopt: needs startup >= 2, candidates >= 16, most >= 16")

    def suggest(self, history: History, n: int) -> list[Config]:
        if n == 0 or history.space.dim == 0:
            return [history.space.sample(history.rng(k)) for k in range(n)]
        data, seen = observations(history), SeenConfigs(history)
        if len(data) < self.startup:
            return new_configs(history, n, (sobol(history, k) for k in range(n)), seen)
        return new_configs(history, n, self._proposals(history, seen), seen)

    def _proposals(self, history: History, seen: SeenConfigs) -> Iterator[Config]:
        """Candidates in the order of the acquisition, without those that are near one that was chosen."""
        data = observations(history)
        cube = data.cube
        x, y = data.points, targets(data)
        if len(y) > self.most:
            half = self.most // 2
            kept = np.unique(np.concatenate([np.arange(half), np.linspace(half, len(y) - 1, half).astype(np.int64)]))
            x, y = x[kept], y[kept]
        if len(data.failed):
            x = np.concatenate([x, data.failed[-self.most :]])
            y = np.concatenate([y, np.full(len(x) - len(y), y.max())])
        seed = seeds.derive(history.seed, history.next_number, "skopt") % 2**32
        model = self._fitted(_row(cube.categories, x), y, cube, seed)
        rng = history.rng(0, "skopt")
        points = cube.snap(rng.random((self.candidates, cube.dim)))
        near = np.nan_to_num(data.points[:5], nan=0.5)[rng.integers(0, min(5, len(data)), self.candidates // 2)]
        moved = np.clip(near + 0.1 * rng.standard_normal(near.shape) * (rng.random(near.shape) < 0.4), 0, 1)
        points = np.concatenate([points, cube.snap(moved)])
        value = self._acquisition(model, points, cube, float(y.min()))
        active = cube.active(points)
        chosen = [np.nan_to_num(row, nan=0.5) for row in data.pending]
        vectors = cube.fixed(points, active)
        for at in np.argsort(value, kind="stable"):
            if all(np.abs(vectors[at] - other).mean() > 0.02 for other in chosen):
                config = cube.config(points[at])
                if config not in seen:
                    chosen.append(vectors[at])
                    yield config

    def _fitted(self, x: list[list[Any]], y: np.ndarray, cube: Any, seed: int) -> Any:
        from skopt import Optimizer

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            optimizer = Optimizer(
                _dimensions(cube.categories),
                base_estimator=self.base_estimator,
                acq_func=self.acq_func,
                acq_optimizer="sampling",
                n_initial_points=1,
                random_state=seed,
                model_queue_size=1,
                acq_optimizer_kwargs={"n_points": 16},
            )
            optimizer.tell(x, y.tolist())
        return optimizer

    def _acquisition(self, optimizer: Any, points: Points, cube: Any, best: float) -> np.ndarray:
        from skopt.acquisition import _gaussian_acquisition

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            at = optimizer.space.transform(_row(cube.categories, points))
            value: np.ndarray = _gaussian_acquisition(at, optimizer.models[-1], y_opt=best, acq_func=self.acq_func)
        return value


def _dimensions(categories: np.ndarray) -> list[Any]:
    from skopt.space import Categorical, Real

    return [Categorical(list(range(int(c)))) if c > 1 else Real(0.0, 1.0) for c in categories]


def _row(categories: np.ndarray, points: Points) -> list[list[Any]]:
    """Points as scikit-optimize expects them: choices by index, other parameters as numbers."""
    full = np.clip(np.nan_to_num(points, nan=0.5), 0.0, 1.0)  # trials may lie outside of a space that was narrowed
    return [
        [min(int(u * c), int(c) - 1) if c > 1 else float(u) for u, c in zip(row, categories, strict=True)]
        for row in full
    ]
