"""A mixed cohort: plain stacks of different widths, depths, activations and optimizers that train side by side.

Nothing is padded to a common shape (see `strips`). Each lane has rows of its own, at its true shape, so a lane's state
fits any cohort, mixed or not, and storage need not move when lanes come and go. The same program runs a trial alone.

Shape letters: K lanes, S steps, B batch, P parameters.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from automl.fused.lane import Lane, LaneState
from automl.fused.mixed.blocks import Block, read
from automl.fused.mixed.program import Beside, Body
from automl.fused.modules import swap
from automl.fused.modules.blueprint import Blueprint
from automl.fused.optim.param_groups import Scale, scales
from automl.fused.optim.rules import rule
from automl.fused.tensors import layout as lay
from automl.models.mup import Role
from automl.training import hyperparameters


@dataclass
class Tenant:
    """A lane with its storage: `rows` ("param", the optimizer's, "ema") `[P]` each, and buffers by name."""

    lane: Lane
    plan: lay.Layout
    blocks: tuple[Block, ...]
    rows: dict[str, Tensor]
    buffers: dict[str, Tensor]
    names: tuple[str, ...]  # of the module's `state_dict`
    scales: tuple[Scale, ...]

    @property
    def averaged(self) -> str:
        """The row that is evaluated and kept."""
        return "ema" if self.lane.hypers.ema > 0 else "param"

    def body(self, row: str) -> Body:
        return Body(self.blocks, self.plan, self.rows[row], self.buffers)


class NotMixable(ValueError):
    """The model is no plain stack that can stand beside others."""


@dataclass
class MixedCohort:
    """Lanes by slot. Those of one batch size train side by side, the others after them."""

    blueprint: Blueprint
    config: dict[str, Any]
    shared: bool = True  # whether more lanes may come
    tenants: list[Tenant | None] = field(default_factory=list)
    programs: dict[tuple[int, ...], Beside] = field(default_factory=dict)

    @property
    def slots(self) -> list[Lane | None]:
        return [None if tenant is None else tenant.lane for tenant in self.tenants]

    @property
    def lanes(self) -> list[Lane]:
        return [tenant.lane for tenant in self.tenants if tenant is not None]

    @property
    def bucket(self) -> int:
        """Slots there are, free ones included."""
        return len(self.tenants)

    def sizes(self, slots: Sequence[int]) -> list[int]:
        """Parameters of the lanes in `slots`."""
        return [tenant.plan.width for k in slots if (tenant := self.tenants[k]) is not None]

    def admit(self, trial: int, config: Mapping[str, Any], seed: int, epochs: int, state: LaneState | None) -> int:
        """Put a trial into a free slot or a new one, fresh or from `state`; returns the slot.

        Raises NotMixable when the model is no plain stack.
        """
        module = swap.operate(self.blueprint.module(config, seed))
        blocks = read(module)
        if blocks is None:
            raise NotMixable(f"trial {trial} builds a model whose lanes must all have one shape")
        lane = Lane(trial, dict(config), seed, epochs, hyperparameters.read(config), swap.drop_rates(module))
        tenant = _settled(module, blocks, lane, self.blueprint.roles(config))
        if state is not None:
            for name, row in tenant.rows.items():
                row.copy_(state.rows[name])
            for name, value in state.buffers.items():
                tenant.buffers[name].copy_(value)
            lane.epoch, lane.step = state.epoch, state.step
        slot = self.tenants.index(None) if None in self.tenants else len(self.tenants)
        self.tenants[slot : slot + 1] = [tenant]
        return slot

    def find(self, trial: int) -> int:
        """The slot of `trial`; KeyError when it is not here."""
        for k, tenant in enumerate(self.tenants):
            if tenant is not None and tenant.lane.trial == trial:
                return k
        raise KeyError(trial)

    def tenant(self, trial: int) -> Tenant:
        """The lane of `trial` with its storage."""
        found = self.tenants[self.find(trial)]
        assert found is not None
        return found

    def program(self, slots: tuple[int, ...], row: str = "param") -> Beside:
        """What runs the lanes in `slots` on their rows called `row` ("param", or "ema" where a lane has one)."""
        tenants = [self.tenants[k] for k in slots]
        bodies = [t.body(row if row in t.rows else "param") for t in tenants if t is not None]
        key = tuple(body.row.data_ptr() for body in bodies)
        if key not in self.programs:
            self.programs[key] = Beside(bodies)
        return self.programs[key]

    def snapshot(self, trial: int) -> LaneState:
        """A copy of the trial's rows."""
        own = self.tenant(trial)
        rows = {name: row.clone() for name, row in own.rows.items()}
        return LaneState(own.lane.epoch, own.lane.step, rows, {name: b.clone() for name, b in own.buffers.items()})

    def release(self, trial: int) -> None:
        """Free the trial's slot."""
        self.tenants[self.find(trial)] = None
        while self.tenants and self.tenants[-1] is None:
            self.tenants.pop()
        self.programs.clear()

    def weights(self, trial: int) -> dict[str, Tensor]:
        """The `state_dict` of a plain module of this trial; the averaged weights where it keeps them."""
        own = self.tenant(trial)
        found = {name: view.clone() for name, view in own.plan.row_views(own.rows[own.averaged]).items()}
        found |= {name: b.clone() for name, b in own.buffers.items()}
        return {name: found[name] for name in own.names}


def _settled(module: nn.Module, blocks: tuple[Block, ...], lane: Lane, roles: Mapping[str, Role] | None) -> Tenant:
    """The lane's storage, filled with the module's initial values."""
    plan = lay.layout(module)
    states = rule(lane.hypers.optimizer).states
    names = ("param", *states, *(("ema",) if lane.config.get("ema") else ()))
    rows = {name: torch.zeros(plan.width, dtype=plan.dtype) for name in names}
    buffers = lay.read(module, plan, rows["param"])
    if "ema" in rows:
        rows["ema"].copy_(rows["param"])
    own = scales(roles, plan, lane.hypers.optimizer)
    return Tenant(lane, plan, blocks, rows, buffers, tuple(module.state_dict()), own)
