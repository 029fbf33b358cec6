"""Whether a metric has a value on a sample: R2 needs targets that differ, the area under the ROC curve two classes."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from automl.metrics.kinds.kind import kind_of

if TYPE_CHECKING:
    from torch import Tensor

CONSTANT = 1e-12
"""A target whose variance is a smaller share of its mean square than this is constant: the rest is rounding."""
AT_ONCE = 1 << 20
"""Targets that are looked at at a time."""


def undefined(name: str, kind: str, y: "Tensor") -> str:
    """Why metric `name` has no value on these rows, as a clause ("all 40 rows are of one class"); "" where it has one.

    Args:
        name: without `val_` or `test_`.
        kind: of the task.
        y: [N] classes, or [N, D] values in standard units, or [N, T] tokens.
    """
    import torch

    n = len(y)
    if n == 0:
        return "there is no row"
    if name in ("auroc", "average_precision", "qwk") and kind == "classification" and _same(y):
        return f"all {n} rows are of one class" if n > 1 else "there is a single row"
    if name == "average_precision" and kind_of(kind).variant == "labels" and not bool((y > 0).any()):
        return f"none of {n} rows has a label"
    if name == "r2" and kind == "regression":
        mean = _mean(y, lambda values: values)
        if bool(mean.isnan().any()):
            return f"none of {n} rows has a value of one of the targets"
        squares, spread = _mean(y, torch.Tensor.square), _mean(y, lambda values: (values - mean).square())
        if bool((spread <= CONSTANT * squares).any()):
            return f"all {n} rows have the same target" if n > 1 else "there is a single row"
    return ""


def _same(y: "Tensor") -> bool:
    """Whether all classes are one, looking no further than to the first other."""
    import torch

    return all(bool((some == y[0]).all()) for some in torch.split(y, AT_ONCE))


def _mean(y: "Tensor", of: "Callable[[Tensor], Tensor]") -> "Tensor":
    """[D] the mean over rows with a value of a function of it, in float64, some rows at a time."""
    import torch

    pieces = [some.double().reshape(len(some), -1) for some in torch.split(y, AT_ONCE)]
    sums, there = [of(some).nansum(0) for some in pieces], [(~some.isnan()).sum(0) for some in pieces]
    return torch.stack(sums).sum(0) / torch.stack(there).sum(0)
