"""The training losses, by name; for one model here, and for many lanes in `automl.fused.tensors.losses`.

`val_loss` is the task's own loss whatever a trial is trained with, so that trials of different losses can be compared.

Shape letters: B batch, C classes, D values, T positions, V vocabulary.
"""

from collections.abc import Callable, Mapping

import torch.nn.functional as F
from torch import Tensor

from automl.core.user_code import import_object
from automl.metrics import missing
from automl.metrics.kinds import counts, labels, quantiles
from automl.metrics.kinds.kind import kind_of
from automl.metrics.kinds.measure import measures
from automl.training.hyperparameters import Hyperparameters, check_loss

Each = Callable[[Tensor, Tensor], Tensor]
"""(outputs `[B, C]` or `[B, D]`, targets `[B]` int64 or `[B, D]`) -> the loss of each sample `[B]`."""


def _focal(outputs: Tensor, targets: Tensor) -> Tensor:
    """(1 - p)^2 times the cross-entropy, p the probability of the true class."""
    each = F.cross_entropy(outputs, targets, reduction="none")
    return (-(-each).expm1()).square() * each


def _huber(outputs: Tensor, targets: Tensor) -> Tensor:
    """Huber 1964, with delta = 1."""
    gap = missing.gaps(outputs, targets)
    return missing.mean(F.huber_loss(gap, gap.new_zeros(()).expand_as(gap), reduction="none"), targets)


FORMULAS: Mapping[str, Each] = {
    "cross_entropy": lambda outputs, targets: F.cross_entropy(outputs, targets, reduction="none"),
    "focal": _focal,  # Lin et al. 2017, eq. 4, with gamma = 2
    "squared": lambda outputs, targets: missing.mean(missing.gaps(outputs, targets).square(), targets),
    "huber": _huber,
    "absolute": lambda outputs, targets: missing.mean(missing.gaps(outputs, targets).abs(), targets),
    "poisson": counts.poisson,
    "binary": labels.binary,
}
"""Loss -> its formula; values of a regression are in standard units. That of quantiles depends on their levels, see
`formula`."""
TASKS = {"classification": "cross_entropy", "regression": "squared", "next_token": "cross_entropy",
         "quantiles": "quantile", "counts": "poisson", "labels": "binary", "ordinal": "cross_entropy"}  # fmt: skip
"""Kind of task, or variant of one -> its own loss."""


def name_of(options: Hyperparameters, kind: str) -> str:
    """The name of the loss that a trial has."""
    return options.loss or TASKS[kind_of(kind).variant or kind]


def own(options: Hyperparameters, kind: str) -> Each | None:
    """The loss that a trial has chosen; None where it is the task's own.

    Raises:
        SpecError: it is for tasks of another kind.
        TaskError: a user's loss cannot be imported.
    """
    name, task = name_of(options, kind), kind_of(kind).variant or str(kind)
    if name == TASKS[task]:
        return None
    check_loss(name, task)
    each: Each = import_object(name) if ":" in name else FORMULAS[name]
    return each


def formula(kind: str) -> Each | None:
    """The task's own loss of what a network gives in training, for the variants of tasks; None for other tasks."""
    match kind_of(kind).variant:
        case "quantiles":
            levels = kind_of(kind).levels
            return lambda outputs, targets: quantiles.pinball(outputs, targets, levels)
        case "counts":
            return counts.poisson
        case "labels":
            return labels.binary
    return None


def of_answers(kind: str, outputs: Tensor, targets: Tensor, weight: Tensor | None = None) -> Tensor:
    """The mean loss by which answers are compared, a scalar: `val_loss`. Arguments as for `loss`."""
    own = measures(kind).get("loss")
    if own is None:
        return loss(kind, outputs, targets, weight)
    each = own.each(outputs, targets, outputs.new_ones(1))[..., 0]
    return each.mean() if weight is None else (each * weight).sum() / weight.sum().clamp_min(1e-12)


def loss(
    kind: str,
    outputs: Tensor,
    targets: Tensor,
    weight: Tensor | None = None,
    smoothing: float = 0.0,
    each_of: Each | None = None,
) -> Tensor:
    """Mean loss of a batch, a scalar.

    Args:
        kind: "classification" (cross-entropy), "next_token" (cross-entropy, mean over positions) or "regression"
            (squared error, mean over the values that a row has; NaN: missing); or a variant of these, see `formula`.
        outputs: what the network gives in training: classification `[B, C]` logits; next_token `[B, T, V]` logits;
            regression `[B, D]` (quantiles `[B, D * Q]`). With an axis more, `[B, M, C]` or `[B, M, D]`, they are those
            of M members, whose losses are averaged.
        targets: classification `[B]` int64 or `[B, C]` probabilities; next_token `[B, T]` int64; regression `[B, D]`.
        weight: `[B]` sample weights w, for sum(w * loss) / sum(w); None: all equal.
        smoothing: label smoothing of the cross-entropy, 0..1 (Szegedy et al. 2016, sec. 7).
        each_of: another loss of each sample (see `own`); None: the task's.
    """
    if kind != "next_token" and outputs.dim() == 3:
        members = outputs.shape[1]
        outputs, targets = outputs.flatten(0, 1), targets.repeat_interleave(members, 0)
        weight = None if weight is None else weight.repeat_interleave(members, 0)
    if (each_of := each_of or formula(kind)) is not None:
        each = each_of(outputs, targets)
    elif kind == "regression":
        each = FORMULAS["squared"](outputs, targets)
    elif kind == "next_token":
        each = F.cross_entropy(outputs.flatten(0, 1), targets.flatten(), reduction="none", label_smoothing=smoothing)
        each = each.view(targets.shape).mean(1)
    else:
        each = F.cross_entropy(outputs, targets, reduction="none", label_smoothing=smoothing)
    return each.mean() if weight is None else (each * weight).sum() / weight.sum().clamp_min(1e-12)
