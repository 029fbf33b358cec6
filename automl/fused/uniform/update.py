"""What follows a backward pass of a piece: gradient clipping, one optimizer step, and the average of the weights.

`lane_update` puts the three together for an epoch. Learning rates and other coefficients are prepared for all its steps
beforehand; the learning rate of a parameter is that of the lane's schedule times its muP factor.

Shape letters: K lanes (rows of the piece), S steps, P parameters.
"""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from automl.fused.optim import rules
from automl.fused.optim.launch import launched
from automl.fused.optim.param_groups import Scale
from automl.fused.optim.tables import counts, moves
from automl.fused.uniform.stepper import PieceStepper
from automl.training.hyperparameters import Hyperparameters
from automl.training.schedules import F64


class UpdatePart(Protocol):
    """One part of an update, prepared for all steps of an epoch."""

    def __call__(self, s: int) -> None:
        """Do it for step `s` of the epoch."""

    def tables(self, s: int) -> list[Tensor]:
        """The prepared values that step `s` reads, in a fixed order."""

    def one_step(self) -> "UpdatePart":
        """A copy whose tables have a single step, in storage of their own."""


class HostPart:
    """A part whose step depends on numbers of the host, so that its steps cannot be recorded in a CUDA graph."""

    def tables(self, s: int) -> list[Tensor]:
        """Raises NotImplementedError: there are none on the device."""
        raise NotImplementedError("this update reads numbers of the host")

    def one_step(self) -> UpdatePart:
        """Raises NotImplementedError, as `tables` does."""
        raise NotImplementedError("this update reads numbers of the host")


@dataclass(frozen=True)
class LaneUpdate:
    """The parts of an update, one after another."""

    parts: tuple[UpdatePart, ...]

    def __call__(self, s: int) -> None:
        for part in self.parts:
            part(s)

    def tables(self, s: int) -> list[Tensor]:
        """See `UpdatePart`."""
        return [table for part in self.parts for table in part.tables(s)]

    def one_step(self) -> "LaneUpdate":
        """See `UpdatePart`."""
        return LaneUpdate(tuple(part.one_step() for part in self.parts))


@dataclass(frozen=True)
class Lanes:
    """The lanes of a piece, as an update needs them.

    `hypers`: of each row, `live`: rows that train, `first_steps`: updates that each has done before; `rates` `[S, K]`:
    learning rates by the lanes' schedules.
    """

    hypers: Sequence[Hyperparameters]
    live: Sequence[int]
    first_steps: Sequence[int]
    rates: F64

    def column(self, name: str) -> F64:
        """One hyperparameter of all lanes, `[K]`."""
        return rules.column(self.hypers, name)

    @property
    def update_numbers(self) -> F64:
        """1-based, `[S, K]`."""
        return counts(self.first_steps, len(self.rates))


def lane_update(stepper: PieceStepper, lanes: Lanes, *, recordable: bool) -> LaneUpdate:
    """What updates the rows of `stepper` for one epoch.

    Args:
        stepper: the piece, whose gradients are ready when the update is called.
        lanes: its lanes.
        recordable: do every part for every lane, and read nothing from the host, so that a CUDA graph of one step
            serves any lanes.
    """
    cohort, limits = stepper.cohort, lanes.column("clip")
    parts: list[UpdatePart] = []
    clipping = bool((limits > 0).any())
    if clipping and not stepper.batched:
        parts.append(LeafClipping(stepper, float(limits[0])))
    elif clipping or recordable:
        parts.append(RowClipping(stepper, np.where(limits > 0, limits, np.inf)))
    native = cohort.rule.native is not None and not recordable
    if native and not stepper.batched:
        parts.append(LeafKernel(stepper, lanes))
    elif native and cohort.blueprint.device.type == "cpu":
        parts.append(RowKernel(stepper, lanes))
    else:
        parts.append(RowRule(stepper, lanes))
    if cohort.ema:
        parts.append(Averaging(stepper, lanes))
    return LaneUpdate(tuple(parts))


def _rows(stepper: PieceStepper, name: str) -> Tensor:
    return stepper.cohort.rows[name][stepper.span]


def _table(stepper: PieceStepper, values: F64) -> Tensor:
    """`values` on the device, in the parameters' dtype."""
    cohort = stepper.cohort
    return torch.from_numpy(np.array(values, order="C")).to(cohort.blueprint.device, cohort.layout.dtype)


class RowClipping:
    """Each row's gradient is scaled to a norm of at most `limits` `[K]` (inf: not at all)."""

    def __init__(self, stepper: PieceStepper, limits: F64) -> None:
        self.gradients, self.limits = _rows(stepper, "grad"), _table(stepper, limits)

    def __call__(self, s: int) -> None:
        rules.clip_rows(self.gradients, self.limits)

    def tables(self, s: int) -> list[Tensor]:
        return [self.limits]

    def one_step(self) -> "RowClipping":
        single = copy.copy(self)
        single.limits = self.limits.clone()
        return single


class LeafClipping(HostPart):
    """The same for one lane whose gradients are in its leaves."""

    def __init__(self, stepper: PieceStepper, limit: float) -> None:
        self.leaves, self.limit = list(stepper.leaves.values()), limit

    def __call__(self, s: int) -> None:
        torch.nn.utils.clip_grad_norm_(self.leaves, self.limit)


