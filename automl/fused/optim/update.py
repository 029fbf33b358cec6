"""What follows a backward pass of some lanes: gradient clipping, one optimizer step, and the average of the weights.

`lane_update` puts the three together for an epoch. Learning rates and other coefficients are prepared for all its steps
beforehand; the learning rate of a parameter is that of the lane's schedule times its muP factor (`group_rates`).

Shape letters: K lanes (rows), S steps, P parameters.
"""

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from automl.fused.optim.launch import launched
from automl.fused.optim.param_groups import Scale
from automl.fused.optim.tables import StepInputs, counts, moves
from automl.training import rules
from automl.training.hyperparameters import Hyperparameters
from automl.training.schedules import F64


class UpdatePart(Protocol):
    """One part of an update, prepared for all steps of an epoch."""

    def __call__(self, s: int) -> None:
        """Do it for step `s` of the epoch."""

    def tables(self) -> StepInputs:
        """The prepared values that steps read."""

    def one_step(self, by_step: Iterator[Tensor], constants: Iterator[Tensor]) -> "UpdatePart":
        """A copy that reads its values from these tables of a single step, in the order of `tables`."""


class HostPart:
    """A part whose step depends on numbers of the host, so that its steps cannot be recorded in a CUDA graph."""

    def tables(self) -> StepInputs:
        """Raises NotImplementedError: there are none on the device."""
        raise NotImplementedError("this update reads numbers of the host")

    def one_step(self, by_step: Iterator[Tensor], constants: Iterator[Tensor]) -> UpdatePart:
        """Raises NotImplementedError, as `tables` does."""
        raise NotImplementedError("this update reads numbers of the host")


@dataclass(frozen=True)
class LaneUpdate:
    """The parts of an update, one after another."""

    parts: tuple[UpdatePart, ...]

    def __call__(self, s: int) -> None:
        for part in self.parts:
            part(s)

    def tables(self) -> StepInputs:
        """See `UpdatePart`."""
        found = [part.tables() for part in self.parts]
        return StepInputs([t for one in found for t in one.by_step], [t for one in found for t in one.constants])

    def one_step(self, by_step: Iterator[Tensor], constants: Iterator[Tensor]) -> "LaneUpdate":
        """See `UpdatePart`."""
        return LaneUpdate(tuple(part.one_step(by_step, constants) for part in self.parts))


@dataclass(frozen=True)
class Lanes:
    """Lanes whose rows have one layout, as an update needs them.

    `hypers`: of each row, `live`: rows that train, `first_steps`: updates that each has done before; `rates` `[S, K]`:
    learning rates by the lanes' schedules. `rows`: "param", "grad", "scratch", the optimizer's states and, where kept,
    "ema"; `[K, P]` each. `scales`: which columns are updated how.
    """

    hypers: Sequence[Hyperparameters]
    live: Sequence[int]
    first_steps: Sequence[int]
    rates: F64
    rows: Mapping[str, Tensor]
    scales: Sequence[Scale]

    def column(self, name: str) -> F64:
        """One hyperparameter of all lanes, `[K]`."""
        return rules.column(self.hypers, name)

    @property
    def update_numbers(self) -> F64:
        """1-based, `[S, K]`."""
        return counts(self.first_steps, len(self.rates))

    def group_rates(self, scale: Scale) -> F64:
        """The learning rates `[S, K]` of the parameters of `scale`: lr x schedule x muP factor."""
        return self.rates * scale.factors.lr

    def table(self, values: F64) -> Tensor:
        """`values` on the rows' device, in their dtype."""
        return torch.from_numpy(np.array(values, order="C")).to(self.rows["param"].device, self.rows["param"].dtype)


@dataclass(frozen=True)
class Leaves:
    """The parameters of a single lane whose gradients autograd has left in their `.grad`.

    `tensors`: by name; `states`: name of a state -> its views by parameter; `collect()` copies gradients to the row.
    """

    tensors: Mapping[str, Tensor]
    states: Mapping[str, Mapping[str, Tensor]]
    collect: Callable[[], None]


