"""Linear models: forecasts of a series from its last steps, and linear or logistic regression for anything else.

Zeng et al. 2023, "Are transformers effective for time series forecasting?": NLinear (changes from the last value, where
`from_last` is true) and DLinear (`trend` above 1: a moving average and what is left of it have weights of their own).

Shape letters: B batch, T steps, F columns, O outputs.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from automl.data.shapes import Inputs, Outputs
from automl.errors import SpecError
from automl.models import parts
from automl.models.series import FromLast


class OwnColumn(nn.Module):
    """[B, T, F] -> [B, O]: each output from the steps of the one column that it continues."""

    columns: Tensor

    def __init__(self, steps: int, continues: tuple[int, ...]) -> None:
        super().__init__()
        self.register_buffer("columns", torch.tensor(continues), persistent=False)
        self.weight = nn.Parameter(torch.zeros(len(continues), steps))
        self.bias = nn.Parameter(torch.zeros(len(continues)))

    def forward(self, x: Tensor) -> Tensor:
        own = x.index_select(2, self.columns)
        return torch.einsum("bto,ot->bo", own, self.weight) + self.bias


class Decomposed(nn.Module):
    """[B, T, F] -> [B, O]: one model of the moving average over `kernel` steps, one of the rest; their sum."""

    def __init__(self, trend: nn.Module, rest: nn.Module, kernel: int) -> None:
        super().__init__()
        self.trend, self.rest, self.kernel = trend, rest, kernel

    def forward(self, x: Tensor) -> Tensor:
        average = moving_average(x, self.kernel)
        out: Tensor = self.trend(average) + self.rest(x - average)
        return out


def moving_average(x: Tensor, kernel: int) -> Tensor:
    """The mean over `kernel` steps around each step of [B, T, F]; the first and the last step are repeated."""
    before = (kernel - 1) // 2
    ends = x[:, :1].expand(-1, before, -1), x[:, -1:].expand(-1, kernel - 1 - before, -1)
    sums = torch.cat([ends[0], x, ends[1]], dim=1).cumsum(1)
    zero = torch.zeros_like(sums[:, :1])
    return (sums[:, kernel - 1 :] - torch.cat([zero, sums[:, :-kernel]], dim=1)) / kernel


def build(config: Mapping[str, Any], inputs: Inputs, outputs: Outputs) -> nn.Module:
    """Build a linear model, [B, *inputs.shape] float32 -> [B, outputs].

    Args:
        config: the names of the family's defaults; others are ignored.
        inputs: layout of one sample.
        outputs: number and kind of output units.

    Raises:
        SpecError: the inputs are tokens, or a setting has a wrong value.
    """
    if inputs.kind == "tokens":
        raise SpecError("linear: texts need bag, transformer or lstm")
    settings = parts.settings("linear", config)
    if len(inputs.shape) != 2 or not inputs.continues:
        stem = parts.TableStem(inputs, int(settings["embedding"]))
        return nn.Sequential(stem, nn.Dropout(float(settings["dropout"])), nn.Linear(stem.features, int(outputs)))
    steps, columns = inputs.shape

    def one() -> nn.Module:
        if settings["columns"] == "own":
            return OwnColumn(steps, inputs.continues)
        layer = nn.Linear(steps * columns, int(outputs))
        nn.init.zeros_(layer.weight)
        nn.init.zeros_(layer.bias)
        return nn.Sequential(nn.Flatten(), nn.Dropout(float(settings["dropout"])), layer)

    kernel = min(int(settings["trend"]), steps)
    model = Decomposed(one(), one(), kernel) if kernel > 1 else one()
    return FromLast(model, columns, inputs.continues) if settings["from_last"] else model
