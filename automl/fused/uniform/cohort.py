"""A cohort: trials of one signature as the rows of shared matrices. Lanes arrive, leave and move without reallocation.

Storage is allocated for a power of two of lanes and grows by doubling; the *bucket* is the power of two of rows that
compute. Refilling a slot overwrites its rows. Free slots go on computing on stale rows: lanes cannot touch each other.

Shape letters: K lanes of the bucket, C rows of the storage, P parameters.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from automl.fused.lane import Lane, LaneState
from automl.fused.modules import swap
from automl.fused.modules.blueprint import Blueprint
from automl.fused.optim.param_groups import scales
from automl.fused.optim.rules import rule
from automl.fused.tensors import layout as lay
from automl.training import hyperparameters


@dataclass
class Cohort:
    """Lanes, their rows and a template module. `slots[k]` is the lane in row k or None."""

    blueprint: Blueprint
    config: dict[str, Any]
    ema: bool = False
    bucket: int = 0
    slots: list[Lane | None] = field(default_factory=list)
    rows: dict[str, Tensor] = field(default_factory=dict)
    buffers: dict[str, Tensor] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.template = swap.operate(self.blueprint.module(self.config, 0)).to(self.blueprint.device)
        self.plan = lay.layout(self.template)
        self.optimizer = hyperparameters.read(self.config).optimizer
        self.rule = rule(self.optimizer)
        self.scales = scales(self.blueprint.roles(self.config), self.plan, self.optimizer)
        self.layers = list(swap.drop_rates(self.template))
        self.most_rows = 1 << 30  # of a piece, learnt when memory ended
        self.proved = 0  # the bucket that has trained an epoch within memory
        self.version = 0  # changes whenever views of the rows become stale

    @property
    def lanes(self) -> list[Lane]:
        return [lane for lane in self.slots if lane is not None]

    @property
    def shared(self) -> bool:
        """Whether several lanes are meant to be here, so that more may come."""
        return self.bucket > 1

    @property
    def row_names(self) -> tuple[str, ...]:
        return ("param", *self.rule.states, *(("ema",) if self.ema else ()))

    def resize(self, bucket: int) -> None:
        """Make `bucket` rows compute (a power of two at least as large as the number of lanes); live rows move down."""
        live = [k for k, lane in enumerate(self.slots) if lane is not None]
        if len(live) > bucket:
            raise ValueError(f"{len(live)} lanes do not fit into a bucket of {bucket}")
        moves = self._moves(live, bucket)
        if bucket > self._stored:
            self._grow(bucket)
        for source, target in moves:
            for matrix in (*self.rows.values(), *self.buffers.values()):
                matrix[target].copy_(matrix[source])
            self.slots[target], self.slots[source] = self.slots[source], None
        self.slots = (self.slots + [None] * bucket)[:bucket]
        self.bucket = bucket
        self.version += 1

    @property
    def _stored(self) -> int:
        return self.rows["param"].shape[0] if self.rows else 0

    def _moves(self, live: list[int], bucket: int) -> list[tuple[int, int]]:
        free = [k for k in range(bucket) if k >= len(self.slots) or self.slots[k] is None]
        return list(zip([k for k in live if k >= bucket], free, strict=False))

    def _grow(self, capacity: int) -> None:
        device, old = self.blueprint.device, self._stored

        def grown(before: Tensor | None, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
            new = torch.zeros((capacity, *shape), dtype=dtype, device=device)
            if before is not None:
                new[:old].copy_(before)
            return new

        names = (*self.row_names, "grad", "scratch")
        self.rows = {n: grown(self.rows.get(n), (self.plan.width,), self.plan.dtype) for n in names}
        self.buffers = {n: grown(self.buffers.get(n), shape, dtype) for n, shape, dtype in self.plan.buffers}

    def admit(self, trial: int, config: Mapping[str, Any], seed: int, epochs: int, state: LaneState | None) -> int:
        """Put a trial into a free slot of the bucket, fresh or from `state`; returns the slot.

        Raises ValueError when the module built from `config` does not have this cohort's layout.
        """
        slot = self.slots.index(None)
        module = swap.operate(self.blueprint.module(config, seed))
        if lay.layout(module) != self.plan:
            raise ValueError(f"trial {trial} builds other parameters than its cohort: a shape depends on a lane value")
        lane = Lane(trial, dict(config), seed, epochs, hyperparameters.read(config), swap.drop_rates(module))
        if state is None:
            self._fill(slot, module)
        else:
            self._restore(slot, state)
            lane.epoch, lane.step = state.epoch, state.step
        self.slots[slot] = lane
        return slot

    def _fill(self, slot: int, module: nn.Module) -> None:
        row = torch.zeros(self.plan.width, dtype=self.plan.dtype)
        buffers = lay.read(module, self.plan, row)
        for name in self.row_names:
            self.rows[name][slot].zero_()
        self.rows["param"][slot].copy_(row)
        if self.ema:
            self.rows["ema"][slot].copy_(row)
        for name, value in buffers.items():
            self.buffers[name][slot].copy_(value)

    def _restore(self, slot: int, state: LaneState) -> None:
        for name in self.row_names:
            self.rows[name][slot].copy_(state.rows[name])
        for name, value in state.buffers.items():
            self.buffers[name][slot].copy_(value)

    def find(self, trial: int) -> int:
        """The slot of `trial`; KeyError when it is not here."""
        for k, lane in enumerate(self.slots):
            if lane is not None and lane.trial == trial:
                return k
        raise KeyError(trial)

    def snapshot(self, trial: int) -> LaneState:
        """A copy of the trial's rows on the CPU."""
        k = self.find(trial)
        lane = self.slots[k]
        assert lane is not None
        rows = {name: self.rows[name][k].detach().to("cpu", copy=True) for name in self.row_names}
        buffers = {name: value[k].detach().to("cpu", copy=True) for name, value in self.buffers.items()}
        return LaneState(lane.epoch, lane.step, rows, buffers)

    def release(self, trial: int) -> None:
        """Free the trial's slot; its row is zeroed, so that a diverged lane leaves no infinities behind."""
        k = self.find(trial)
        self.slots[k] = None
        for name in (*self.row_names, "grad"):
            self.rows[name][k].zero_()

    def weights(self, trial: int) -> dict[str, Tensor]:
        """The `state_dict` of a plain module of this trial, on the CPU; the averaged weights where it keeps them."""
        return state_dict(self, self.snapshot(trial), hypers_of=self.slots[self.find(trial)])


def state_dict(cohort: Cohort, state: LaneState, hypers_of: Lane | None) -> dict[str, Tensor]:
    """A plain module's `state_dict` from a lane's state."""
    averaged = hypers_of is not None and hypers_of.hypers.ema > 0 and "ema" in state.rows
    row = state.rows["ema" if averaged else "param"]
    found = {name: view.clone() for name, view in cohort.plan.row_views(row).items()}
    found |= state.buffers
    found |= {further: found[first] for further, first in cohort.plan.aliases if first in found}
    return {name: found[name] for name in cohort.template.state_dict()}