def lane_update(groups: Sequence[Lanes], *, recordable: bool = False, leaves: Leaves | None = None) -> LaneUpdate:
    """What updates the rows of `groups` for one epoch.

    Args:
        groups: the lanes, whose gradients are ready when the update is called.
        recordable: do every part for every lane, and read nothing from the host, so that a CUDA graph of one step
            serves any lanes.
        leaves: of the only lane, where its gradients are not in its row.
    """
    parts: list[UpdatePart] = []
    for lanes in groups:
        limits = lanes.column("clip")
        clipping = bool((limits > 0).any())
        if clipping and leaves is not None:
            parts.append(LeafClipping(leaves, float(limits[0])))
        elif clipping or recordable:
            parts.append(RowClipping(lanes, np.where(limits > 0, limits, np.inf)))
    on_cpu = groups[0].rows["param"].device.type == "cpu"
    native = [(lanes, [s for s in lanes.scales if s.rule.native is not None and not recordable]) for lanes in groups]
    if leaves is not None and native[0][1]:
        parts.append(LeafKernel(leaves, *native[0]))
    elif on_cpu and any(found for _, found in native):
        parts.append(RowKernel(native))
    for lanes, found in native:
        left = lanes.scales if not (on_cpu or leaves is not None) else [s for s in lanes.scales if s not in found]
        if left:
            parts.append(RowRule(lanes, left, None if leaves is None else leaves.collect))
    parts += [Averaging(lanes) for lanes in groups if "ema" in lanes.rows]
    return LaneUpdate(tuple(parts))


class RowClipping:
    """Each row's gradient is scaled to a norm of at most `limits` `[K]` (inf: not at all)."""

    def __init__(self, lanes: Lanes, limits: F64) -> None:
        self.gradients, self.limits = lanes.rows["grad"], lanes.table(limits)

    def __call__(self, s: int) -> None:
        rules.clip_rows(self.gradients, self.limits)

    def tables(self) -> StepInputs:
        return StepInputs([], [self.limits])

    def one_step(self, by_step: Iterator[Tensor], constants: Iterator[Tensor]) -> "RowClipping":
        single = copy.copy(self)
        single.limits = next(constants)
        return single


class LeafClipping(HostPart):
    """The same for one lane whose gradients are in its leaves."""

    def __init__(self, leaves: Leaves, limit: float) -> None:
        self.leaves, self.limit = list(leaves.tensors.values()), limit

    def __call__(self, s: int) -> None:
        torch.nn.utils.clip_grad_norm_(self.leaves, self.limit)


class RowRule:
    """The optimizer's rule (`training.rules`), or its Triton kernel, on the columns of `scales` of all rows at once."""

    def __init__(self, lanes: Lanes, scales: Sequence[Scale], collect: Callable[[], None] | None) -> None:
        """`collect()` brings the gradients to the rows; None: they are there."""
        self.collect, self.scales = collect, scales
        self.coefficients = [self._coefficients(lanes, scale) for scale in scales]  # of [S, K, 1]
        self.columns = []
        for scale in scales:
            views = {n: scale.views(lanes.rows[n]) for n in ("param", "grad", "scratch", *scale.rule.states)}
            self.columns.append(
                [(views["param"][i], views["grad"][i], {n: views[n][i] for n in scale.rule.states}, views["scratch"][i])
                 for i in range(len(scale.columns))]
            )  # fmt: skip

    def _coefficients(self, lanes: Lanes, scale: Scale) -> dict[str, Tensor]:
        hypers = [scale.of(h) for h in lanes.hypers]
        tables = scale.rule.tables(hypers, lanes.group_rates(scale), lanes.update_numbers)
        return {name: lanes.table(table).unsqueeze(-1) for name, table in tables.items()}

    def __call__(self, s: int) -> None:
        if self.collect is not None:
            self.collect()
        for scale, tables, columns in zip(self.scales, self.coefficients, self.columns, strict=True):
            now = {name: table[s] for name, table in tables.items()}
            for param, grad, state, scratch in columns:
                if scale.shapes or not launched(scale.optimizer, param, grad, state, now):
                    scale.rule.update(param, grad, state, now, scratch)

    def tables(self) -> StepInputs:
        return StepInputs([table for tables in self.coefficients for table in tables.values()], [])

    def one_step(self, by_step: Iterator[Tensor], constants: Iterator[Tensor]) -> "RowRule":
        single = copy.copy(self)
        single.coefficients = [{name: next(by_step) for name in tables} for tables in self.coefficients]
        return single


