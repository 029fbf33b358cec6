"""Metrics that are functions of means over rows, each written once: for one model, for many at once, and row by row.

Shape letters: ... lanes, N rows, U units of outputs, D values of a target, k numbers of a row.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from torch import Tensor

from automl.metrics.kinds import classes, counts, labels, ordinal, quantiles
from automl.metrics.kinds.kind import kind_of

Each = Callable[[Tensor, Tensor, Tensor], Tensor]
"""(outputs [..., N, U], y [N, D], unit [D] of the target) -> what each row contributes [..., N, k]."""
Of = Callable[[Tensor], Tensor]
"""The weighted means of these numbers over rows [..., k] -> the metric [...]."""


@dataclass(frozen=True)
class Measure:
    """A metric: what each row contributes, and the metric as a function of the means of that.

    `late`: it takes long, so lanes are measured by it when auroc is, see `metrics.batched`.
    """

    each: Each
    of: Of = lambda means: means[..., 0]
    late: bool = False


CLASSES = {"ece": Measure(lambda out, y, unit: classes.confidence_gaps(out, y), classes.calibration_error, late=True)}


def measures(kind: str) -> Mapping[str, Measure]:
    """The metrics of a task that are written here, by name; those of its variant stand in the place of its kind's."""
    own = kind_of(kind)
    if own.variant == "quantiles":
        levels = own.levels
        return {
            "loss": Measure(lambda out, y, unit: quantiles.pinball(out, y, levels).unsqueeze(-1)),
            "pinball": Measure(lambda out, y, unit: quantiles.pinball(out, y, levels, unit).unsqueeze(-1)),
            "coverage": Measure(lambda out, y, unit: quantiles.within(out, y, levels).unsqueeze(-1)),
        }
    if own.variant == "counts":
        return {
            "loss": Measure(lambda out, y, unit: counts.deviance(out, y).unsqueeze(-1)),
            "poisson_deviance": Measure(lambda out, y, unit: counts.deviance(out, y, unit).unsqueeze(-1)),
        }
    if own.variant == "labels":
        return {
            "loss": Measure(lambda out, y, unit: labels.cross_entropy(out, y).unsqueeze(-1)),
            "f1_macro": Measure(lambda out, y, unit: labels.counted(out, y), labels.f1_macro),
            "f1_micro": Measure(lambda out, y, unit: labels.counted(out, y), labels.f1_micro),
        }
    if own.variant == "ordinal":
        return {
            **CLASSES,
            "qwk": Measure(lambda out, y, unit: ordinal.agreement(out, y), ordinal.kappa),
            "rank_mae": Measure(lambda out, y, unit: ordinal.apart(out, y)),
        }
    return CLASSES if own == "classification" else {}
