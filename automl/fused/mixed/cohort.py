"""The storage of a mixed cohort: plain stacks that may differ in width, depth, activation, norm and optimizer.

Nothing is padded to a common shape (see `packed_layers`). Each lane has rows of its own, at its true shape, so a lane's
state fits any cohort, mixed or not, and no storage is moved when lanes come and go. A trial that runs alone runs in the
same program.

Shape letters: P parameters of one lane.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from automl.fused.lane import Lane, LaneState
from automl.fused.mixed.blocks import Block, read
from automl.fused.mixed.program import LaneModel, MixedProgram
from automl.fused.modules import swap
from automl.fused.modules.activations import ACTIVATIONS, Activation
from automl.fused.modules.blueprint import Blueprint
from automl.fused.optim.param_groups import Scale, scales
from automl.fused.tensors import layout as lay
from automl.models.mup import Role
from automl.training.rules import rule


@dataclass
class MixedLane:
    """A lane with its model and storage.

    Attributes:
        blocks: its layers.
        rows: "param", the optimizer's states and, where kept, "ema"; `[P]` each.
        buffers: name -> tensor.
        names: the keys of the module's `state_dict`, in their order.
        scales: groups of parameters with their own learning rate factors (muP).
    """

    lane: Lane
    layout: lay.Layout
    blocks: tuple[Block, ...]
    rows: dict[str, Tensor]
    buffers: dict[str, Tensor]
    names: tuple[str, ...]
    scales: tuple[Scale, ...]

    @property
    def averaged(self) -> str:
        """The row whose weights are kept."""
        return "ema" if self.lane.hypers.ema > 0 else "param"

    def matrices(self, gradient: Tensor) -> dict[str, Tensor]:
        """Its rows, `gradient` and a scratch row as matrices `[1, P]`, as `optim.update` wants them."""
        rows = {name: row.unsqueeze(0) for name, row in self.rows.items()}
        return {**rows, "grad": gradient.unsqueeze(0), "scratch": torch.empty_like(gradient).unsqueeze(0)}

    def model(self, row: str) -> LaneModel:
        """What a program needs of the lane, with the weights of its row called `row`."""
        return LaneModel(self.blocks, self.layout, self.rows[row], self.buffers)


class NotMixable(ValueError):
    """The model is no plain stack, so it cannot join a mixed cohort."""


@dataclass
class MixedCohort:
    """Lanes by slot; lanes of one batch size can train in one program.

    `config`: that of the trial the cohort began with. `members[k]`: the lane in slot k with its storage, or None.
    `programs`: those in use, by the places of their rows in memory. `activations`: see `MixedProgram`.
    """

    blueprint: Blueprint
    config: dict[str, Any]
    members: list[MixedLane | None] = field(default_factory=list)
    programs: dict[tuple[int, ...], MixedProgram] = field(default_factory=dict)
    activations: Mapping[type, Activation] = field(default_factory=lambda: ACTIVATIONS)

    @property
    def slots(self) -> list[Lane | None]:
        """The lane in each slot; None where it is free."""
        return [None if member is None else member.lane for member in self.members]

    @property
    def lanes(self) -> list[Lane]:
        """The lanes that are in, by slot."""
        return [member.lane for member in self.members if member is not None]

    def sizes(self, slots: Sequence[int]) -> list[int]:
        """The number of parameters of each lane in `slots`."""
        return [member.layout.width for k in slots if (member := self.members[k]) is not None]

    def admit(self, trial: int, config: Mapping[str, Any], seed: int, epochs: int, state: LaneState | None) -> int:
        """Put a trial into a free slot or a new one, newly initialized or from `state`; returns the slot.

        Raises NotMixable when its model is no plain stack.
        """
        module = swap.operate(self.blueprint.module(config, seed))
        blocks = read(module)
        if blocks is None:
            raise NotMixable(f"trial {trial} builds a model whose lanes must all have one shape")
        lane = self.blueprint.lane(trial, config, seed, epochs, swap.drop_rates(module))
        member = _with_storage(module, blocks, lane, self.blueprint.roles(config))
        if state is not None:
            for name, row in member.rows.items():
                row.copy_(state.rows[name])
            for name, value in state.buffers.items():
                member.buffers[name].copy_(value)
            lane.epoch, lane.step = state.epoch, state.step
        slot = self.members.index(None) if None in self.members else len(self.members)
        self.members[slot : slot + 1] = [member]
        return slot

    def find(self, trial: int) -> int:
        """The slot of `trial`. Raises KeyError when it is not here."""
        for k, member in enumerate(self.members):
            if member is not None and member.lane.trial == trial:
                return k
        raise KeyError(trial)

    def member(self, trial: int) -> MixedLane:
        """The lane of `trial` with its storage. Raises KeyError when it is not here."""
        member = self.members[self.find(trial)]
        assert member is not None
        return member

    def program(self, slots: tuple[int, ...], row: str = "param") -> MixedProgram:
        """What runs the lanes in `slots` on their rows called `row` ("param", or "ema" where a lane has one)."""
        members = [self.members[k] for k in slots]
        models = [m.model(row if row in m.rows else "param") for m in members if m is not None]
        key = tuple(model.row.data_ptr() for model in models)
        if key not in self.programs:
            self.programs[key] = MixedProgram(models, self.activations)
        return self.programs[key]

    def snapshot(self, trial: int) -> LaneState:
        """A copy of the trial's rows."""
        own = self.member(trial)
        rows = {name: row.clone() for name, row in own.rows.items()}
        return LaneState(own.lane.epoch, own.lane.step, rows, {name: b.clone() for name, b in own.buffers.items()})

    def release(self, trial: int) -> None:
        """Free the trial's slot."""
        self.members[self.find(trial)] = None
        while self.members and self.members[-1] is None:
            self.members.pop()
        self.programs.clear()

    def weights(self, trials: Sequence[int]) -> dict[int, dict[str, Tensor]]:
        """By trial the `state_dict` of a plain module; with the averaged weights where it keeps them."""
        return {trial: self._weights(trial) for trial in trials}

    def _weights(self, trial: int) -> dict[str, Tensor]:
        own = self.member(trial)
        tensors = {name: view.clone() for name, view in own.layout.row_views(own.rows[own.averaged]).items()}
        tensors |= {name: b.clone() for name, b in own.buffers.items()}
        return {name: tensors[name] for name in own.names}


def _with_storage(
    module: nn.Module, blocks: tuple[Block, ...], lane: Lane, roles: Mapping[str, Role] | None
) -> MixedLane:
    """The lane's storage, filled with the module's initial values."""
    layout = lay.layout(module)
    states = rule(lane.hypers.optimizer).states
    names = ("param", *states, *(("ema",) if lane.config.get("ema") else ()))
    rows = {name: torch.zeros(layout.width, dtype=layout.dtype) for name in names}
    buffers = lay.read(module, layout, rows["param"])
    if "ema" in rows:
        rows["ema"].copy_(rows["param"])
    own = scales(roles, layout, lane.hypers.optimizer)
    return MixedLane(lane, layout, blocks, rows, buffers, tuple(module.state_dict()), own)
