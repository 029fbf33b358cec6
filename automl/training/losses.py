"""The training losses, by name; for one model here, and for many lanes in `automl.fused.tensors.losses`.

`val_loss` is the task's own loss whatever a trial is trained with, so that trials of different losses can be compared.

Shape letters: B batch, C classes, D values, T positions, V vocabulary.
"""

from collections.abc import Callable, Mapping

import torch.nn.functional as F
from torch import Tensor

from automl.core.user_code import import_object
from automl.errors import SpecError
from automl.metrics import missing
from automl.training.hyperparameters import LOSSES, Hyperparameters

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
}
"""Loss -> its formula; values of a regression are in standard units."""
TASKS = {"classification": "cross_entropy", "regression": "squared", "next_token": "cross_entropy"}
"""Kind of task -> its own loss."""


def own(options: Hyperparameters, kind: str) -> Each | None:
    """The loss that a trial has chosen; None where it is the task's own.

    Raises:
        SpecError: it is for tasks of another kind.
        TaskError: a user's loss cannot be imported.
    """
    name = options.loss
    if not name or name == TASKS[kind]:
        return None
    if kind == "next_token" or LOSSES.get(name, kind) != kind:
        known = [one for one, of in LOSSES.items() if of == kind] or [TASKS[kind]]
        raise SpecError(f"loss: {name} is not for {kind}; one of {', '.join(known)}")
    each: Each = import_object(name) if ":" in name else FORMULAS[name]
    return each


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
            (squared error, mean over the values that a row has; NaN: missing).
        outputs: classification `[B, C]` logits; next_token `[B, T, V]` logits; regression `[B, D]`. With an axis more,
            `[B, M, C]` or `[B, M, D]`, they are those of M members, whose losses are averaged.
        targets: classification `[B]` int64 or `[B, C]` probabilities; next_token `[B, T]` int64; regression `[B, D]`.
        weight: `[B]` sample weights w, for sum(w * loss) / sum(w); None: all equal.
        smoothing: label smoothing of the cross-entropy, 0..1 (Szegedy et al. 2016, sec. 7).
        each_of: another loss of each sample (see `own`); None: the task's.
    """
    if kind != "next_token" and outputs.dim() == 3:
        members = outputs.shape[1]
        outputs, targets = outputs.flatten(0, 1), targets.repeat_interleave(members, 0)
        weight = None if weight is None else weight.repeat_interleave(members, 0)
    if each_of is not None:
        each = each_of(outputs, targets)
    elif kind == "regression":
        each = FORMULAS["squared"](outputs, targets)
    elif kind == "next_token":
        each = F.cross_entropy(outputs.flatten(0, 1), targets.flatten(), reduction="none", label_smoothing=smoothing)
        each = each.view(targets.shape).mean(1)
    else:
        each = F.cross_entropy(outputs, targets, reduction="none", label_smoothing=smoothing)
    return each.mean() if weight is None else (each * weight).sum() / weight.sum().clamp_min(1e-12)
