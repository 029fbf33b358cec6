"""Long short-term memory (Hochreiter & Schmidhuber 1997): sequence classifier, forecaster, next-token model."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from automl.data.shapes import Inputs, Outputs
from automl.errors import SpecError
from automl.models import parts
from automl.models.series import from_last


class Recurrent(nn.Module):
    """The network of `build`: one `nn.LSTM` per layer, with dropout modules before, between and after them."""

    def __init__(self, settings: Mapping[str, Any], inputs: Inputs, outputs: Outputs) -> None:
        super().__init__()
        width = int(settings["width"])
        self.next_token = outputs.kind == "tokens"
        self.tokens = inputs.kind == "tokens"
        both = bool(settings["bidirectional"]) and not self.next_token
        self.embed = nn.Embedding(int(inputs.vocabulary or 0), int(settings["embedding"])) if self.tokens else None
        size = int(settings["embedding"]) if self.tokens else inputs.shape[-1] if len(inputs.shape) == 2 else 1
        layers = []
        for _ in range(int(settings["depth"])):
            layers.append(nn.LSTM(size, width, batch_first=True, bidirectional=both))
            size = width * (2 if both else 1)
        self.layers = nn.ModuleList(layers)
        self.drops = nn.ModuleList(nn.Dropout(float(settings["dropout"])) for _ in range(len(layers) + 1))
        self.head = nn.Linear(size if self.tokens or self.next_token else 2 * size, int(outputs))
        for layer in layers:  # forget gates start open (Jozefowicz et al. 2015)
            for name, bias in layer.named_parameters():
                if name.startswith("bias_ih"):
                    with torch.no_grad():
                        bias[width : 2 * width].fill_(1.0)

    def forward(self, x: Tensor) -> Tensor:
        h = self.embed(x) if self.embed is not None else x if x.ndim == 3 else x.unsqueeze(-1)
        h = self.drops[0](h)
        for layer, drop in zip(self.layers, list(self.drops)[1:], strict=True):
            h = drop(layer(h)[0])
        if not self.next_token:
            h = parts.masked_mean(h, x != parts.PADDING) if self.tokens else torch.cat([h[:, -1], h.mean(1)], dim=-1)
        out: Tensor = self.head(h)
        return out


def build(config: Mapping[str, Any], inputs: Inputs, outputs: Outputs) -> nn.Module:
    """Build an LSTM, [B, T] tokens or [B, T, features] -> [B, outputs]; next token: [B, T] -> [B, T, vocabulary].

    The head sees the mean state over all tokens that are not padding; for series, the last state and the mean state.
    Forecasts of a series predict the change from its last value (`from_last`).

    Args:
        config: the names of the family's defaults; others are ignored.
        inputs: layout of one sample.
        outputs: number and kind of output units.

    Raises:
        SpecError: the samples are not sequences, or a setting has a wrong value.
    """
    settings = parts.settings("lstm", config)
    if len(inputs.shape) > 2 or inputs.kind == "table":
        raise SpecError(
            f"lstm: needs sequences (time,) or (time, features), got a {inputs.kind} of shape {inputs.shape}"
        )
    model = Recurrent(settings, inputs, outputs)
    return from_last(model, model.head, inputs, wanted=bool(settings["from_last"]))
