"""`Cut`: a way to make layers smaller by degrees, group by group; and how degrees are chosen for a whole network."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import nn

from automl.compression.measuring import count
from automl.compression.subject import Subject
from automl.metrics import rows as samples

ROWS = 2000
"""So many validation rows tell how sensitive a group of layers is."""
VALUES = 2**21
"""The maximum number of values that go through a network at once."""
Levels = Mapping[str, float]
"""{group: level}; groups that are absent stay as they are."""


class Cut(ABC):
    """A way to cut a network, from the weights that it has.

    Attributes:
        levels: how much can be cut of a group, in ascending order.
        groups: the names of the groups of layers.
    """

    levels: Sequence[float]
    groups: Sequence[str]

    @abstractmethod
    def cut(self, levels: Levels) -> nn.Module:
        """The network with its groups cut to these levels, as a new module in evaluation mode, not trained again."""
        ...


@dataclass(frozen=True)
class Sensitivity:
    """What cutting a single group to a single level does.

    Attributes:
        loss: how much larger the task's loss on validation rows is.
        parameters: how many parameters the network loses.
    """

    loss: float
    parameters: int


def sensitivities(subject: Subject, way: Cut) -> dict[str, dict[float, Sensitivity]]:
    """{group: {level: what it does}}, of networks that are not trained again; levels that save nothing are absent."""
    whole, size = loss_of(subject, subject.module), count(subject.module)
    found: dict[str, dict[float, Sensitivity]] = {}
    for group in way.groups:
        for level in way.levels:
            module = way.cut({group: level})
            if (saved := size - count(module)) > 0:
                found.setdefault(group, {})[level] = Sensitivity(loss_of(subject, module) - whole, saved)
    return found


def loss_of(subject: Subject, module: nn.Module) -> float:
    """The task's loss on validation rows."""
    part = subject.prepared.val.head(ROWS)
    kind, outputs = subject.prepared.kind, int(subject.prepared.outputs)
    each = int(subject.prepared.inputs) * (outputs if kind == "next_token" else 1)
    rows = max(1, VALUES // each)
    with torch.no_grad():
        losses = [
            samples.rows("loss", kind, module(x), y)
            for x, y in zip(torch.split(part.x, rows), torch.split(part.y, rows), strict=True)
        ]
    return float(sum(one.sum() for one in losses) / len(part))


def path(
    subject: Subject, way: Cut, sensitive: Mapping[str, Mapping[float, Sensitivity]], shares: Sequence[float]
) -> Iterator[tuple[float, dict[str, float], nn.Module]]:
    """Levels for the whole network, more and more of it cut: (share of the parameters that is gone, levels, network).

    Again and again the group goes to its next level that adds least to the loss for each parameter saved; a network is
    given whenever one more of `shares` is reached.

    Args:
        subject: what is compressed.
        way: how it is cut.
        sensitive: of `sensitivities`.
        shares: of the parameters that are to go, in ascending order.
    """
    size, levels, targets = count(subject.module), dict[str, float](), list(shares)
    while targets and (move := _cheapest(sensitive, levels)) is not None:
        levels[move[0]] = move[1]
        module = way.cut(levels)
        gone = 1 - count(module) / size
        if gone >= targets[0]:
            targets = [share for share in targets if share > gone]
            yield gone, dict(levels), module


def _cheapest(sensitive: Mapping[str, Mapping[float, Sensitivity]], levels: Levels) -> tuple[str, float] | None:
    """(group, next level) with the least loss for each parameter; None where all groups are at their last level."""
    best, least = None, float("inf")
    for group, known in sensitive.items():
        now = known.get(levels.get(group, 0.0), Sensitivity(0.0, 0))
        following = [level for level in sorted(known) if level > levels.get(group, 0.0)]
        for level in following[:1]:
            saved = known[level].parameters - now.parameters
            price = max(known[level].loss - now.loss, 0.0) / max(saved, 1)
            if best is None or price < least:
                best, least = (group, level), price
    return best
