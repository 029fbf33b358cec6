"""Fully connected network, as in Gorishniy et al. 2021 ("Revisiting deep learning models for tabular data")."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from automl.data.shapes import Inputs, Outputs
from automl.errors import SpecError
from automl.models import parts
from automl.models.numbers import embedded


class Residual(nn.Module):
    """x + inner(x); both [B, width]."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = x + self.inner(x)
        return out


def build(config: Mapping[str, Any], inputs: Inputs, outputs: Outputs) -> nn.Module:
    """Build a fully connected network, [B, *inputs.shape] float32 -> [B, outputs].

    `depth` hidden layers of `width` units, each linear, norm, activation, dropout; with `residual`, there is a shortcut
    around each from the second on. Categorical columns get embeddings of at most `embedding` dimensions, and numeric
    ones of `embed_size` where `embed_numbers` is not "none" (see `automl.models.numbers`).

    Args:
        config: the names of the family's defaults; others are ignored.
        inputs: layout of one sample.
        outputs: number and kind of output units.

    Raises:
        SpecError: the inputs are tokens, or a setting has a wrong value.
    """
    if inputs.kind == "tokens":
        raise SpecError("mlp: tokens need a transformer or an lstm")
    settings = parts.settings("mlp", config)
    stem = parts.TableStem(inputs, int(settings["embedding"]))
    layers, size = embedded(stem, inputs, settings)
    width = int(settings["width"])
    for k in range(int(settings["depth"])):
        hidden: list[nn.Module] = [
            nn.Linear(size, width, bias=settings["norm"] != "batch"),
            parts.norm("mlp", settings["norm"], width),
            parts.activation("mlp", settings["activation"]),
            nn.Dropout(float(settings["dropout"])),
        ]
        block = nn.Sequential(*[layer for layer in hidden if not isinstance(layer, nn.Identity)])
        layers.append(Residual(block) if settings["residual"] and k > 0 else block)
        size = width
    return nn.Sequential(*layers, nn.Linear(size, int(outputs)))
