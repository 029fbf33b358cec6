"""The three losses, with weights and label smoothing."""

import torch.nn.functional as F
from torch import Tensor


def loss(kind: str, outputs: Tensor, targets: Tensor, weight: Tensor | None = None, smoothing: float = 0.0) -> Tensor:
    """Mean over the batch, a scalar.

    classification: `outputs` [B, C] logits, `targets` [B] int64 or [B, C] probabilities (mixed labels). regression:
    both [B, D], squared error. next_token: [B, T, V] and [B, T]. With `weight` [B]:
    sum(w * loss) / sum(w).
    """
    if kind == "regression":
        each = (outputs - targets).square().mean(1)
    elif kind == "next_token":
        each = F.cross_entropy(outputs.flatten(0, 1), targets.flatten(), reduction="none", label_smoothing=smoothing)
        each = each.view(targets.shape).mean(1)
    else:
        each = F.cross_entropy(outputs, targets, reduction="none", label_smoothing=smoothing)
    return each.mean() if weight is None else (each * weight).sum() / weight.sum().clamp_min(1e-12)
