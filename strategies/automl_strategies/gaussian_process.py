"""Bayesian optimization with a Gaussian process: suggest where the expected improvement is largest.

Jones et al., "Efficient Global Optimization" (1998), with the logarithm of expected improvement (Ament et al. 2023),
a batch by believing the model's own mean at what is pending (Ginsbourger et al. 2010), and failures as a
probability that a config can be trained at all.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from automl.errors import SpecError
from automl.space import Config
from automl.trial import History
from automl_strategies.cube import Points
from automl_strategies.distinct import Taken, fill
from automl_strategies.evidence import Evidence, evidence, telling
from automl_strategies.matern import Features, GaussianProcess, log_expected_improvement, matern
from automl_strategies.sobol import sobol
from automl_strategies.warp import targets


@dataclass(frozen=True)
class Gp:
    """Fit a Gaussian process to all results and suggest where most improvement is expected; for few, costly trials.

    Strongest on up to about 20 parameters and 300 trials, choices (one-hot) and conditions (a flag for each) included;
    learns from stopped trials too. A suggestion costs 0.05 to 0.7 s. On very uneven functions `tpe` is better: `auto`
    mixes both.
    """

    startup: int = 10  # quasi-random trials before the model is asked
    candidates: int = 768  # points the acquisition is looked at before it is climbed
    most: int = 400  # trials the model is fitted to; beyond, the best and an even sample of the rest
    climbs: int = 6  # starting points of the gradient ascent

    def __post_init__(self) -> None:
        if self.startup < 2 or self.candidates < 16 or self.most < 16 or self.climbs < 0:
            raise SpecError("gp: needs startup >= 2, candidates >= 16, most >= 16, climbs >= 0")

    def suggest(self, history: History, n: int) -> list[Config]:
        if n == 0 or history.space.dim == 0:
            return [history.space.sample(history.rng(k)) for k in range(n)]
        found, taken = evidence(history), Taken(history)
        if len(found) < self.startup:
            return fill(history, n, (sobol(history, k) for k in range(n)), taken)
        return fill(history, n, Acquisition(self, history, found).proposals(n, taken), taken)


class Acquisition:
    """The model of one history, and where it expects improvement."""

    def __init__(self, options: Gp, history: History, found: Evidence) -> None:
        self.options, self.history, self.found = options, history, found
        self.cube = found.cube
        self.features = Features(self.cube)
        kept = telling(len(found), options.most)
        y = torch.from_numpy(targets(found)[kept])
        x = self.features.of(found.points[kept])
        model = GaussianProcess.fit(x, y, self.features.owner, self.cube.dim)
        mean, _ = model.predict(model.whiten(x))
        self.best = float(mean.min())  # the best *believed* value: a lucky noisy one does not count
        self.model = model.believing(self.features.of(found.pending[-options.most :]))
        self.good = x
        self.failed = self.features.of(found.failed[-options.most :])

    def value(self, features: Tensor) -> Tensor:
        """Log expected improvement plus log probability of not failing, at `features` [M, F] -> [M]."""
        mean, variance = self.model.predict(self.model.whiten(features))
        gain = log_expected_improvement(mean, variance, self.best)
        return gain if not len(self.failed) else gain + torch.log(self.feasible(features))

    def feasible(self, features: Tensor) -> Tensor:
        """Probability of not failing: failures and successes nearby, weighted by the kernel; one prior success."""
        good = matern(features, self.good, self.model.scales).pow(4).sum(1)
        bad = matern(features, self.failed, self.model.scales).pow(4).sum(1)
        return (good + 1.0) / (good + bad + 1.0)

    def proposals(self, n: int, taken: Taken) -> Iterator[Config]:
        """Up to `n` configs, each believed before the next is chosen."""
        for k in range(n):
            rng = self.history.rng(k, "gp")
            points = self.candidates(rng)
            points = np.concatenate([self.climbed(points), points])
            active = self.cube.active(points)
            with torch.no_grad():
                order = torch.argsort(self.value(self.features.of(points, active)), descending=True, stable=True)
            for at in order[:64].tolist():
                config = self.cube.config(points[at])
                if config not in taken:
                    row = self.features.of(points[at : at + 1], active[at : at + 1])
                    self.model = self.model.believing(row)
                    yield config
                    break

    def candidates(self, rng: np.random.Generator) -> Points:
        """Random points, and changed copies of the best configs. [M, d]"""
        count = self.options.candidates
        parents = np.nan_to_num(self.found.points[:5], nan=0.5)
        copies = parents[rng.integers(0, len(parents), count // 2)]
        width = rng.choice([0.02, 0.1, 0.3], size=(len(copies), 1))
        moved = copies + width * rng.standard_normal(copies.shape)
        moved = np.where(moved < 0, -moved, np.where(moved > 1, 2 - moved, moved))
        fresh = rng.random(copies.shape)
        change = rng.random(copies.shape) < np.maximum(2.0 / self.cube.dim, 0.2)
        change[np.arange(len(copies)), rng.integers(0, self.cube.dim, len(copies))] = True
        moved = np.where(self.cube.categories > 0, fresh, moved)
        return self.cube.snap(
            np.concatenate([rng.random((count - len(copies), self.cube.dim)), np.where(change, moved, copies)])
        )

    def climbed(self, points: Points, steps: int = 30) -> Points:
        """The best of `points` after projected gradient ascent on their numeric coordinates. [climbs, d]

        By resilient propagation (Riedmiller & Braun 1993): each coordinate of each start has its own step, which
        shrinks when the gradient changes sign; so all starts climb in one batch, and end exactly.
        """
        active = self.cube.active(points)
        with torch.no_grad():
            value = self.value(self.features.of(points, active))
        at = torch.argsort(value, descending=True, stable=True)[: self.options.climbs].numpy()
        points, active = points[at].copy(), active[at]
        numeric = self.features.numeric
        if not len(numeric) or not len(at):
            return points
        base = self.features.of(points, active)
        free = torch.from_numpy(active[:, numeric])
        u = base[:, : len(numeric)].clone().requires_grad_(True)
        optimizer = torch.optim.Rprop([u], lr=0.02, step_sizes=(1e-6, 0.2))
        for _ in range(steps):
            loss = -self.value(torch.cat([u, base[:, len(numeric) :]], dim=1)).sum()
            (u.grad,) = torch.autograd.grad(loss, u)
            optimizer.step()
            with torch.no_grad():
                u.clamp_(0.0, 1.0)
        points[:, numeric] = np.where(free.numpy(), u.detach().numpy(), points[:, numeric])
        return self.cube.snap(points)
