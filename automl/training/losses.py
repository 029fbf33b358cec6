"""The training loss of each kind of task, for one model; `automl.fused.tensors.losses` has the same for many lanes."""

import torch.nn.functional as F
from torch import Tensor


def loss(kind: str, outputs: Tensor, targets: Tensor, weight: Tensor | None = None, smoothing: float = 0.0) -> Tensor:
    """Mean loss of a batch, a scalar. Shape letters: B batch, C classes, D values, T positions, V vocabulary.

    Args:
        kind: "classification" (cross-entropy), "next_token" (cross-entropy, mean over positions) or "regression"
            (squared error, mean over values).
        outputs: classification `[B, C]` logits; next_token `[B, T, V]` logits; regression `[B, D]`.
        targets: classification `[B]` int64 or `[B, C]` probabilities; next_token `[B, T]` int64; regression `[B, D]`.
        weight: `[B]` sample weights w, for sum(w * loss) / sum(w); None: all equal.
        smoothing: label smoothing of the cross-entropy, 0..1 (Szegedy et al. 2016, sec. 7).
    """
    if kind == "regression":
        each = (outputs - targets).square().mean(1)
    elif kind == "next_token":
        each = F.cross_entropy(outputs.flatten(0, 1), targets.flatten(), reduction="none", label_smoothing=smoothing)
        each = each.view(targets.shape).mean(1)
    else:
        each = F.cross_entropy(outputs, targets, reduction="none", label_smoothing=smoothing)
    return each.mean() if weight is None else (each * weight).sum() / weight.sum().clamp_min(1e-12)
