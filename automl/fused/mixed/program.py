"""Hand-written forward and backward pass of several MLPs of different shapes in one program (see `packed_layers`).

A program serves a fixed set of lanes. It owns their gradients; weights and buffers remain the lanes' own.

Shape letters: K lanes, B batch, C outputs of the heads, S steps, L dropout layers, P parameters, V elements of all
vectors (biases, and batch norm's scales and shifts) with their padding.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

import torch
from torch import Tensor

from automl.fused.mixed.blocks import Block
from automl.fused.mixed.packed_layers import PackedLayer, PackedMasks, PackedPass, padded
from automl.fused.modules.activations import ACTIVATIONS, Activation
from automl.fused.tensors.layout import Layout

Product = tuple[Tensor, Tensor, Tensor]  # (a, b, out): out = a @ b
_ONE = int(torch.ones(1).view(torch.int32))  # the bits of float32 1.0: the mask scale of a lane that drops nothing


@dataclass(frozen=True)
class LaneModel:
    """What a program needs of a lane: its layers, where its parameters lie, its own row `[P]` and its buffers."""

    blocks: tuple[Block, ...]
    layout: Layout
    row: Tensor
    buffers: Mapping[str, Tensor]

    def weight(self, level: int) -> str:
        """The name of the weight of layer number `level` (-1: the head)."""
        return f"{self.blocks[level].linear}.weight"


class MixedProgram:
    """The lanes' layers, packed. `outputs` and `backward` run one batch of all lanes.

    `gradients`: `[P]` of each lane; `named_gradients`: their views, name -> tensor; `num_outputs`: C.
    """

    def __init__(self, models: Sequence[LaneModel], activations: Mapping[type, Activation] = ACTIVATIONS) -> None:
        """`activations`: how each type of activation module is computed."""
        self.models, self.activations = tuple(models), activations
        dtype = models[0].row.dtype
        sizes = [model.layout.width for model in models]
        self.gradient = torch.zeros(sum(sizes), dtype=dtype)
        self.gradients = torch.split(self.gradient, sizes)
        self.weights = [model.layout.row_views(model.row) for model in models]
        self.named_gradients = [model.layout.row_views(g) for model, g in zip(models, self.gradients, strict=True)]
        self.depths = [len(model.blocks) - 1 for model in models]
        self.num_outputs = models[0].blocks[-1].outputs
        self.layers = [layer for level in range(max(self.depths)) for layer in self._packed(level)]
        self._join_vectors(dtype)
        self.load()
        self.passes: dict[int, BatchPass] = {}
        self.masks: dict[int, PackedMasks] = {}

    def _packed(self, level: int) -> list[PackedLayer]:
        """The packed layers of a level: the lanes that are that deep, by kind of layer."""
        deep = sorted((k for k, depth in enumerate(self.depths) if depth > level),
                      key=lambda k: (self.models[k].blocks[level].kind, k))  # fmt: skip
        packed = []
        for _, group in groupby(deep, key=lambda k: self.models[k].blocks[level].kind):
            lanes = tuple(group)
            packed.append(PackedLayer(level, lanes, tuple(self.models[k].blocks[level] for k in lanes)))
        return packed

    def _join_vectors(self, dtype: torch.dtype) -> None:
        """One vector `[V]` for all biases, scales and shifts: one call reads them all, one writes their gradients.

        `sources`: its parts; `places`: indices of the true elements; `targets`: where their gradients belong in
        `gradient`.
        """
        sources: list[Tensor] = []
        places: list[Tensor] = []
        targets: list[Tensor] = []
        bases = torch.tensor([0, *(model.layout.width for model in self.models)]).cumsum(0)[:-1].tolist()
        offsets = [{slot.name: base + slot.start for slot in model.layout.slots}
                   for model, base in zip(self.models, bases, strict=True)]  # fmt: skip
        at = 0

        def take(lane: int, name: str, width: int, columns: int) -> None:
            nonlocal at
            sources.append(self.weights[lane][name])
            if columns > width:
                sources.append(torch.zeros(columns - width, dtype=dtype))
            places.append(torch.arange(at, at + width))
            targets.append(torch.arange(offsets[lane][name], offsets[lane][name] + width))
            at += columns

        for layer in self.layers:
            for vector in layer.vectors():
                first = at
                for lane, block, name in zip(layer.lanes, layer.blocks, layer.names(vector), strict=True):
                    take(lane, name, block.outputs, padded(block.outputs))
                layer.sections[vector] = slice(first, at)
        self.heads = slice(at, at + len(self.models) * self.num_outputs)
        for lane, model in enumerate(self.models):
            take(lane, f"{model.blocks[-1].linear}.bias", self.num_outputs, self.num_outputs)
        self.sources = sources
        self.vec, self.gvec = torch.zeros(at, dtype=dtype), torch.zeros(at, dtype=dtype)
        self.places, self.targets = torch.cat(places), torch.cat(targets)
        self.unpadded = torch.empty(len(self.places), dtype=dtype)

    def batch_pass(self, rows: int) -> "BatchPass":
        """The matrices for batches of `rows` samples."""
        if rows not in self.passes:
            self.passes[rows] = BatchPass(self, rows)
        return self.passes[rows]

    def set_masks(self, keys: Tensor, limits: Tensor, scales: Tensor, layers: Mapping[str, int], rows: int) -> None:
        """The dropout of an epoch with batches of `rows` samples.

        Args:
            keys: int32 `[S, L, 2, K]` (see `tensors.rng`).
            limits, scales: int32 `[L, K]`.
            layers: dropout layer -> its index among the L.
            rows: B.
        """
        self.masks.clear()
        for number, packed in enumerate(self.layers):
            if packed.any_block.drop is None or not keys.shape[1]:
                continue
            layer = torch.tensor([layers[str(block.drop)] for block in packed.blocks])
            lane = torch.tensor(packed.lanes)
            own = scales[layer, lane]
            if bool((own != _ONE).any()):
                self.masks[number] = PackedMasks(packed, rows, keys[:, layer, :, lane].permute(1, 2, 0).contiguous(),
                                                 limits[layer, lane], own)  # fmt: skip

    def outputs(self, x: Tensor, step: int | None, *, shared: bool = True) -> Tensor:
        """Outputs `[K, B, C]`; the buffer is overwritten by the next call.

        Args:
            x: `[K, B, ...]` in training; `[B, ...]`, shared by all lanes, in evaluation.
            step: the step of the epoch in training, None in evaluation.
            shared: False: `x` is `[K, B, ...]` in evaluation too.
        """
        torch.cat(self.sources, out=self.vec)
        each = step is not None or not shared
        return self.batch_pass(x.shape[1 if each else 0]).forward(x, step, each=each)

    def backward(self, gradient: Tensor) -> None:
        """Fill `gradients` from d(loss)/d(outputs) `[K, B, C]` of the last training outputs."""
        self.batch_pass(gradient.shape[1]).backward(gradient)
        torch.index_select(self.gvec, 0, self.places, out=self.unpadded)
        self.gradient.index_copy_(0, self.targets, self.unpadded)

    def load(self) -> None:
        """Read the lanes' buffers."""
        for layer in self.layers:
            layer.load([self.models[k].buffers for k in layer.lanes], self.vec.dtype)

    def store(self, steps: int) -> None:
        """Write the lanes' buffers after `steps` training steps."""
        for layer in self.layers:
            layer.store([self.models[k].buffers for k in layer.lanes], steps)


