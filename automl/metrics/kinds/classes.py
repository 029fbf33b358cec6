"""Classes: the correlation of guesses with the truth, how far confidence is from accuracy, precision over recall.

Shape letters: ... lanes, K curves, N rows, C classes, B bins.
"""

from typing import Any

import torch
from torch import Tensor

BINS = 15


def matthews(hits: Any, actual: Any, guessed: Any) -> Any:
    """[...] Matthews' correlation coefficient of several classes (Gorodkin 2004, "Comparing two K-category assignments
    by a K-category correlation coefficient", eq. 8); 0 where all guesses, or all classes, are one, as in scikit-learn.

    Args:
        hits, actual, guessed: [..., C] shares of the rows that are of a class and guessed so, are of it, are guessed
            so; tensors or arrays.
    """
    common = hits.sum(-1) - (actual * guessed).sum(-1)
    spread = (1 - (actual**2).sum(-1)) * (1 - (guessed**2).sum(-1))
    nothing = spread <= 1e-12
    return common * ~nothing / (spread + nothing) ** 0.5


def confidence_gaps(outputs: Tensor, y: Tensor) -> Tensor:
    """[..., N, B] of each row, in the bin of its confidence, whether its guess is right minus that confidence.

    Args:
        outputs: [..., N, C] logits.
        y: [N].
    """
    confidence, guess = outputs.softmax(-1).max(-1)
    at = (confidence * BINS).ceil().long().sub_(1).clamp_(0, BINS - 1)
    gaps = (guess == y).to(outputs.dtype) - confidence
    return torch.zeros(*gaps.shape, BINS, dtype=gaps.dtype, device=gaps.device).scatter_(
        -1, at.unsqueeze(-1), gaps.unsqueeze(-1)
    )


def calibration_error(means: Tensor) -> Tensor:
    """[...] the expected calibration error with 15 bins of equal width (Guo et al. 2017, "On calibration of modern
    neural networks", eq. 3), from the means of `confidence_gaps`."""
    return means.abs().sum(-1)


def average_precision(scores: Tensor, positive: Tensor, weight: Tensor) -> Tensor:
    """[K] the sum of precisions weighted with the recall that each score adds, as in scikit-learn.

    That is the mean over positives of the precision among all rows with at least their score; nan without positives.

    Args:
        scores: [K, N].
        positive, weight: [N].
    """
    ordered, order = scores.sort(1)
    up, down = ((weight * side)[order].flip(1).cumsum(1).flip(1) for side in (positive, ~positive))
    first = torch.searchsorted(ordered, ordered, right=False)  # of equal scores the first place; of nan none
    first = first.clamp_max(max(scores.shape[1] - 1, 0))
    up, down = up.gather(1, first), down.gather(1, first)
    own = (weight * positive)[order]
    precision = up / (up + down).clamp_min(1e-300)
    return (precision * own).sum(1) / own.sum(1)
