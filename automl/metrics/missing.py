"""Rows that have a value of some of several targets only: a missing one is NaN, and counts in no loss or metric.

A row's error is the mean over the targets that it has, so that every row counts the same; where no value is missing
that is the mean over all of them.

Shape letters: ... lanes and rows, D values of a target.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def gaps(outputs: "Tensor", y: "Tensor") -> "Tensor":
    """`[..., D]` outputs minus targets, 0 (with the gradient 0) where the target is missing."""
    gap = outputs - y
    return gap if y.shape[-1] == 1 else gap.masked_fill(y.isnan(), 0.0)


def shares(y: "Tensor") -> "Tensor | None":
    """`[..., D]` what each target counts in the mean over those of its row; None: all count the same.

    A row without any target counts nothing.
    """
    if y.shape[-1] == 1:
        return None
    present = (~y.isnan()).to(y.dtype)
    return present / present.sum(-1, keepdim=True).clamp_min(1)


def mean(each: "Tensor", y: "Tensor") -> "Tensor":
    """`[...]` the mean over the targets that a row has of its errors `each` `[..., D]`, which are 0 for the others."""
    share = shares(y)
    return each.mean(-1) if share is None else (each * share).sum(-1)
