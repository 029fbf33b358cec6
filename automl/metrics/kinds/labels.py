"""Several labels, each of which a row has or not: the loss, and how often guesses are right.

Shape letters: ... lanes, N rows, L labels.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

LEAST = 1e-7
"""The least probability that an answer counts with, also as one minus it."""


def binary(outputs: Tensor, y: Tensor) -> Tensor:
    """[...] the cross-entropy of each label, mean over the labels; outputs [..., L] are logits, y [..., L] 0 or 1."""
    return F.binary_cross_entropy_with_logits(outputs, y.expand_as(outputs), reduction="none").mean(-1)


def cross_entropy(answers: Tensor, y: Tensor) -> Tensor:
    """[...] the same of probabilities [..., L]."""
    p = answers.clamp(LEAST, 1 - LEAST)
    return -(y * p.log() + (1 - y) * (-p).log1p()).mean(-1)


def counted(answers: Tensor, y: Tensor) -> Tensor:
    """[..., N, 3 L] of each row and label: rightly guessed, true, guessed; a label is guessed from one half on."""
    guess = (answers >= 0.5).to(answers.dtype)
    true = y.to(answers.dtype).expand_as(guess)
    return torch.cat([guess * true, true, guess], -1)


def f1_macro(means: Tensor) -> Tensor:
    """[...] the mean of the labels' F1, from the means of `counted`; labels neither true nor guessed have none."""
    hits, true, guess = means.chunk(3, -1)
    either = true + guess
    return torch.where(either > 0, 2 * hits / either, torch.nan).nanmean(-1)


def f1_micro(means: Tensor) -> Tensor:
    """[...] F1 of all labels together, from the means of `counted`."""
    hits, true, guess = (part.sum(-1) for part in means.chunk(3, -1))
    return 2 * hits / (true + guess)
