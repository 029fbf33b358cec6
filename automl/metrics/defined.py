"""Whether a metric has a value on a sample: R2 needs targets that differ, the area under the ROC curve two classes."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

CONSTANT = 1e-12
"""A target whose variance is a smaller share of its mean square than this is constant: the rest is rounding."""


def undefined(name: str, kind: str, y: "Tensor") -> str:
    """Why metric `name` has no value on these rows, as a clause ("all 40 rows are of one class"); "" where it has one.

    Args:
        name: without `val_` or `test_`.
        kind: of the task.
        y: [N] classes, or [N, D] values in standard units, or [N, T] tokens.
    """
    n = len(y)
    if n == 0:
        return "there is no row"
    if name == "auroc" and kind == "classification" and bool((y == y[0]).all()):
        return f"all {n} rows are of one class" if n > 1 else "there is a single row"
    if name == "r2" and kind == "regression":
        values = y.double().reshape(n, -1)
        spread = values.var(0, correction=0)
        if bool((spread <= CONSTANT * values.square().mean(0)).any()):
            return f"all {n} rows have the same target" if n > 1 else "there is a single row"
    return ""
