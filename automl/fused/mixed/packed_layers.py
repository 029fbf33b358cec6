"""Hidden layers of many lanes packed into one matrix, whose columns are the units of all of them.

The lanes of a packed layer may have different widths. Each begins at a multiple of ALIGN columns; the columns between
are padding that stays 0 and is read by no matrix product. What works element by element or column by column (bias,
activation, dropout, batch norm, and their gradients) is one call for all lanes; matrix products and layer norm are one
call per lane, at its true shape. So the padding costs next to nothing, and a lane's numbers do not depend on the lanes
it is packed with.

Shape letters: B batch, C columns of a packed layer (padding included), F units of one lane, S steps.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from automl.fused.mixed.blocks import Block
from automl.fused.modules.activations import Activation
from automl.fused.tensors import rng

ALIGN = 32
"""Two AVX-512 registers of float32: no lane has elements in the remainder that torch's vector loops do one by one."""
AHEAD = 1 << 16  # elements of masks that are computed at once
aten = torch.ops.aten


def padded(width: int) -> int:
    """The columns that `width` units take."""
    return -(-width // ALIGN) * ALIGN


@dataclass
class PackedLayer:
    """Hidden layer number `level` of `lanes`, whose `blocks` are of one kind (`Block.kind`).

    `sections`: where its vectors (bias, scale, shift) lie among all vectors of the program. `running`: batch norm's
    running statistics `[C]`. `columns`: of each lane. `total`: C.
    """

    level: int
    lanes: tuple[int, ...]
    blocks: tuple[Block, ...]
    sections: dict[str, slice] = field(default_factory=dict)
    running: dict[str, Tensor] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.columns: list[slice] = []
        at = 0
        for block in self.blocks:
            self.columns.append(slice(at, at + block.outputs))
            at += padded(block.outputs)
        self.total = at

    @property
    def any_block(self) -> Block:
        """One of its blocks, for what all of them have in common."""
        return self.blocks[0]

    @property
    def affine(self) -> bool:
        """Whether its norm has a scale and a shift."""
        return self.any_block.norm_module is not None and bool(list(self.any_block.norm_module.parameters()))

    def vectors(self) -> list[str]:
        """Its parameters that are vectors over the columns: "bias", and "scale", "shift" of batch norm."""
        of_norm = ["scale", "shift"] if self._batch and self.affine else []
        return ["bias", *of_norm] if self.any_block.bias else of_norm

    @property
    def _batch(self) -> bool:
        return self.any_block.norm == "batch"

    def names(self, vector: str) -> list[str]:
        """The name of each lane's own parameter that is a part of `vector`."""
        if vector == "bias":
            return [f"{block.linear}.bias" for block in self.blocks]
        return [f"{block.norm_name}.{'weight' if vector == 'scale' else 'bias'}" for block in self.blocks]

    def load(self, buffers: Sequence[Mapping[str, Tensor]], dtype: torch.dtype) -> None:
        """Read batch norm's statistics from each lane's own buffers."""
        if self._batch:
            for name in ("running_mean", "running_var"):
                self.running[name] = torch.zeros(self.total, dtype=dtype)
                for block, columns, own in zip(self.blocks, self.columns, buffers, strict=True):
                    self.running[name][columns] = own[f"{block.norm_name}.{name}"]

    def store(self, buffers: Sequence[Mapping[str, Tensor]], steps: int) -> None:
        """Write them back after `steps` training steps."""
        if self._batch:
            for block, columns, own in zip(self.blocks, self.columns, buffers, strict=True):
                for name, values in self.running.items():
                    own[f"{block.norm_name}.{name}"].copy_(values[columns])
                own[f"{block.norm_name}.num_batches_tracked"].add_(steps)


class PackedPass:
    """A packed layer's matrices `[B, C]` for batches of one size.

    `u`: after the matrix products, `z`: after the norm, `y`: the layer's output, `g`: the gradient of `y`, then of `u`.
    """

    def __init__(
        self, layer: PackedLayer, rows: int, vec: Tensor, gvec: Tensor, lanes: Sequence[Mapping[str, Tensor]],
        gradients: Sequence[Mapping[str, Tensor]], activations: Mapping[type, Activation],
    ) -> None:  # fmt: skip
        """`rows`: B; `vec`, `gvec`: all vectors of the program and their gradients; `lanes`: each lane's parameters."""
        self.layer, self.lanes, self.gradients = layer, lanes, gradients
        self.u, self.y, self.g = (torch.zeros(rows, layer.total, dtype=vec.dtype) for _ in range(3))
        self.z = torch.zeros_like(self.u) if layer.any_block.norm == "layer" else self.u
        self.values = {name: vec[section] for name, section in layer.sections.items()}
        self.vector_gradients = {name: gvec[section] for name, section in layer.sections.items()}
        self.mask: Tensor | None = None
        self.norm, self.module = layer.any_block.norm, layer.any_block.activation
        self.activation = activations[type(self.module)]
        self.kept: list[tuple[Tensor, Tensor]] = []

    def matrix(self, name: str) -> Tensor:
        """One of the matrices that take part in products, by name: "u", "y" or "g"."""
        return {"u": self.u, "y": self.y, "g": self.g}[name]

    def forward(self, mask: Tensor | None, training: bool) -> None:
        """From `u`, which the matrix products have filled, to `y`; `mask` `[B, C]` or None."""
        if "bias" in self.values:
            self.u.add_(self.values["bias"])
        if self.norm == "batch":
            self._batch_norm(training)
        elif self.norm == "layer":
            self._layer_norm()
        self.activation.forward(self.module, self.z, self.y)
        self.seen = self.y.clone() if self.activation.of_output else self.z
        self.mask = mask
        if mask is not None:
            self.y.mul_(mask)

    def _batch_norm(self, training: bool) -> None:
        norm: Any = self.layer.any_block.norm_module
        run = self.layer.running
        self.z, self.m, self.s = torch.native_batch_norm(
            self.u, self.values.get("scale"), self.values.get("shift"), run["running_mean"], run["running_var"],
            training, norm.momentum, norm.eps,
        )  # fmt: skip

    def _layer_norm(self) -> None:
        self.kept = []
        for block, columns, own in zip(self.layer.blocks, self.layer.columns, self.lanes, strict=True):
            norm: Any = block.norm_module
            scale, shift = own.get(f"{block.norm_name}.weight"), own.get(f"{block.norm_name}.bias")
            z, mean, rstd = torch.native_layer_norm(self.u[:, columns], [block.outputs], scale, shift, norm.eps)
            self.z[:, columns] = z
            self.kept.append((mean, rstd))

    def backward(self) -> None:
        """From the gradient of `y` in `g` to that of `u`, in place; gradients of vectors go to their places."""
        if self.mask is not None:
            self.g.mul_(self.mask)
        self.activation.backward(self.module, self.g, self.seen)
        if self.norm == "batch":
            self._batch_norm_backward()
        elif self.norm == "layer":
            self._layer_norm_backward()
        if "bias" in self.vector_gradients:
            torch.sum(self.g, dim=0, out=self.vector_gradients["bias"])

    def _batch_norm_backward(self) -> None:
        norm: Any = self.layer.any_block.norm_module
        run, affine = self.layer.running, self.layer.affine
        gu, gscale, gshift = aten.native_batch_norm_backward(
            self.g, self.u, self.values.get("scale"), run["running_mean"], run["running_var"], self.m, self.s, True,
            norm.eps, [True, affine, affine],
        )  # fmt: skip
        self.g.copy_(gu)
        if affine:
            self.vector_gradients["scale"].copy_(gscale)
            self.vector_gradients["shift"].copy_(gshift)

    def _layer_norm_backward(self) -> None:
        layer, affine = self.layer, self.layer.affine
        for at, (block, columns) in enumerate(zip(layer.blocks, layer.columns, strict=True)):
            own, target, (mean, rstd) = self.lanes[at], self.gradients[at], self.kept[at]
            scale, shift = own.get(f"{block.norm_name}.weight"), own.get(f"{block.norm_name}.bias")
            gu, gscale, gshift = aten.native_layer_norm_backward(
                self.g[:, columns].contiguous(), self.u[:, columns], [block.outputs], mean, rstd, scale, shift,
                [True, affine, affine],
            )  # fmt: skip
            self.g[:, columns] = gu
            if affine:
                target[f"{block.norm_name}.weight"].copy_(gscale)
                target[f"{block.norm_name}.bias"].copy_(gshift)


class PackedMasks:
    """A packed layer's dropout masks of an epoch, computed for some steps at a time.

    Each lane has the masks that it would have alone.
    """

    def __init__(self, layer: PackedLayer, rows: int, keys: Tensor, limits: Tensor, scales: Tensor) -> None:
        """`keys` int32 `[S, 2, n]`, `limits`, `scales` int32 `[n]`: of the layer's n lanes (see `tensors.rng`)."""
        widths = [padded(block.outputs) for block in layer.blocks]
        lane = torch.repeat_interleave(torch.arange(len(widths)), torch.tensor(widths))
        self.flip, self.times = keys[:, 0, lane].unsqueeze(1), keys[:, 1, lane].unsqueeze(1)  # [S, 1, C]
        self.limits, self.scales = limits[lane], scales[lane]
        device = limits.device
        tables = [rng.table(torch.Size((rows, width)), device).view(rows, width) for width in widths]
        self.words = torch.cat(tables, 1).unsqueeze(0)
        self.rows = rows
        self.steps = min(max(1, AHEAD // (rows * layer.total)), len(keys))
        self.bits = torch.empty(self.steps, rows, layer.total, dtype=torch.int32)
        self.group = -1

    def at(self, step: int, rows: int, dtype: torch.dtype) -> Tensor:
        """`[rows, C]`: 0 where dropped, 1 / (1 - p) where kept; good until masks of later steps are asked for."""
        group, place = divmod(step, self.steps)
        if group != self.group:
            self.group = group
            span = slice(group * self.steps, (group + 1) * self.steps)
            flip, times = self.flip[span], self.times[span]
            masks = rng.keep_mask(self.words, flip, times, self.limits, self.scales, self.bits[: len(flip)])
            self.values = masks.to(dtype).unbind(0)
        mask = self.values[place]
        return mask if rows == self.rows else mask[:rows]
