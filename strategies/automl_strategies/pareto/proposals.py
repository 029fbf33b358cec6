"""Configs for several objectives, or one under limits, where every trial ran its full length.

Each metric has a Gaussian process of its own. Two objectives: the expected hypervolume improvement and random weights
(ParEGO) in turn, because each is ahead on some fronts; more objectives: an estimate of the improvement.
Limits: times the probability of keeping them (Gardner et al., "Bayesian Optimization with Inequality Constraints",
ICML 2014).

Shapes: `M` points, `F` features, `d` parameters, `n` observations.
"""

from collections.abc import Callable, Iterator

import numpy as np
from scipy.special import log_ndtr

from automl.core.history import History
from automl.core.objectives.goals import Objectives
from automl.core.space import Config
from automl_strategies.pareto.improvement import (
    expected_hypervolume_improvement,
    front_of,
    reference,
    sampled_improvement,
    scalarized,
)
from automl_strategies.surrogates.acquisition import Acquisition
from automl_strategies.surrogates.deduplication import SeenConfigs
from automl_strategies.surrogates.gp import log_expected_improvement
from automl_strategies.surrogates.observations import Floats, Observations
from automl_strategies.surrogates.transforms import output_transform, standardized
from automl_strategies.surrogates.unit_cube import Points

Make = Callable[..., Acquisition]
WIDTHS = (0.05, 0.015, 0.004)
"""Standard deviations of the changes in each round of local search."""
BEST, COPIES = 12, 16
"""So many of the best points are changed in each round, each so often."""


def proposals(history: History, n: int, data: Observations, seen: SeenConfigs, make: Make) -> Iterator[Config]:
    """Up to `n` new configs; each counts as running when the next one is chosen.

    Args:
        history: with several objectives or limits.
        n: how many.
        data: its observations, all of full length.
        seen: the configs that were tried.
        make: fits a process: `make(data, values=losses)`.
    """
    objectives = history.objectives
    count = len(objectives.metrics)
    losses = np.stack([output_transform(column) for column in data.vectors[:, :count].T], axis=1)
    chosen: list[Points] = []

    def model_of(targets: Floats) -> FrontAcquisition:
        model = FrontAcquisition(data, objectives, targets, make)
        for row in chosen:
            model.believe(row)
        return model

    by_front: FrontAcquisition | None = None
    for k in range(n):
        rng = history.rng(k, "gp")
        if count == 2 and (history.next_number + k) % 2 == 1:
            model = model_of(standardized(scalarized(losses, rng))[:, None])
        else:
            model = by_front = by_front or model_of(losses)
        found = model.best(rng, seen)
        if found is None:
            return
        config, row = found
        chosen.append(row)
        if by_front is not None:
            by_front.believe(row)
        yield config


class FrontAcquisition:
    """Gaussian processes of one or two losses, and of all limited metrics.

    Args:
        data: the observations.
        objectives: of the study.
        losses: what the processes learn [n, 1 or 2], transformed.
        make: fits a process: `make(data, values=losses)`.
    """

    def __init__(self, data: Observations, objectives: Objectives, losses: Floats, make: Make) -> None:
        self.data, self.objectives = data, objectives
        self.models = [make(data, values=column) for column in losses.T]
        self.limits: list[tuple[Acquisition, float]] = []
        for k, limit in enumerate(objectives.limits, len(objectives.metrics)):
            column = output_transform(np.append(data.vectors[:, k], limit.loss(limit.bound)))
            model = make(data, values=column[:-1])
            self.limits.append((model, model.scaled(float(column[-1]))))
        first = self.models[0]
        keeps = objectives.excess(data.vectors)[first.kept] == 0.0
        means = np.stack([one.model.predict(one.model.whiten(first.good))[0] for one in self.models], axis=1)
        self.corner, self.keeping = reference(means), means[keeps]
        self.front = front_of(self.keeping) if means.shape[1] == 2 else self.keeping

    def value(self, features: Floats) -> Floats:
        """The logarithm of what is gained at `features` [M, F], times the probability of keeping all limits. [M]"""
        total = np.zeros(len(features))
        if len(self.keeping) or not self.limits:
            predicted = [one.model.predict(one.model.whiten(features)) for one in self.models]
            if len(predicted) > 1:
                mean, variance = (np.stack(part, axis=1) for part in zip(*predicted, strict=True))
                if len(predicted) == 2:
                    gain = expected_hypervolume_improvement(mean, variance, self.front, self.corner)
                else:
                    rng = np.random.default_rng(len(self.front))  # the same draws for all points
                    gain = sampled_improvement(mean, variance, self.front, self.corner, rng)
                total += np.log(np.maximum(gain, 1e-300))
            else:
                total += log_expected_improvement(*predicted[0], float(self.keeping.min()))
        for model, bound in self.limits:
            mean, variance = model.model.predict(model.model.whiten(features))
            total += log_ndtr((bound - mean) / np.sqrt(variance + model.model.noise))
        first = self.models[0]
        return total + np.log(first.feasible(features)) if len(first.failed) else total

    def best(self, rng: np.random.Generator, seen: SeenConfigs) -> tuple[Config, Points] | None:
        """The best new config that is found, and its point [1, d]; None where every candidate was tried before."""
        cube, first = self.data.cube, self.models[0]
        points = first.draw(rng, parents=max(5, min(len(self.front), 40)))
        value = self._value_at(points)
        for width in WIDTHS:
            top = points[np.argsort(-value, kind="stable")[:BEST]]
            moved = np.repeat(top, COPIES, axis=0)
            step = width * rng.standard_normal(moved.shape) * (rng.random(moved.shape) < max(0.5, 2.0 / cube.dim))
            fresh = rng.random(moved.shape)
            other = np.where(rng.random(moved.shape) < 1.0 / cube.dim, fresh, moved)
            moved = cube.snap(np.where(cube.categories > 0, other, np.clip(moved + step, 0.0, 1.0)))
            points, value = np.concatenate([points, moved]), np.concatenate([value, self._value_at(moved)])
        for at in np.argsort(-value, kind="stable")[:64].tolist():
            config = cube.config(points[at])
            if config not in seen:
                return config, points[at : at + 1]
        return None

    def _value_at(self, points: Points) -> Floats:
        active, first = self.data.cube.active(points), self.models[0]
        return self.value(first.features.of(points, active)) + first.discouragement(points, active)

    def believe(self, row: Points) -> None:
        """Take the point `row` [1, d] for one that is running."""
        for one in (*self.models, *(model for model, _ in self.limits)):
            one.model = one.model.believing(one.features.of(row, self.data.cube.active(row)))
