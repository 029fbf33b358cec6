"""Tensors of one lane that are updated alike: groups of columns.

Under muP they differ in learning rate, decay and eps (`automl.models.mup`); Muon updates hidden matrices only, and
AdamW the rest. All of that follows from shapes, so the groups are those of every lane of a cohort.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from torch import Tensor

from automl.fused.tensors.layout import Layout, Slot
from automl.models.mup import Factors, Role, factors, hidden
from automl.training.hyperparameters import Hyperparameters
from automl.training.optimizers import muon_matrices
from automl.training.rules import Rule, rule

PLAIN = Factors()


@dataclass(frozen=True)
class Scale:
    """Parameters with the same optimizer and the same factors.

    `names`: theirs; `columns`: where in a row they lie; `shapes`: of each of `columns`, where the rule is `shaped`.
    """

    factors: Factors
    names: tuple[str, ...]
    columns: tuple[slice, ...]
    optimizer: str
    shapes: tuple[tuple[int, ...], ...] = ()

    @property
    def rule(self) -> Rule:
        """How they are updated."""
        return rule(self.optimizer)

    def views(self, rows: Tensor) -> list[Tensor]:
        """The columns of `rows` `[K, P]`: `[K, n]` each, or `[K, *shape]` where the rule is `shaped`."""
        cut = [rows[:, c] for c in self.columns]
        return [v.view(len(v), *shape) for v, shape in zip(cut, self.shapes, strict=True)] if self.shapes else cut

    def of(self, h: Hyperparameters) -> Hyperparameters:
        """A lane's hyperparameters for these parameters; its rate is multiplied apart, with the schedule."""
        f = self.factors
        if f == PLAIN:
            return h
        return replace(h, weight_decay=h.weight_decay * f.weight_decay, eps=h.eps * f.eps)


def scales(roles: Mapping[str, Role] | None, plan: Layout, optimizer: str) -> tuple[Scale, ...]:
    """The groups of a layout's parameters; neighbours of one group are one slice, unless the rule needs shapes."""
    given = {} if roles is None else factors(roles, optimizer)
    matrices: frozenset[str] = frozenset()
    if optimizer == "muon":
        shapes = {slot.name: slot.shape for slot in plan.slots}
        matrices = muon_matrices(shapes, frozenset() if roles is None else hidden(roles))
    groups: dict[tuple[str, Factors], list[Slot]] = {}
    for slot in plan.slots:
        name = "adamw" if optimizer == "muon" and slot.name not in matrices else optimizer
        groups.setdefault((name, given.get(slot.name, PLAIN)), []).append(slot)
    return tuple(_scale(name, own, slots, plan, whole=len(groups) == 1) for (name, own), slots in groups.items())


def _scale(optimizer: str, own: Factors, slots: list[Slot], plan: Layout, *, whole: bool) -> Scale:
    """The group of `slots`; `whole`: all there are, so that a single slice covers the row and its padding."""
    names = tuple(slot.name for slot in slots)
    if rule(optimizer).shaped:
        columns = tuple(slice(slot.start, slot.start + slot.size) for slot in slots)
        return Scale(own, names, columns, optimizer, tuple(slot.shape for slot in slots))
    if whole:
        return Scale(own, names, (slice(0, plan.width),), optimizer)
    joined: list[slice] = []
    for slot in slots:
        if joined and joined[-1].stop == slot.start:
            joined[-1] = slice(joined[-1].start, slot.start + slot.size)
        else:
            joined.append(slice(slot.start, slot.start + slot.size))
    return Scale(own, names, tuple(joined), optimizer)
