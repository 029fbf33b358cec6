"""Forecasts that begin where the series is: what is learned is the change from the last value.

The level of a series wanders; a network that has to reproduce it from scratch is lost as soon as it leaves what was
seen in training. After Zeng et al. 2023 ("Are transformers effective for time series forecasting?", NLinear).
"""

import torch
from torch import Tensor, nn

from automl.data.shapes import Inputs


class FromLast(nn.Module):
    """[B, T, features] -> [B, outputs]: `inner` sees the predicted columns less their last values, added again.

    `continues`: for each output the column of x that it goes on from.
    """

    columns: Tensor
    mask: Tensor

    def __init__(self, inner: nn.Module, features: int, continues: tuple[int, ...]) -> None:
        super().__init__()
        self.inner = inner
        mask = torch.zeros(features)
        mask[list(set(continues))] = 1.0
        self.register_buffer("columns", torch.tensor(continues), persistent=False)
        self.register_buffer("mask", mask, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        last = x[:, -1]
        changes = self.inner(x - (last * self.mask).unsqueeze(1))
        out: Tensor = last.index_select(1, self.columns) + changes
        return out


def from_last(model: nn.Module, head: nn.Linear, inputs: Inputs, *, wanted: bool) -> nn.Module:
    """`model` for a series that goes on from its last values (where `wanted`): it begins with predicting no change."""
    if not wanted or not inputs.continues:
        return model
    nn.init.zeros_(head.weight)
    if head.bias is not None:
        nn.init.zeros_(head.bias)
    return FromLast(model, inputs.shape[-1], inputs.continues)
