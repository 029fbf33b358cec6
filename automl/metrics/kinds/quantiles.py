"""Quantiles of values: the pinball loss and the share of rows between them.

Shape letters: ... lanes and rows, D values of a target, Q quantiles of each, in rising order: outputs are [..., D * Q].
"""

from collections.abc import Sequence
from functools import cache

import torch
from torch import Tensor

from automl.metrics import missing


def pinball(outputs: Tensor, y: Tensor, levels: Sequence[float], unit: Tensor | None = None) -> Tensor:
    """[...] the pinball loss of each row, mean over the quantiles and the targets that it has.

    (y - q) * (level - [y < q]) for a quantile q: Koenker and Bassett 1978, "Regression quantiles", eq. 1.

    Args:
        outputs: [..., D * Q].
        y: [..., D], NaN where a value is missing.
        levels: of the quantiles.
        unit: [D] of the targets; None: 1.
    """
    gap = _gaps(outputs, y, len(levels))
    each = (gap * (_levels(tuple(levels), gap.dtype, gap.device) - (gap < 0).to(gap.dtype))).mean(-1)
    return missing.mean(each if unit is None else each * unit, y)


def within(outputs: Tensor, y: Tensor, levels: Sequence[float]) -> Tensor:
    """[...] the share of a row's targets that lie between the lowest and the highest quantile, both included."""
    gap = _gaps(outputs, y, len(levels))
    inside = ((gap[..., 0] >= 0) & (gap[..., -1] <= 0)).to(gap.dtype)
    return missing.mean(inside, y)


def _gaps(outputs: Tensor, y: Tensor, count: int) -> Tensor:
    """[..., D, Q] targets minus quantiles, 0 where the target is missing."""
    gap = y.unsqueeze(-1) - outputs.reshape(*outputs.shape[:-1], y.shape[-1], count)
    return gap if y.shape[-1] == 1 else gap.masked_fill(y.isnan().unsqueeze(-1), 0.0)


@cache
def _levels(levels: tuple[float, ...], dtype: torch.dtype, device: torch.device) -> Tensor:
    """[Q] the levels as a tensor, made once."""
    return torch.tensor(levels, dtype=dtype, device=device)
