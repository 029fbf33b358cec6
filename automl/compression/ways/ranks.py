"""Low rank: a large linear layer or convolution becomes two small ones, by its singular value decomposition.

The rank is the least that keeps a share of the energy, the sum of the squared singular values (Eckart & Young 1936;
convolutions as one matrix of their kernels: Zhang et al. 2016).
"""

import copy

import torch
from torch import Tensor, nn

from automl.bundle.compressed.layers import LowRank, low_rank
from automl.bundle.restore import tied
from automl.compression.subject import Subject
from automl.compression.ways.cuts import Cut, Levels

LEVELS = (0.05, 0.15, 0.3, 0.45, 0.6, 0.75)
"""Shares of the energy that are given up."""
SMALLEST = 8
"""Layers with fewer inputs or outputs stay whole."""


class Ranks(Cut):
    """Low rank for the layers of the network of `subject`; each is a group of its own."""

    levels = LEVELS

    def __init__(self, subject: Subject) -> None:
        self._module = subject.module
        shared = tied(self._module)
        self._factors = {
            name: _factors(layer)
            for name, layer in self._module.named_modules()
            if isinstance(layer, nn.Linear | nn.Conv2d) and _large(layer) and f"{name}.weight" not in shared
        }
        self.groups = list(self._factors)

    def cut(self, levels: Levels) -> nn.Module:
        module = copy.deepcopy(self._module)
        for name, level in levels.items():
            layer = module.get_submodule(name)
            assert isinstance(layer, nn.Linear | nn.Conv2d)
            smaller = _smaller(layer, self._factors[name], level)
            if smaller is not None:
                parent, _, own = name.rpartition(".")
                setattr(module.get_submodule(parent), own, smaller)
        return module.eval()


def _large(layer: nn.Linear | nn.Conv2d) -> bool:
    """Whether two layers could be smaller; a grouped convolution or a 1 x 1 one of few channels cannot."""
    grouped = isinstance(layer, nn.Conv2d) and (layer.groups > 1 or layer.padding_mode != "zeros")
    weight = layer.weight.flatten(1)
    return not grouped and min(weight.shape) >= SMALLEST


def _factors(layer: nn.Linear | nn.Conv2d) -> tuple[Tensor, Tensor, Tensor]:
    """u [outputs, r], s [r], v [r, inputs]: the weight is u diag(s) v."""
    u, s, v = torch.linalg.svd(layer.weight.detach().flatten(1).double(), full_matrices=False)
    return u, s, v


def _smaller(layer: nn.Linear | nn.Conv2d, factors: tuple[Tensor, Tensor, Tensor], level: float) -> LowRank | None:
    """Two layers in the place of `layer`; None where they would not be smaller."""
    u, s, v = factors
    energy = s.square().cumsum(0) / s.square().sum().clamp_min(1e-30)
    rank = min(int((energy < 1 - level).sum()) + 1, len(s))
    if rank * (u.shape[0] + v.shape[1]) >= u.shape[0] * v.shape[1]:
        return None
    inputs, outputs = (
        (layer.in_features, layer.out_features)
        if isinstance(layer, nn.Linear)
        else (layer.in_channels, layer.out_channels)
    )
    pair = low_rank(layer, rank, inputs, outputs, layer.bias is not None)
    root = s[:rank].sqrt()  # both layers get weights of the same size, which is best for training them
    with torch.no_grad():
        first, second = pair.first, pair.second
        assert isinstance(first, nn.Linear | nn.Conv2d)
        assert isinstance(second, nn.Linear | nn.Conv2d)
        first.weight.copy_((root[:, None] * v[:rank]).reshape(first.weight.shape))
        second.weight.copy_((u[:, :rank] * root).reshape(second.weight.shape))
        if layer.bias is not None and second.bias is not None:
            second.bias.copy_(layer.bias)
    return pair
