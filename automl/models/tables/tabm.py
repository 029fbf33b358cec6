"""TabM: many networks that share most of their weights, trained side by side as one (Gorishniy et al. 2025).

arXiv 2410.24210. In training every member has a loss of its own (an axis of outputs more, see `training.losses`); in
evaluation the members' probabilities, or values, are averaged.

Shape letters: B batch, M members, I inputs and O outputs of a layer.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from automl.data.shapes import Inputs, Outputs
from automl.errors import SpecError
from automl.models import parts
from automl.models.numbers import embedded


class SharedLinear(nn.Module):
    """[B, M, I] -> [B, M, O]: one weight for all members, with scales of inputs and outputs and a bias for each.

    BatchEnsemble (Wen et al. 2020, section 3.1).

    Args:
        inputs, outputs, members: I, O and M.
        signs: the scales of the inputs are -1 or 1 at random, which sets the members apart; else 1.
    """

    def __init__(self, inputs: int, outputs: int, members: int, *, signs: bool) -> None:
        super().__init__()
        self.shared = nn.Linear(inputs, outputs, bias=False)
        drawn = torch.randint(0, 2, (members, inputs)).float() * 2 - 1
        self.scale_in = nn.Parameter(drawn if signs else torch.ones(members, inputs))
        self.scale_out = nn.Parameter(torch.ones(members, outputs))
        bound = inputs**-0.5
        self.bias = nn.Parameter(torch.empty(outputs).uniform_(-bound, bound).repeat(members, 1))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.shared(x * self.scale_in) * self.scale_out + self.bias
        return out


class Heads(nn.Module):
    """[B, M, I] -> [B, M, O]: a linear layer for each member."""

    def __init__(self, inputs: int, outputs: int, members: int) -> None:
        super().__init__()
        bound = inputs**-0.5
        self.weight = nn.Parameter(torch.empty(members, inputs, outputs).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(members, outputs).uniform_(-bound, bound))

    def forward(self, x: Tensor) -> Tensor:
        return torch.einsum("bmi,mio->bmo", x, self.weight) + self.bias


class TabM(nn.Module):
    """Rows [B, ...] -> [B, M, O] in training, [B, O] in evaluation.

    Args:
        stem: rows -> [B, I].
        blocks: [B, M, I] -> [B, M, width].
        heads: of the members.
        classes: whether outputs are logits, which are averaged as probabilities.
    """

    def __init__(self, stem: nn.Module, blocks: nn.Module, heads: Heads, *, classes: bool) -> None:
        super().__init__()
        self.stem, self.blocks, self.heads, self.classes = stem, blocks, heads, classes
        self.members = len(heads.bias)

    def forward(self, x: Tensor) -> Tensor:
        features = self.stem(x)
        out: Tensor = self.heads(self.blocks(features.unsqueeze(1).expand(-1, self.members, -1)))
        if self.training:
            return out
        return out.softmax(-1).mean(1).clamp_min(1e-12).log() if self.classes else out.mean(1)


def build(config: Mapping[str, Any], inputs: Inputs, outputs: Outputs) -> nn.Module:
    """Build a TabM, [B, *inputs.shape] float32 -> [B, outputs] (in training [B, members, outputs]).

    Args:
        config: the names of the family's defaults; others are ignored.
        inputs: layout of one sample.
        outputs: number and kind of output units.

    Raises:
        SpecError: the inputs are tokens, muP is asked for, or a setting has a wrong value.
    """
    if inputs.kind == "tokens":
        raise SpecError("tabm: tokens need a transformer or an lstm")
    if config.get("parametrization", "standard") == "mup":
        raise SpecError("tabm: parametrization mup is not defined for its scales; take standard, or an mlp")
    settings = parts.settings("tabm", config)
    members, width = int(settings["members"]), int(settings["width"])
    stem, size = embedded(parts.TableStem(inputs, int(settings["embedding"])), inputs, settings)
    layers: list[nn.Module] = []
    for k in range(int(settings["depth"])):
        layers += [
            SharedLinear(size, width, members, signs=k == 0),
            parts.activation("tabm", settings["activation"]),
            nn.Dropout(float(settings["dropout"])),
        ]
        size = width
    return TabM(
        nn.Sequential(*stem),
        nn.Sequential(*layers),
        Heads(size, int(outputs), members),
        classes=outputs.kind != "values",
    )
