"""Refits a linear head on precomputed features: ridge and logistic regression with a penalty on leaving the old head.

Shape letters: N rows, D features, U output units. A constant feature 1 stands for the bias.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

STRENGTH = 1e-3
"""The penalty for moving away from the old head, as a share of the features' mean square."""
STEPS = 40
"""Maximum number of L-BFGS steps."""


def ridge(h: Tensor, y: Tensor, old: Tensor, weight: Tensor | None = None, strength: float = STRENGTH) -> Tensor:
    """The weights [U, D] that minimize mean(w * |h W' - y|^2) + strength * m * |W - old|^2, m the mean square of h.

    Ridge regression (Hoerl & Kennard 1970) that shrinks towards `old` instead of 0; solved in float64.

    Args:
        h: [N, D] features, including the constant one.
        y: [N, U] targets of the head's outputs.
        old: [U, D] weights of the old head.
        weight: [N] sample weights; None: all equal.
        strength: the penalty for moving away from the old head.
    """
    h, y, old = h.double(), y.double(), old.double()
    w = torch.ones(len(h), dtype=torch.float64) if weight is None else weight.double()
    w = w / w.sum()
    gram = h.T @ (h * w[:, None])
    penalty = strength * gram.diagonal().mean() * torch.eye(h.shape[1], dtype=torch.float64)
    right = h.T @ ((y - h @ old.T) * w[:, None])
    change: Tensor = torch.linalg.solve(gram + penalty, right)
    return (old + change.T).float()


def logistic(
    h: Tensor, y: Tensor, old: Tensor, weight: Tensor | None = None, strength: float = STRENGTH,
    scale: float = 1.0, offset: Tensor | None = None,
) -> Tensor:  # fmt: skip
    """The weights [U, D] that minimize the mean cross-entropy + strength / 2 * m * |W - old|^2, by L-BFGS.

    Args:
        h: [N, D] features, including the constant one; m is their mean square.
        y: [N, U] target probabilities.
        old: [U, D] weights of the old head, where the optimization starts.
        weight: [N] sample weights; None: all equal.
        strength: the penalty for moving away from the old head.
        scale, offset: logits are `scale * h W' + offset`.
    """
    w = torch.ones(len(h)) if weight is None else weight
    w = w / w.sum()
    size = strength * (h * h).mean()
    added = 0.0 if offset is None else offset
    change = torch.zeros_like(old, requires_grad=True)
    solver = torch.optim.LBFGS([change], max_iter=STEPS, history_size=20, line_search_fn="strong_wolfe",
                               tolerance_grad=1e-5, tolerance_change=1e-6)  # fmt: skip

    def loss() -> Tensor:
        solver.zero_grad()
        logits = scale * (h @ (old + change).T) + added
        each = -(y * F.log_softmax(logits, -1)).sum(-1)
        total = (w * each).sum() + size / 2 * change.square().sum()
        total.backward()  # type: ignore[no-untyped-call]
        return total

    solver.step(loss)  # type: ignore[no-untyped-call]
    return old + change.detach()