class RowKernel(HostPart):
    """torch's own fused kernel of the optimizer, row by row, for the lanes that train."""

    def __init__(self, groups: Sequence[tuple[Lanes, Sequence[Scale]]]) -> None:
        """`groups`: lanes, and the scales of theirs that are updated here."""
        done = [float(first) for lanes, _ in groups for first in lanes.first_steps]
        self.updates_done = torch.tensor(done, dtype=torch.float32)
        counters = iter(self.updates_done.unbind(0))
        self.calls: list[tuple[Callable[..., None], list[float], Columns, Tensor, Hyperparameters]] = []
        for lanes, scales in groups:
            counter = [next(counters) for _ in lanes.hypers]
            rates = [lanes.group_rates(scale).T.tolist() for scale in scales]
            for j in lanes.live:
                for scale, own in zip(scales, rates, strict=True):
                    assert scale.rule.native is not None
                    columns = _columns(lanes.rows, j, scale)
                    self.calls.append((scale.rule.native, own[j], columns, counter[j], scale.of(lanes.hypers[j])))

    def __call__(self, s: int) -> None:
        self.updates_done.add_(1.0)
        for kernel, rates, columns, done, hypers in self.calls:
            kernel(*columns, done, hypers, rates[s])


Columns = tuple[list[Tensor], list[Tensor], Mapping[str, list[Tensor]]]


def _columns(rows: Mapping[str, Tensor], j: int, scale: Scale) -> Columns:
    """The parameters, gradients and states of row `j` that belong to `scale`."""

    def cut(name: str) -> list[Tensor]:
        row = rows[name][j]
        return [row[c] for c in scale.columns]

    return cut("param"), cut("grad"), {name: cut(name) for name in scale.rule.states}


class LeafKernel(HostPart):
    """torch's own fused kernel for one lane whose gradients are in its leaves: none of them is copied."""

    def __init__(self, leaves: Leaves, lanes: Lanes, scales: Sequence[Scale]) -> None:
        self.updates_done = torch.tensor(float(lanes.first_steps[0]), device=lanes.rows["param"].device)
        self.calls = [
            (scale.rule.native, [leaves.tensors[name] for name in scale.names],
             {n: [leaves.states[n][name] for name in scale.names] for n in scale.rule.states},
             scale.of(lanes.hypers[0]), lanes.group_rates(scale)[:, 0].tolist())
            for scale in scales
        ]  # fmt: skip

    def __call__(self, s: int) -> None:
        self.updates_done.add_(1.0)
        for kernel, leaves, state, hypers, rates in self.calls:
            parameters = [leaf.detach() for leaf in leaves]
            gradients = [torch.zeros_like(leaf) if leaf.grad is None else leaf.grad for leaf in leaves]
            assert kernel is not None
            kernel(parameters, gradients, state, self.updates_done, hypers, rates[s])


class Averaging:
    """The exponential moving average of the weights (`optim.tables.moves` says how far it moves)."""

    def __init__(self, lanes: Lanes) -> None:
        self.averaged, self.weights = lanes.rows["ema"], lanes.rows["param"]
        self.moves = lanes.table(moves(lanes.column("ema"), lanes.update_numbers)).unsqueeze(-1)  # [S, K, 1]

    def __call__(self, s: int) -> None:
        self.averaged.lerp_(self.weights, self.moves[s])

    def tables(self) -> StepInputs:
        return StepInputs([self.moves], [])

    def one_step(self, by_step: Iterator[Tensor], constants: Iterator[Tensor]) -> "Averaging":
        single = copy.copy(self)
        single.moves = next(by_step)
        return single
