"""The storage of a cohort of one shape: each trial is a row of shared matrices.

The *bucket* is the number of rows that are computed, a power of two; storage grows by doubling and never shrinks.
Admitting a trial overwrites the rows of a free slot. Free slots go on computing on whatever is in their rows, which
does no harm, as no lane reads another's rows.

Shape letters: K rows of the bucket, C rows of the storage, P parameters.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from automl.fused.lane import Lane, LaneState
from automl.fused.modules import swap
from automl.fused.modules.blueprint import Blueprint
from automl.fused.optim.param_groups import scales
from automl.fused.tensors import layout as lay
from automl.training import hyperparameters
from automl.training.rules import rule

PASSING = ("grad", "scratch")
"""Rows whose values are of no use after the step that wrote them."""


MOST_DROPS = 4096
"""Configs whose dropout probabilities are remembered, so that a lane that goes on needs no module."""


@dataclass
class UniformCohort:
    """Lanes of one signature, their rows and a template module whose structure all of them share.

    `config`: that of the trial the cohort began with. `ema`: keep a row of averaged weights. `slots[k]`: the lane in
    row k of the bucket, or None. `rows`: name -> `[C, P]`: "param", the optimizer's states, "ema", and "grad" and
    "scratch", which are not part of a lane's state. `buffers`: name -> `[C, *shape]`.
    """

    blueprint: Blueprint
    config: dict[str, Any]
    ema: bool = False
    bucket: int = 0
    slots: list[Lane | None] = field(default_factory=list)
    rows: dict[str, Tensor] = field(default_factory=dict)
    buffers: dict[str, Tensor] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.template = swap.operate(self.blueprint.module(self.config, 0)).to(self.blueprint.device)
        if self.blueprint.autocast is not None:
            swap.keep_norms_in_float32(self.template)
        self.layout = lay.layout(self.template)
        self.optimizer = hyperparameters.read(self.config).optimizer
        self.rule = rule(self.optimizer)
        self.scales = scales(self.blueprint.roles(self.config), self.layout, self.optimizer)
        self.layers = list(swap.drop_rates(self.template))
        self.max_piece_rows = 1 << 30  # lowered when memory has run out (see `memory`)
        self.max_evaluated_rows = 1 << 30  # the same, of lane samples in an evaluation
        self.bucket_that_fits = 0  # the bucket that has trained an epoch without running out of memory
        self._drops: dict[str, dict[str, float]] = {}  # by `Blueprint.shaping`: dropout layer -> probability
        self.version = 0  # changes whenever views of the rows become invalid

    @property
    def lanes(self) -> list[Lane]:
        """The lanes that are in, by slot."""
        return [lane for lane in self.slots if lane is not None]

    @property
    def row_names(self) -> tuple[str, ...]:
        """The rows that make up a lane's state."""
        return ("param", *self.rule.states, *(("ema",) if self.ema else ()))

    def resize(self, bucket: int) -> None:
        """From now on compute the first `bucket` rows, a power of two; lanes in later rows move to free ones of these.

        Raises:
            ValueError: there are more lanes than `bucket`.
            torch.OutOfMemoryError: there is not enough memory for the rows; the bucket is as before.
        """
        live = [k for k, lane in enumerate(self.slots) if lane is not None]
        if len(live) > bucket:
            raise ValueError(f"{len(live)} lanes do not fit into a bucket of {bucket}")
        free = [k for k in range(bucket) if k >= len(self.slots) or self.slots[k] is None]
        moves = list(zip([k for k in live if k >= bucket], free, strict=False))
        if bucket > self._capacity:
            self._grow(bucket)
        for source, target in moves:
            for matrix in self.lasting():
                matrix[target].copy_(matrix[source])
            self.slots[target], self.slots[source] = self.slots[source], None
        self.slots = (self.slots + [None] * bucket)[:bucket]
        self.bucket = bucket
        self.version += 1

    @property
    def _capacity(self) -> int:
        matrices = [*self.rows.values(), *self.buffers.values()]
        wanted = len(self.row_names) + len(PASSING) + len(self.layout.buffers)
        return min(map(len, matrices)) if len(matrices) == wanted else 0

    def _grow(self, capacity: int) -> None:
        """Replace one matrix after another, so that at most one of them is there twice.

        Where memory runs out, those that have grown stay so, and the cohort goes on with its present bucket.
        """
        device = self.blueprint.device
        self.version += 1

        def grow(matrices: dict[str, Tensor], name: str, shape: tuple[int, ...], dtype: torch.dtype) -> None:
            before = matrices.get(name)
            if before is not None and len(before) >= capacity:
                return
            new = torch.zeros((capacity, *shape), dtype=dtype, device=device)
            if before is not None and name not in PASSING:
                new[: len(before)].copy_(before)
            matrices[name] = new

        for name in (*self.row_names, *PASSING):
            grow(self.rows, name, (self.layout.width,), self.layout.dtype)
        for name, shape, dtype in self.layout.buffers:
            grow(self.buffers, name, shape, dtype)

    def lasting(self) -> list[Tensor]:
        """The matrices that hold the lanes' states, all rows."""
        return [*(self.rows[name] for name in self.row_names), *self.buffers.values()]

    def admit(self, trial: int, config: Mapping[str, Any], seed: int, epochs: int, state: LaneState | None) -> int:
        """Put a trial into a free slot of the bucket, newly initialized or from `state`; returns the slot.

        Raises ValueError when the module built from `config` has other parameters, buffers or dropout layers than the
        cohort's template, or when no slot is free.
        """
        slot = self.slots.index(None)
        key = self.blueprint.shaping(config)
        module = None
        if state is None or key not in self._drops:
            module = self._checked(trial, config, seed)
            if len(self._drops) >= MOST_DROPS:
                self._drops.pop(next(iter(self._drops)))
            self._drops[key] = swap.drop_rates(module)
        lane = self.blueprint.lane(trial, config, seed, epochs, dict(self._drops[key]))
        if state is not None:
            self._restore(slot, state)
            lane.epoch, lane.step = state.epoch, state.step
        elif module is not None:
            self._fill(slot, module)
        self.slots[slot] = lane
        return slot

    def _checked(self, trial: int, config: Mapping[str, Any], seed: int) -> nn.Module:
        """The trial's module, newly initialized; see `admit` for what is raised."""
        module = swap.operate(self.blueprint.module(config, seed))
        if lay.layout(module) != self.layout:
            raise ValueError(f"trial {trial} builds other parameters than its cohort: a shape depends on a lane value")
        if swap.drop_rates(module).keys() != set(self.layers):
            raise ValueError(f"trial {trial} builds other dropout layers than its cohort: one depends on a lane value")
        return module

    def _fill(self, slot: int, module: nn.Module) -> None:
        row = torch.zeros(self.layout.width, dtype=self.layout.dtype)
        buffers = lay.read(module, self.layout, row)
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
        """The slot of `trial`. Raises KeyError when it is not here."""
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

    def weights(self, trials: Sequence[int]) -> dict[int, dict[str, Tensor]]:
        """By trial the `state_dict` of a plain module, on the CPU; with the averaged weights where it keeps them.

        From a GPU all of them are one copy of each matrix.
        """
        slots = [self.find(trial) for trial in trials]
        lanes = [lane for k in slots if (lane := self.slots[k]) is not None]
        sources = ["ema" if lane.hypers.ema > 0 and self.ema else "param" for lane in lanes]
        at = torch.tensor(slots, device=self.blueprint.device)

        def rows(matrix: Tensor) -> Sequence[Tensor]:
            """The rows of these trials, on the CPU."""
            if matrix.device.type == "cpu":
                return [matrix[k] for k in slots]
            return matrix.index_select(0, at).cpu().unbind(0)

        found = {name: rows(self.rows[name]) for name in dict.fromkeys(sources)}
        buffers = {name: rows(matrix) for name, matrix in self.buffers.items()}
        names = list(self.template.state_dict())
        made = {}
        for j, (trial, source) in enumerate(zip(trials, sources, strict=True)):
            tensors = {n: v.clone() for n, v in self.layout.row_views(found[source][j]).items()}
            tensors |= {n: values[j].clone() for n, values in buffers.items()}
            tensors |= {further: tensors[first] for further, first in self.layout.aliases if first in tensors}
            made[trial] = {name: tensors[name] for name in names}
        return made
