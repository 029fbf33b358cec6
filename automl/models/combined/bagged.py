"""The models of one config's folds as one: their outputs are averaged.

Shape letters: B batch, O outputs.
"""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from automl.data.shapes import Inputs, Outputs
from automl.data.splits import FEWEST_FOLDS, MOST_FOLDS
from automl.errors import SpecError

if TYPE_CHECKING:
    from automl.models import Build


FOLDS = "fold_models"
"""The entry of a saved model's config that says how many models it has: one for each fold."""


class Bagged(nn.Module):
    """Rows [B, ...] -> [B, O]: the mean of the members' values, or the logits of their mean probabilities.

    It is not trained itself: each member was, on rows of its own.

    Args:
        members: the models.
        classes: whether outputs are logits, which are averaged as probabilities.
    """

    def __init__(self, members: list[nn.Module], *, classes: bool) -> None:
        super().__init__()
        self.members, self.classes = nn.ModuleList(members), classes

    def forward(self, x: Tensor) -> Tensor:
        outputs = torch.stack([member(x) for member in self.members])
        if self.classes:
            return outputs.log_softmax(-1).logsumexp(0) - math.log(len(self.members))
        return outputs.mean(0)


def build_saved(build: "Build", config: Mapping[str, Any], inputs: Inputs, outputs: Outputs) -> nn.Module:
    """The model of a saved config: what `build` makes, or a `Bagged` of as many as its entry `FOLDS` says.

    Raises:
        SpecError: that entry is no number of folds.
    """
    own = {name: value for name, value in config.items() if name != FOLDS}
    if FOLDS not in config:
        return build(own, inputs, outputs)
    if type(count := config[FOLDS]) is not int or not FEWEST_FOLDS <= count <= MOST_FOLDS:
        raise SpecError(f"{FOLDS}: expected a whole number from {FEWEST_FOLDS} to {MOST_FOLDS}, got {count!r}")
    return Bagged([build(own, inputs, outputs) for _ in range(count)], classes=outputs.kind != "values")


def name_of(member: int, name: str = "") -> str:
    """What the weight `name` of a member is called among those of all."""
    return f"members.{member}.{name}"


def joined(members: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The weights of all members as those of one `Bagged`."""
    return {name_of(k, name): value for k, own in enumerate(members) for name, value in own.items()}


def separate(weights: Mapping[str, Any], count: int) -> list[dict[str, Any]]:
    """The opposite of `joined`."""
    prefixes = [name_of(k) for k in range(count)]
    return [{n[len(p) :]: v for n, v in weights.items() if n.startswith(p)} for p in prefixes]
