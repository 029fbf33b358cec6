"""A Gaussian process with a Matern-5/2 kernel and one length scale per parameter, in torch, in float64.

Rasmussen & Williams, "Gaussian Processes for Machine Learning" (2006), algorithm 2.1; priors as in Hvarfner et al.,
"Vanilla Bayesian Optimization Performs Great in High Dimensions" (ICML 2024), which keep a fit sensible from few data.

Shapes: `n` observations, `M` candidates, `F` features, `d` parameters.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from scipy.optimize import minimize
from torch import Tensor

from automl_strategies.cube import Cube, Mask, Points
from automl_strategies.likelihood import JITTER, LOG_NOISE, Likelihood

SQRT5 = math.sqrt(5.0)


class Features:
    """Points of the unit cube as vectors a stationary kernel can compare.

    Numbers as they are (the middle where inactive), unordered choices one-hot, and a flag for each parameter that has
    a condition. `owner[f]` is the parameter feature f belongs to: all its features share a length scale.
    """

    def __init__(self, cube: Cube) -> None:
        self.cube = cube
        self.numeric = np.flatnonzero(cube.categories == 0)
        self.choices = np.flatnonzero(cube.categories > 0)
        self.flagged = np.array([k for k, p in enumerate(cube.params) if p.when], dtype=np.int64)
        one_hot = [np.full(int(cube.categories[j]), j) for j in self.choices]
        self.owner = np.concatenate([self.numeric, *one_hot, self.flagged]).astype(np.int64)

    def of(self, points: Points, active: Mask | None = None) -> Tensor:
        """`points` [M, d], NaN (or not `active`) where inactive -> [M, F] float64."""
        known = ~np.isnan(points) if active is None else active
        parts = [np.where(known, points, 0.5)[:, self.numeric]]
        for j in self.choices:
            total = int(self.cube.categories[j])
            mine = np.minimum(np.where(known[:, j], points[:, j], 0.0) * total, total - 1).astype(np.int64)
            parts.append(np.eye(total)[mine] * known[:, j, None] / math.sqrt(2.0))
        parts.append(known[:, self.flagged] * 0.5)
        return torch.from_numpy(np.concatenate(parts, axis=1))


def matern(a: Tensor, b: Tensor, scales: Tensor) -> Tensor:
    """Matern-5/2 correlation of rows [M, F] and [n, F] with inverse length scales [F] -> [M, n]."""
    x, y = a * scales, b * scales
    squared = (x * x).sum(1)[:, None] + (y * y).sum(1)[None, :] - 2.0 * x @ y.T
    r = SQRT5 * torch.sqrt(squared.clamp_min(1e-12))
    return (1.0 + r + r * r / 3.0) * torch.exp(-r)


@dataclass
class GaussianProcess:
    """A fitted process. Losses are standardized by the caller: mean 0, variance 1."""

    x: Tensor  # [n, F]
    y: Tensor  # [n]
    scales: Tensor  # [F] inverse length scales
    signal: Tensor  # variance of the function
    noise: Tensor  # variance of the noise
    mean: Tensor
    factor: Tensor  # [n, n] Cholesky factor of the covariance of y

    @classmethod
    def fit(cls, x: Tensor, y: Tensor, owner: np.ndarray, dim: int, steps: int = 60) -> "GaussianProcess":
        """The most probable hyperparameters for observations `x` [n, F], `y` [n]."""
        likelihood = Likelihood.of(x, y, owner, dim)
        start = np.concatenate([np.full(dim, likelihood.center - 1.5), [0.0], [LOG_NOISE[0]], [0.0]])
        bounds = [(-4.0, 5.0)] * dim + [(-4.0, 4.0), (-14.0, 1.0), (-3.0, 3.0)]
        found = minimize(likelihood, start, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": steps})
        theta = torch.from_numpy(np.asarray(found.x if np.isfinite(found.fun) else start, dtype=np.float64))
        scales = torch.exp(-theta[:dim])[torch.from_numpy(owner)]
        signal, noise, mean = torch.exp(theta[dim]), torch.exp(theta[dim + 1]), theta[dim + 2]
        covariance = signal * matern(x, x, scales) + (noise + JITTER) * torch.eye(len(x), dtype=x.dtype)
        return cls(x, y, scales, signal, noise, mean, torch.linalg.cholesky(covariance))

    def whiten(self, candidates: Tensor) -> Tensor:
        """L^-1 k(x, candidates): what prediction needs of `candidates` [M, F] -> [n, M]."""
        cross = self.signal * matern(self.x, candidates, self.scales)
        found: Tensor = torch.linalg.solve_triangular(self.factor, cross, upper=False)
        return found

    def predict(self, white: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and variance of the function (without noise) at candidates given by `whiten` -> [M], [M]."""
        target = torch.linalg.solve_triangular(self.factor, (self.y - self.mean)[:, None], upper=False)[:, 0]
        variance = self.signal - (white * white).sum(0)
        return self.mean + target @ white, variance.clamp_min(1e-10)

    def believing(self, x: Tensor) -> "GaussianProcess":
        """The process after its own mean was observed at `x` [p, F]: less variance there, the same mean everywhere."""
        if not len(x):
            return self
        white = self.whiten(x)
        mean, _ = self.predict(white)
        noise = (self.noise + JITTER) * torch.eye(len(x), dtype=x.dtype)
        corner = torch.linalg.cholesky(self.signal * matern(x, x, self.scales) + noise - white.T @ white)
        top = torch.cat([self.factor, torch.zeros(len(self.x), len(x), dtype=x.dtype)], dim=1)
        factor = torch.cat([top, torch.cat([white.T, corner], dim=1)])
        return GaussianProcess(
            torch.cat([self.x, x]), torch.cat([self.y, mean]), self.scales, self.signal, self.noise, self.mean, factor
        )


def log_expected_improvement(mean: Tensor, variance: Tensor, best: float) -> Tensor:
    """log E[max(best - f, 0)], finite however small it is (Ament et al., "Unexpected Improvements", NeurIPS 2023)."""
    deviation = torch.sqrt(variance)
    z = (best - mean) / deviation
    # h(z) = phi(z) + z Phi(z); for z < -1 through erfcx, which does not underflow
    safe = z.clamp_min(-1.0)
    near = torch.log(torch.exp(-0.5 * safe * safe) / math.sqrt(2 * math.pi) + safe * torch.special.ndtr(safe))
    low = z.clamp(-1e6, -1.0)
    ratio = (-low * math.sqrt(math.pi / 2) * torch.special.erfcx(-low / math.sqrt(2.0))).clamp(max=1 - 1e-15)
    tail = torch.where(low < -1e3, -2.0 * torch.log(-low), torch.log1p(-ratio.clamp(max=1 - 1e-12)))
    far = -0.5 * low * low - 0.5 * math.log(2 * math.pi) + tail
    return torch.where(z > -1.0, near, far) + torch.log(deviation)
