"""Under muP tensors of one lane differ in learning rate, decay and eps (`automl.models.mup`): groups of columns.

Factors follow from shapes alone, so they are those of every lane of a cohort. Without muP there is one group of all.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from automl.fused.tensors.layout import Layout
from automl.models.mup import Factors, Role, factors
from automl.training.hyperparameters import Hyperparameters

PLAIN = Factors()


@dataclass(frozen=True)
class Scale:
    """Parameters with the same factors: their `names`, and where in a row they lie."""

    factors: Factors
    names: tuple[str, ...]
    columns: tuple[slice, ...]

    def of(self, h: Hyperparameters) -> Hyperparameters:
        """A lane's hyperparameters for these parameters; its rate is multiplied apart, with the schedule."""
        f = self.factors
        if f == PLAIN:
            return h
        return replace(h, weight_decay=h.weight_decay * f.weight_decay, eps=h.eps * f.eps)


def scales(roles: Mapping[str, Role] | None, plan: Layout, optimizer: str) -> tuple[Scale, ...]:
    """The groups of a layout's parameters; neighbours of one group are one slice."""
    if roles is None:
        return (Scale(PLAIN, tuple(slot.name for slot in plan.slots), (slice(0, plan.width),)),)
    given = factors(roles, optimizer)
    names: dict[Factors, list[str]] = {}
    columns: dict[Factors, list[slice]] = {}
    for slot in plan.slots:
        own, end = given[slot.name], slot.start + slot.size
        names.setdefault(own, []).append(slot.name)
        mine = columns.setdefault(own, [])
        if mine and mine[-1].stop == slot.start:
            mine[-1] = slice(mine[-1].start, end)
        else:
            mine.append(slice(slot.start, end))
    return tuple(Scale(own, tuple(names[own]), tuple(columns[own])) for own in names)