class BatchPass:
    """One size of batch: the operands of every matrix product of a step, as views that are made once."""

    def __init__(self, program: MixedProgram, rows: int) -> None:
        self.program, self.rows = program, rows
        weights, gradients, models = program.weights, program.named_gradients, program.models
        self.layers = [
            PackedPass(layer, rows, program.vec, program.gvec, [weights[k] for k in layer.lanes],
                       [gradients[k] for k in layer.lanes], program.activations)
            for layer in program.layers
        ]  # fmt: skip
        self.home: dict[tuple[int, int], tuple[PackedPass, slice]] = {}  # (lane, level) -> where its columns are
        for packed in self.layers:
            for lane, columns in zip(packed.layer.lanes, packed.layer.columns, strict=True):
                self.home[lane, packed.layer.level] = packed, columns
        self.logits = torch.zeros(len(models), rows, program.num_outputs, dtype=program.vec.dtype)
        self.head_bias = program.vec[program.heads].view(len(models), 1, -1)
        self.head_bias_gradient = program.gvec[program.heads].view(len(models), -1)
        self.first = [(weights[k][m.weight(0)].t(), self._columns("u", k, 0)) for k, m in enumerate(models)]
        self.first_gradients = [(self._columns("g", k, 0).t(), gradients[k][m.weight(0)]) for k, m in enumerate(models)]
        self.forward_products = [self._forward_products(packed) for packed in self.layers]
        self.weight_products = [self._weight_products(packed) for packed in self.layers]
        self.input_products = [self._input_products(packed) for packed in self.layers]
        self.shortcuts = [self._shortcuts(packed, "y") for packed in self.layers]
        self.shortcut_gradients = [self._shortcuts(packed, "g") for packed in self.layers]
        tops = [depth - 1 for depth in program.depths]
        self.heads = [(self._columns("y", k, top), weights[k][models[k].weight(-1)].t(), self.logits[k])
                      for k, top in enumerate(tops)]  # fmt: skip
        self.head_gradients = [
            (self._columns("y", k, top), gradients[k][models[k].weight(-1)], weights[k][models[k].weight(-1)],
             self._columns("g", k, top))
            for k, top in enumerate(tops)
        ]  # fmt: skip
        self.x: Sequence[Tensor] = ()

    def _columns(self, matrix: str, lane: int, level: int) -> Tensor:
        """The lane's columns of a matrix ("u", "y" or "g", see `PackedPass`) of its layer at `level`."""
        packed, columns = self.home[lane, level]
        return packed.matrix(matrix)[:, columns]

    def _forward_products(self, packed: PackedPass) -> list[Product]:
        level, weights, models = packed.layer.level, self.program.weights, self.program.models
        return [
            (self._columns("y", k, level - 1), weights[k][models[k].weight(level)].t(), self._columns("u", k, level))
            for k in packed.layer.lanes if level > 0
        ]  # fmt: skip

    def _weight_products(self, packed: PackedPass) -> list[Product]:
        """The gradients of the weights."""
        level, gradients, models = packed.layer.level, self.program.named_gradients, self.program.models
        return [
            (self._columns("g", k, level).t(), self._columns("y", k, level - 1), gradients[k][models[k].weight(level)])
            for k in packed.layer.lanes if level > 0
        ]  # fmt: skip

    def _input_products(self, packed: PackedPass) -> list[Product]:
        """The gradients of the outputs of the level below."""
        level, weights, models = packed.layer.level, self.program.weights, self.program.models
        return [
            (self._columns("g", k, level), weights[k][models[k].weight(level)], self._columns("g", k, level - 1))
            for k in packed.layer.lanes if level > 0
        ]  # fmt: skip

    def _shortcuts(self, packed: PackedPass, matrix: str) -> list[tuple[Tensor, Tensor]]:
        """(columns at this level, at the level below) of the lanes with a shortcut around this level."""
        level = packed.layer.level
        return [
            (self._columns(matrix, k, level), self._columns(matrix, k, level - 1))
            for k, block in zip(packed.layer.lanes, packed.layer.blocks, strict=True) if block.shortcut
        ]  # fmt: skip

    def forward(self, x: Tensor, step: int | None, *, each: bool) -> Tensor:
        """See `MixedProgram.outputs`; `each`: every lane has rows of its own."""
        mm, masks = torch.mm, self.program.masks
        flat = x.flatten(2) if each else x.flatten(1)
        self.x = flat.unbind(0) if each else [flat] * len(self.first)
        for one, (weight, u) in zip(self.x, self.first, strict=True):
            mm(one, weight, out=u)
        for number, packed in enumerate(self.layers):
            for a, b, out in self.forward_products[number]:
                mm(a, b, out=out)
            mask = None
            if step is not None and number in masks:
                mask = masks[number].at(step, self.rows, packed.u.dtype)
            packed.forward(mask, step is not None)
            for y, below in self.shortcuts[number]:
                y.add_(below)
        for a, b, out in self.heads:
            mm(a, b, out=out)
        return self.logits.add_(self.head_bias)

    def backward(self, gradient: Tensor) -> None:
        """See `MixedProgram.backward`."""
        mm = torch.mm
        torch.sum(gradient, dim=1, out=self.head_bias_gradient)
        for g, (y, weight_gradient, weight, below) in zip(gradient.unbind(0), self.head_gradients, strict=True):
            mm(g.t(), y, out=weight_gradient)
            mm(g, weight, out=below)
        for number in range(len(self.layers) - 1, -1, -1):
            shortcuts = self.shortcut_gradients[number]
            around = [g.clone() for g, _ in shortcuts]
            self.layers[number].backward()
            for a, b, out in self.weight_products[number]:
                mm(a, b, out=out)
            for a, b, out in self.input_products[number]:
                mm(a, b, out=out)
            for own, (_, below) in zip(around, shortcuts, strict=True):
                below.add_(own)
        for one, (g, weight_gradient) in zip(self.x, self.first_gradients, strict=True):
            mm(g, one, out=weight_gradient)
