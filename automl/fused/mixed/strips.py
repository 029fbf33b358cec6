"""Hidden layers of many lanes side by side: a strip is one matrix whose columns are the units of its lanes.

Lanes of a strip have different widths. Each begins at a multiple of ALIGN columns; the columns between are padding that
stays 0 and is read by no product. What works element by element or column by column (bias, activation, dropout, batch
norm, their gradients) is one call for all lanes; matrix products and layer norm are one call for each lane, at its true
shape. So nothing is computed for padding that costs anything, and a lane's numbers do not depend on its companions.

Shape letters: B batch, C columns of a strip (padding included), F features of a lane, S steps.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from automl.fused.mixed.blocks import Block
from automl.fused.tensors import rng

ALIGN = 32  # two AVX-512 registers of float32: no lane's elements meet the scalar end of torch's vector loops
AHEAD = 1 << 16  # elements of masks made at once
aten = torch.ops.aten
_relu_out, _threshold_backward_grad_input = aten.relu.out, aten.threshold_backward.grad_input
_gelu_out, _gelu_backward_grad_input = aten.gelu.out, aten.gelu_backward.grad_input
_silu_out, _silu_backward_grad_input = aten.silu.out, aten.silu_backward.grad_input  # looked up once, not at each step


@dataclass(frozen=True)
class Rule:
    """An activation: `forward(module, z, y)` fills y; `backward(module, g, kept)` turns g; `kept` is z, or y."""

    forward: Callable[[Any, Tensor, Tensor], object]
    backward: Callable[[Any, Tensor, Tensor], object]
    of_output: bool = False


RULES: dict[type, Rule] = {
    type(None): Rule(lambda m, z, y: y.copy_(z), lambda m, g, z: g),
    nn.ReLU: Rule(
        lambda m, z, y: _relu_out(z, out=y),
        lambda m, g, z: _threshold_backward_grad_input(g, z, 0, grad_input=g),
    ),
    nn.GELU: Rule(
        lambda m, z, y: _gelu_out(z, approximate=m.approximate, out=y),
        lambda m, g, z: _gelu_backward_grad_input(g, z, approximate=m.approximate, grad_input=g),
    ),
    nn.SiLU: Rule(lambda m, z, y: _silu_out(z, out=y), lambda m, g, z: _silu_backward_grad_input(g, z, grad_input=g)),
    nn.Tanh: Rule(
        lambda m, z, y: aten.tanh.out(z, out=y),
        lambda m, g, y: aten.tanh_backward.grad_input(g, y, grad_input=g),
        of_output=True,
    ),
    nn.Sigmoid: Rule(
        lambda m, z, y: aten.sigmoid.out(z, out=y),
        lambda m, g, y: aten.sigmoid_backward.grad_input(g, y, grad_input=g),
        of_output=True,
    ),
    nn.LeakyReLU: Rule(
        lambda m, z, y: aten.leaky_relu.out(z, m.negative_slope, out=y),
        lambda m, g, z: aten.leaky_relu_backward.grad_input(g, z, m.negative_slope, False, grad_input=g),
    ),
}


@dataclass
class Strip:
    """Hidden layer number `level` of `lanes`, whose `blocks` are of one kind."""

    level: int
    lanes: tuple[int, ...]
    blocks: tuple[Block, ...]
    sections: dict[str, slice] = field(default_factory=dict)  # of its vectors (bias, scale, shift) among all vectors
    running: dict[str, Tensor] = field(default_factory=dict)  # batch norm's statistics [C]

    def __post_init__(self) -> None:
        self.columns: list[slice] = []
        at = 0
        for block in self.blocks:
            self.columns.append(slice(at, at + block.outputs))
            at += -(-block.outputs // ALIGN) * ALIGN
        self.total = at

    @property
    def kind(self) -> Block:
        """Any of its blocks, for what they have in common."""
        return self.blocks[0]

    @property
    def affine(self) -> bool:
        """Whether its norm has a scale and a shift."""
        return self.kind.norm_module is not None and bool(list(self.kind.norm_module.parameters()))

    def gathered(self) -> list[str]:
        """The vectors it needs as rows of columns: "bias", and "scale", "shift" of batch norm."""
        return [*(["bias"] if self.kind.bias else []), *(["scale", "shift"] if self._batch and self.affine else [])]

    @property
    def _batch(self) -> bool:
        return self.kind.norm == "batch"

    def names(self, vector: str) -> list[str]:
        """The parameter behind `vector` of each lane."""
        if vector == "bias":
            return [f"{block.linear}.bias" for block in self.blocks]
        return [f"{block.norm_name}.{'weight' if vector == 'scale' else 'bias'}" for block in self.blocks]

    def load(self, buffers: Sequence[Mapping[str, Tensor]], dtype: torch.dtype) -> None:
        """Take batch norm's statistics from each lane's own buffers."""
        if self._batch:
            for name in ("running_mean", "running_var"):
                self.running[name] = torch.zeros(self.total, dtype=dtype)
                for block, columns, own in zip(self.blocks, self.columns, buffers, strict=True):
                    self.running[name][columns] = own[f"{block.norm_name}.{name}"]

    def store(self, buffers: Sequence[Mapping[str, Tensor]], steps: int) -> None:
        """Give them back after `steps` steps."""
        if self._batch:
            for block, columns, own in zip(self.blocks, self.columns, buffers, strict=True):
                for name, values in self.running.items():
                    own[f"{block.norm_name}.{name}"].copy_(values[columns])
                own[f"{block.norm_name}.num_batches_tracked"].add_(steps)


class StripPass:
    """A strip's matrices for batches of one size: `u` after the product, `z` normed, `y` the layer's output, `g`."""

    def __init__(self, strip: Strip, rows: int, vec: Tensor, gvec: Tensor, lanes: Sequence[Mapping[str, Tensor]],
                 gradients: Sequence[Mapping[str, Tensor]]) -> None:  # fmt: skip
        self.strip, self.lanes, self.gradients = strip, lanes, gradients
        self.u, self.y, self.g = (torch.zeros(rows, strip.total, dtype=vec.dtype) for _ in range(3))
        self.z = torch.zeros_like(self.u) if strip.kind.norm == "layer" else self.u
        self.values = {name: vec[section] for name, section in strip.sections.items()}
        self.slopes = {name: gvec[section] for name, section in strip.sections.items()}
        self.mask: Tensor | None = None
        self.norm, self.module = strip.kind.norm, strip.kind.activation
        self.rule = RULES[type(self.module)]
        self.kept: list[tuple[Tensor, Tensor]] = []

    def forward(self, mask: Tensor | None, training: bool) -> None:
        """From `u`, which the products have filled, to `y`."""
        if "bias" in self.values:
            self.u.add_(self.values["bias"])
        if self.norm == "batch":
            self._batch_norm(training)
        elif self.norm == "layer":
            self._layer_norm()
        self.rule.forward(self.module, self.z, self.y)
        self.seen = self.y.clone() if self.rule.of_output else self.z
        self.mask = mask
        if mask is not None:
            self.y.mul_(mask)

    def _batch_norm(self, training: bool) -> None:
        norm: Any = self.strip.kind.norm_module
        run = self.strip.running
        self.z, self.m, self.s = torch.native_batch_norm(
            self.u, self.values.get("scale"), self.values.get("shift"), run["running_mean"], run["running_var"],
            training, norm.momentum, norm.eps,
        )  # fmt: skip

    def _layer_norm(self) -> None:
        self.kept = []
        for block, columns, own in zip(self.strip.blocks, self.strip.columns, self.lanes, strict=True):
            norm: Any = block.norm_module
            scale, shift = own.get(f"{block.norm_name}.weight"), own.get(f"{block.norm_name}.bias")
            z, mean, rstd = torch.native_layer_norm(self.u[:, columns], [block.outputs], scale, shift, norm.eps)
            self.z[:, columns] = z
            self.kept.append((mean, rstd))

    def backward(self) -> None:
        """From the gradient of `y` in `g` to that of `u`, in place; vectors' gradients go to their places."""
        if self.mask is not None:
            self.g.mul_(self.mask)
        self.rule.backward(self.module, self.g, self.seen)
        if self.norm == "batch":
            self._batch_norm_backward()
        elif self.norm == "layer":
            self._layer_norm_backward()
        if "bias" in self.slopes:
            torch.sum(self.g, dim=0, out=self.slopes["bias"])

    def _batch_norm_backward(self) -> None:
        norm: Any = self.strip.kind.norm_module
        run, affine = self.strip.running, self.strip.affine
        gu, gscale, gshift = aten.native_batch_norm_backward(
            self.g, self.u, self.values.get("scale"), run["running_mean"], run["running_var"], self.m, self.s, True,
            norm.eps, [True, affine, affine],
        )  # fmt: skip
        self.g.copy_(gu)
        if affine:
            self.slopes["scale"].copy_(gscale)
            self.slopes["shift"].copy_(gshift)

    def _layer_norm_backward(self) -> None:
        strip, affine = self.strip, self.strip.affine
        for at, (block, columns) in enumerate(zip(strip.blocks, strip.columns, strict=True)):
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


