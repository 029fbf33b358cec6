"""Fully connected network, as in Gorishniy et al. 2021 ("Revisiting deep learning models for tabular data")."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from automl.data.shapes import Inputs, Outputs
from automl.errors import SpecError
from automl.models import parts


class Residual(nn.Module):
    """x + inner(x); both [B, width]."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = x + self.inner(x)
        return out


def build(config: Mapping[str, Any], inputs: Inputs, outputs: Outputs) -> nn.Module:
    """[B, *inputs.shape] float32 -> [B, outputs].

    `depth` hidden layers of `width` units, each linear, norm, activation, dropout; from the second on around a shortcut
    when `residual`. Categorical columns to be embedded get at most `embedding` dimensions each.
    """
    if inputs.kind == "tokens":
        raise SpecError("mlp: tokens need a transformer or an lstm")
    made = parts.settings("mlp", config)
    stem = parts.TableStem(inputs, int(made["embedding"]))
    width, size = int(made["width"]), stem.features
    layers: list[nn.Module] = [stem]
    for k in range(int(made["depth"])):
        hidden: list[nn.Module] = [
            nn.Linear(size, width, bias=made["norm"] != "batch"),
            parts.norm("mlp", made["norm"], width),
            parts.activation("mlp", made["activation"]),
            nn.Dropout(float(made["dropout"])),
        ]
        block = nn.Sequential(*[layer for layer in hidden if not isinstance(layer, nn.Identity)])
        layers.append(Residual(block) if made["residual"] and k > 0 else block)
        size = width
    return nn.Sequential(*layers, nn.Linear(size, int(outputs)))
