"""Ordered classes: how far a guess is from the truth, counted in ranks.

Shape letters: ... lanes, N rows, C classes in their order.
"""

import torch
from torch import Tensor


def apart(outputs: Tensor, y: Tensor) -> Tensor:
    """[..., N, 1] how many ranks lie between the likeliest class of outputs [..., N, C] and the true one [N]."""
    return (outputs.argmax(-1) - y).abs().unsqueeze(-1).to(outputs.dtype)


def agreement(outputs: Tensor, y: Tensor) -> Tensor:
    """[..., N, 5] what `kappa` needs of each row; arguments as for `apart`."""
    guess = outputs.argmax(-1).to(outputs.dtype)
    true = y.to(outputs.dtype).expand_as(guess)
    return torch.stack([(guess - true).square(), guess, true, guess.square(), true.square()], -1)


def kappa(means: Tensor) -> Tensor:
    """[...] Cohen's kappa with quadratic weights (Cohen 1968, "Weighted kappa"), from the means of `agreement`.

    1 - E[(g - t)^2] / E[(g' - t')^2], where g' and t' are drawn apart from each other; nan where all are of one class.
    """
    gap, guess, true, guess_square, true_square = means.unbind(-1)
    by_chance = guess_square - 2 * guess * true + true_square
    return 1 - gap / torch.where(by_chance > 0, by_chance, torch.nan)
