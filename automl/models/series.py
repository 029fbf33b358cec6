"""Forecasts as changes from the last observed value.

The level of a series drifts; a network that predicts it directly fails once it leaves the range seen in training.
After Zeng et al. 2023 ("Are transformers effective for time series forecasting?", NLinear).
"""

import torch
from torch import Tensor, nn

from automl.data.shapes import Inputs


class FromLast(nn.Module):
    """[B, T, features] -> [B, outputs]: `inner` predicts changes from the last values.

    It sees the predicted columns minus their last values, which are added to its outputs.

    Args:
        inner: the network, which sees x after the subtraction.
        features: number of columns of x.
        continues: for each output, the column of x that it continues.
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
    """Make `model` predict changes from the last values, where `wanted` and the inputs are such a series.

    Args:
        model: the network.
        head: its last layer, set to 0, so that an untrained model predicts no change.
        inputs: layout of one sample.
        wanted: False returns the model unchanged.
    """
    if not wanted or not inputs.continues:
        return model
    nn.init.zeros_(head.weight)
    if head.bias is not None:
        nn.init.zeros_(head.bias)
    return FromLast(model, inputs.shape[-1], inputs.continues)
