"""Counts: the loss by which their logarithmic rates are learned, and the deviance of the rates themselves.

Shape letters: ... lanes and rows, D values of a target.
"""

import torch
from torch import Tensor

from automl.metrics import missing

LEAST, MOST = 1e-9, 30.0
"""The least rate, and the largest logarithm of one, that an answer has."""


def poisson(outputs: Tensor, y: Tensor) -> Tensor:
    """[...] exp(o) - y * o of each row, mean over the targets that it has: the negative log-likelihood of a Poisson
    distribution with the rate exp(o), but for a constant (McCullagh and Nelder 1989, "Generalized linear models",
    sec. 6.2).

    Args:
        outputs: [..., D] logarithms of rates.
        y: [..., D] counts, NaN where one is missing.
    """
    each = outputs.exp() - y.nan_to_num(0.0) * outputs
    return missing.mean(each if y.shape[-1] == 1 else each.masked_fill(y.isnan(), 0.0), y)


def deviance(rates: Tensor, y: Tensor, unit: Tensor | None = None) -> Tensor:
    """[...] the Poisson deviance of each row, 2 * (y log(y / r) - y + r), mean over the targets that it has.

    The same source, sec. 2.3.

    Args:
        rates: [..., D], above 0.
        y: [..., D] counts, NaN where one is missing.
        unit: [D] of the targets; None: 1.
    """
    rates, known = rates.clamp_min(LEAST), y.nan_to_num(0.0)
    each = 2 * (torch.xlogy(known, known / rates) - known + rates)
    each = each if y.shape[-1] == 1 else each.masked_fill(y.isnan(), 0.0)
    return missing.mean(each if unit is None else each * unit, y)