class RowRule:
    """The optimizer's rule (`optim.rules`), or its Triton kernel, on all rows at once."""

    def __init__(self, stepper: PieceStepper, lanes: Lanes) -> None:
        cohort = stepper.cohort
        self.collect, self.optimizer, self.rule = stepper.collect, cohort.optimizer, cohort.rule
        self.coefficients = [self._coefficients(stepper, lanes, scale) for scale in cohort.scales]  # of [S, K, 1]
        rows = {name: _rows(stepper, name) for name in ("param", "grad", "scratch", *self.rule.states)}
        self.columns = [
            [(rows["param"][:, c], rows["grad"][:, c], {name: rows[name][:, c] for name in self.rule.states},
              rows["scratch"][:, c]) for c in scale.columns]
            for scale in cohort.scales
        ]  # fmt: skip

    def _coefficients(self, stepper: PieceStepper, lanes: Lanes, scale: Scale) -> dict[str, Tensor]:
        hypers = [scale.of(h) for h in lanes.hypers]
        tables = self.rule.tables(hypers, lanes.rates * scale.factors.lr, lanes.update_numbers)
        return {name: _table(stepper, table).unsqueeze(-1) for name, table in tables.items()}

    def __call__(self, s: int) -> None:
        self.collect()
        for tables, columns in zip(self.coefficients, self.columns, strict=True):
            now = {name: table[s] for name, table in tables.items()}
            for param, grad, state, scratch in columns:
                if not launched(self.optimizer, param, grad, state, now):
                    self.rule.update(param, grad, state, now, scratch)

    def tables(self, s: int) -> list[Tensor]:
        return [table[s] for tables in self.coefficients for table in tables.values()]

    def one_step(self) -> "RowRule":
        single = copy.copy(self)
        single.coefficients = [{n: table[:1].clone() for n, table in tables.items()} for tables in self.coefficients]
        return single


class RowKernel(HostPart):
    """torch's own fused kernel of the optimizer, row by row, for the lanes that train."""

    def __init__(self, stepper: PieceStepper, lanes: Lanes) -> None:
        cohort = stepper.cohort
        kernel = cohort.rule.native
        assert kernel is not None
        self.kernel, self.rates = kernel, lanes.rates.tolist()
        self.updates_done = torch.tensor(lanes.first_steps, dtype=torch.float32)
        done = self.updates_done.unbind(0)
        rows = {name: _rows(stepper, name).unbind(0) for name in ("param", "grad", *cohort.rule.states)}

        def columns(name: str, j: int, scale: Scale) -> list[Tensor]:
            return [rows[name][j][c] for c in scale.columns]

        self.calls: list[
            tuple[int, float, list[Tensor], list[Tensor], Mapping[str, list[Tensor]], Tensor, Hyperparameters]
        ] = [
            (j, scale.factors.lr, columns("param", j, scale), columns("grad", j, scale),
             {name: columns(name, j, scale) for name in cohort.rule.states}, done[j], scale.of(lanes.hypers[j]))
            for j in lanes.live for scale in cohort.scales
        ]  # fmt: skip

    def __call__(self, s: int) -> None:
        kernel, rates = self.kernel, self.rates[s]
        self.updates_done.add_(1.0)
        for j, factor, param, grad, state, done, hypers in self.calls:
            kernel(param, grad, state, done, hypers, rates[j] * factor)


class LeafKernel(HostPart):
    """torch's own fused kernel for one lane whose gradients are in its leaves: none of them is copied."""

    def __init__(self, stepper: PieceStepper, lanes: Lanes) -> None:
        cohort = stepper.cohort
        kernel = cohort.rule.native
        assert kernel is not None
        self.kernel = kernel
        self.updates_done = torch.tensor(float(lanes.first_steps[0]), device=cohort.blueprint.device)
        states = {name: cohort.layout.row_views(_rows(stepper, name)[0]) for name in cohort.rule.states}
        self.calls = [
            ([stepper.leaves[name] for name in scale.names],
             {n: [views[name] for name in scale.names] for n, views in states.items()},
             scale.of(lanes.hypers[0]), (lanes.rates[:, 0] * scale.factors.lr).tolist())
            for scale in cohort.scales
        ]  # fmt: skip

    def __call__(self, s: int) -> None:
        self.updates_done.add_(1.0)
        for leaves, state, hypers, rates in self.calls:
            parameters = [leaf.detach() for leaf in leaves]
            gradients = [torch.zeros_like(leaf) if leaf.grad is None else leaf.grad for leaf in leaves]
            self.kernel(parameters, gradients, state, self.updates_done, hypers, rates[s])


class Averaging:
    """The exponential moving average of the weights (`optim.tables.moves` says how far it moves)."""

    def __init__(self, stepper: PieceStepper, lanes: Lanes) -> None:
        self.averaged, self.weights = _rows(stepper, "ema"), _rows(stepper, "param")
        self.moves = _table(stepper, moves(lanes.column("ema"), lanes.update_numbers)).unsqueeze(-1)  # [S, K, 1]

    def __call__(self, s: int) -> None:
        self.averaged.lerp_(self.weights, self.moves[s])

    def tables(self, s: int) -> list[Tensor]:
        return [self.moves[s]]

    def one_step(self) -> "Averaging":
        single = copy.copy(self)
        single.moves = self.moves[:1].clone()
        return single
