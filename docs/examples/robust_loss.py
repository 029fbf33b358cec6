"""A loss of your own: generalized cross-entropy, for labels that are partly wrong (Zhang & Sabuncu 2018, eq. 6).

In a specification beside this file:

    space:
      loss: robust_loss:generalized_cross_entropy    # or [cross_entropy, robust_loss:...], to search it

`val_loss` stays the cross-entropy, so that trials of different losses can be compared.
"""

import torch
from torch import Tensor

Q = 0.7  # between the cross-entropy (near 0) and the share of errors (1)


def generalized_cross_entropy(outputs: Tensor, targets: Tensor) -> Tensor:
    """The loss of each sample, `[B]`: what the samples have in common (weights, mean, mixup) is done for you.

    Args:
        outputs: `[B, C]` logits; for a regression `[B, D]` values.
        targets: `[B]` classes; for a regression `[B, D]` values, in standard units.
    """
    right = torch.log_softmax(outputs, 1).gather(1, targets.unsqueeze(1)).squeeze(1)
    return (1.0 - (Q * right).exp()) / Q