class StripMasks:
    """A strip's keep masks of an epoch, made for some steps at a time; a lane's are those it would have alone."""

    def __init__(self, strip: Strip, rows: int, keys: Tensor, limits: Tensor, scales: Tensor) -> None:
        """`keys` int32 `[S, 2, n]`, `limits`, `scales` int32 `[n]`: of the strip's n lanes."""
        widths = [-(-block.outputs // ALIGN) * ALIGN for block in strip.blocks]
        lane = torch.repeat_interleave(torch.arange(len(widths)), torch.tensor(widths))
        self.flip, self.times = keys[:, 0, lane].unsqueeze(1), keys[:, 1, lane].unsqueeze(1)  # [S, 1, C]
        self.limits, self.scales = limits[lane], scales[lane]
        device = limits.device
        tables = [rng.table(torch.Size((rows, width)), device).view(rows, width) for width in widths]
        self.words = torch.cat(tables, 1).unsqueeze(0)
        self.rows = rows
        self.steps = min(max(1, AHEAD // (rows * strip.total)), len(keys))
        self.bits = torch.empty(self.steps, rows, strip.total, dtype=torch.int32)
        self.group = -1

    def at(self, step: int, rows: int, dtype: torch.dtype) -> Tensor:
        """`[rows, C]`: 0 where dropped, 1 / (1 - p) where kept; good until masks of later steps are asked for."""
        group, place = divmod(step, self.steps)
        if group != self.group:
            self.group = group
            span = slice(group * self.steps, (group + 1) * self.steps)
            flip, times = self.flip[span], self.times[span]
            made = rng.keep_mask(self.words, flip, times, self.limits, self.scales, self.bits[: len(flip)])
            self.values = made.to(dtype).unbind(0)
        found = self.values[place]
        return found if rows == self.rows else found[:rows]
