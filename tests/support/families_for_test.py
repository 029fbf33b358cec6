"""Models of several families for one task, chosen by `family` in the config."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from automl import models
from automl.data.shapes import Inputs, Outputs


class Uneven(nn.Module):
    """Batch norm, one output row, a layer that is never called, one that is frozen."""

    def __init__(self, inputs: Inputs, outputs: Outputs) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Linear(int(inputs), 7), nn.BatchNorm1d(7), nn.Tanh(), nn.Linear(7, 1))
        self.unused = nn.ModuleList([nn.Linear(3, 3)])
        self.head = nn.Linear(1, int(outputs))
        self.stem[0].bias.requires_grad_(False)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.head(self.stem(x))
        return out


class Double(nn.Module):
    """A model that computes in float64: two ways to the same numbers then differ by 1e-15, which no CPU changes."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model.double()

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.model(x.double() if x.is_floating_point() else x)
        return out


def build(config: Mapping[str, Any], inputs: Inputs, outputs: Outputs) -> nn.Module:
    """The model of `family` (default mlp), in float64 where the config has `double: true`."""
    family = str(config.get("family", "mlp"))
    model = Uneven(inputs, outputs) if family == "uneven" else models.build(family)(config, inputs, outputs)
    return Double(model) if config.get("double") else model
