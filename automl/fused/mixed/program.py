"""Plain stacks of different shapes, forward and backward by hand, beside one another: see `strips` for the idea.

A program serves a fixed set of lanes. It owns their gradients; weights and buffers stay the lanes' own.

Shape letters: K lanes, B batch, F inputs, C outputs of the heads, S steps.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

import torch
from torch import Tensor

from automl.fused.mixed.blocks import Block
from automl.fused.mixed.strips import ALIGN, Strip, StripMasks, StripPass
from automl.fused.tensors.layout import Layout

Product = tuple[Tensor, Tensor, Tensor]  # a @ b goes to the third


@dataclass(frozen=True)
class Body:
    """What a program needs of a lane: its layers, where its parameters lie, and its own row `[P]` and buffers."""

    blocks: tuple[Block, ...]
    plan: Layout
    row: Tensor
    buffers: Mapping[str, Tensor]


class Beside:
    """The lanes' layers in strips. `gradients` `[P]` of each lane; `outputs` and `backward` run one batch of all."""

    def __init__(self, bodies: Sequence[Body]) -> None:
        self.bodies = tuple(bodies)
        dtype = bodies[0].row.dtype
        sizes = [body.plan.width for body in bodies]
        self.gradient = torch.zeros(sum(sizes), dtype=dtype)
        self.gradients = torch.split(self.gradient, sizes)
        self.weights = [body.plan.row_views(body.row) for body in bodies]
        self.slopes = [body.plan.row_views(g) for body, g in zip(bodies, self.gradients, strict=True)]
        self.depths = [len(body.blocks) - 1 for body in bodies]
        self.classes = bodies[0].blocks[-1].outputs
        self.strips = [strip for level in range(max(self.depths)) for strip in self._strips(level)]
        self._vectors(dtype)
        self.load()
        self.passes: dict[int, Pass] = {}
        self.masks: dict[int, StripMasks] = {}

    def _strips(self, level: int) -> list[Strip]:
        """The strips of a level: lanes that have it, by kind."""
        having = sorted((k for k, depth in enumerate(self.depths) if depth > level),
                        key=lambda k: (self.bodies[k].blocks[level].kind, k))  # fmt: skip
        found = []
        for _, group in groupby(having, key=lambda k: self.bodies[k].blocks[level].kind):
            lanes = tuple(group)
            found.append(Strip(level, lanes, tuple(self.bodies[k].blocks[level] for k in lanes)))
        return found

    def _vectors(self, dtype: torch.dtype) -> None:
        """One vector for all biases (and batch norm's scales and shifts): a call to collect, a call to give back."""
        parts: list[Tensor] = []
        places: list[Tensor] = []
        targets: list[Tensor] = []
        bases = torch.tensor([0, *(body.plan.width for body in self.bodies)]).cumsum(0)[:-1].tolist()
        offsets = [{slot.name: base + slot.start for slot in body.plan.slots}
                   for body, base in zip(self.bodies, bases, strict=True)]  # fmt: skip
        at = 0

        def take(lane: int, name: str, width: int, room: int) -> None:
            nonlocal at
            parts.append(self.weights[lane][name])
            if room > width:
                parts.append(torch.zeros(room - width, dtype=dtype))
            places.append(torch.arange(at, at + width))
            targets.append(torch.arange(offsets[lane][name], offsets[lane][name] + width))
            at += room

        for strip in self.strips:
            for vector in strip.gathered():
                begin = at
                for lane, block, name in zip(strip.lanes, strip.blocks, strip.names(vector), strict=True):
                    take(lane, name, block.outputs, -(-block.outputs // ALIGN) * ALIGN)
                strip.sections[vector] = slice(begin, at)
        self.heads = slice(at, at + len(self.bodies) * self.classes)
        for lane, body in enumerate(self.bodies):
            take(lane, f"{body.blocks[-1].linear}.bias", self.classes, self.classes)
        self.parts = parts
        self.vec, self.gvec = torch.zeros(at, dtype=dtype), torch.zeros(at, dtype=dtype)
        self.places, self.targets = torch.cat(places), torch.cat(targets)
        self.true = torch.empty(len(self.places), dtype=dtype)

    def of(self, rows: int) -> "Pass":
        """The matrices for batches of `rows` samples."""
        if rows not in self.passes:
            self.passes[rows] = Pass(self, rows)
        return self.passes[rows]

    def draws(self, keys: Tensor, limits: Tensor, scales: Tensor, layers: Mapping[str, int], rows: int) -> None:
        """The masks of an epoch: `keys` int32 `[S, L, 2, K]`, `limits` and `scales` int32 `[L, K]` of the layers."""
        self.masks.clear()
        for number, strip in enumerate(self.strips):
            if strip.kind.drop is None or not keys.shape[1]:
                continue
            layer = torch.tensor([layers[str(block.drop)] for block in strip.blocks])
            lane = torch.tensor(strip.lanes)
            own = scales[layer, lane]
            if bool((own != _ONE).any()):
                self.masks[number] = StripMasks(strip, rows, keys[:, layer, :, lane].permute(1, 2, 0).contiguous(),
                                                limits[layer, lane], own)  # fmt: skip

    def outputs(self, x: Tensor, step: int | None) -> Tensor:
        """`[K, B, C]` of `x`: `[K, B, ...]` in training at `step`, `[B, ...]` (shared) in evaluation, `step` None."""
        torch.cat(self.parts, out=self.vec)
        return self.of(x.shape[0 if step is None else 1]).forward(x, step)

    def backward(self, gradient: Tensor) -> None:
        """Fill `gradients` from d(loss)/d(outputs) `[K, B, C]` of the last training outputs."""
        self.of(gradient.shape[1]).backward(gradient)
        torch.index_select(self.gvec, 0, self.places, out=self.true)
        self.gradient.index_copy_(0, self.targets, self.true)

    def load(self) -> None:
        """Take the buffers as they are now."""
        for strip in self.strips:
            strip.load([self.bodies[k].buffers for k in strip.lanes], self.vec.dtype)

    def store(self, steps: int) -> None:
        """Bring buffers up to date after `steps` training steps."""
        for strip in self.strips:
            strip.store([self.bodies[k].buffers for k in strip.lanes], steps)


_ONE = int(torch.ones(1).view(torch.int32))


class Pass:
    """One size of batch: every product of a step with its matrices at hand."""

    def __init__(self, program: Beside, rows: int) -> None:
        self.program, self.rows = program, rows
        weights, slopes = program.weights, program.slopes
        self.strips = [
            StripPass(strip, rows, program.vec, program.gvec, [weights[k] for k in strip.lanes],
                      [slopes[k] for k in strip.lanes])
            for strip in program.strips
        ]  # fmt: skip
        self.home: dict[tuple[int, int], tuple[StripPass, slice]] = {}  # (lane, level) -> where its columns are
        for made in self.strips:
            for lane, columns in zip(made.strip.lanes, made.strip.columns, strict=True):
                self.home[lane, made.strip.level] = made, columns
        count = len(program.bodies)
        self.logits = torch.zeros(count, rows, program.classes, dtype=program.vec.dtype)
        self.head_bias = program.vec[program.heads].view(count, 1, -1)
        self.head_slope = program.gvec[program.heads].view(count, -1)
        self.first = [(weights[k][f"{body.blocks[0].linear}.weight"].t(), self._of("u", k, 0))
                      for k, body in enumerate(program.bodies)]  # fmt: skip
        self.first_slopes = [(self._of("g", k, 0).t(), slopes[k][f"{body.blocks[0].linear}.weight"])
                             for k, body in enumerate(program.bodies)]  # fmt: skip
        self.into = [self._forwards(made) for made in self.strips]
        self.shortcuts = [self._shortcuts(made, "y") for made in self.strips]
        self.weigh = [self._weigh(made) for made in self.strips]
        self.back = [self._backwards(made) for made in self.strips]
        self.returns = [self._shortcuts(made, "g") for made in self.strips]
        self.last = [(self._of("y", k, depth - 1), weights[k][self._head(k)].t(), self.logits[k])
                     for k, depth in enumerate(program.depths)]  # fmt: skip
        self.ends = [(self._of("y", k, depth - 1), slopes[k][self._head(k)], weights[k][self._head(k)],
                      self._of("g", k, depth - 1)) for k, depth in enumerate(program.depths)]  # fmt: skip
        self.x: Sequence[Tensor] = ()

    def _head(self, lane: int) -> str:
        return f"{self.program.bodies[lane].blocks[-1].linear}.weight"

    def _of(self, matrix: str, lane: int, level: int) -> Tensor:
        """The lane's columns of its strip's matrix at `level`."""
        made, columns = self.home[lane, level]
        found: Tensor = getattr(made, matrix)[:, columns]
        return found

    def _weight(self, lane: int, level: int) -> str:
        return f"{self.program.bodies[lane].blocks[level].linear}.weight"

    def _forwards(self, made: StripPass) -> list[Product]:
        level, weights = made.strip.level, self.program.weights
        return [(self._of("y", k, level - 1), weights[k][self._weight(k, level)].t(), self._of("u", k, level))
                for k in made.strip.lanes if level > 0]  # fmt: skip

    def _weigh(self, made: StripPass) -> list[Product]:
        level, slopes = made.strip.level, self.program.slopes
        return [(self._of("g", k, level).t(), self._of("y", k, level - 1), slopes[k][self._weight(k, level)])
                for k in made.strip.lanes if level > 0]  # fmt: skip

    def _backwards(self, made: StripPass) -> list[Product]:
        level, weights = made.strip.level, self.program.weights
        return [(self._of("g", k, level), weights[k][self._weight(k, level)], self._of("g", k, level - 1))
                for k in made.strip.lanes if level > 0]  # fmt: skip

    def _shortcuts(self, made: StripPass, matrix: str) -> list[tuple[Tensor, Tensor]]:
        """(of this level, of the level before) for lanes with a shortcut around this level."""
        level = made.strip.level
        return [(self._of(matrix, k, level), self._of(matrix, k, level - 1))
                for k, block in zip(made.strip.lanes, made.strip.blocks, strict=True) if block.shortcut]  # fmt: skip

    def forward(self, x: Tensor, step: int | None) -> Tensor:
        """See `Beside.outputs`."""
        mm, masks = torch.mm, self.program.masks
        flat = x.flatten(2) if step is not None else x.flatten(1)
        self.x = flat.unbind(0) if step is not None else [flat] * len(self.first)
        for one, (weight, u) in zip(self.x, self.first, strict=True):
            mm(one, weight, out=u)
        for number, made in enumerate(self.strips):
            for a, b, out in self.into[number]:
                mm(a, b, out=out)
            mask = None
            if step is not None and number in masks:
                mask = masks[number].at(step, self.rows, made.u.dtype)
            made.forward(mask, step is not None)
            for y, before in self.shortcuts[number]:
                y.add_(before)
        for a, b, out in self.last:
            mm(a, b, out=out)
        return self.logits.add_(self.head_bias)

    def backward(self, gradient: Tensor) -> None:
        """See `Beside.backward`."""
        mm = torch.mm
        torch.sum(gradient, dim=1, out=self.head_slope)
        for g, (y, slope, weight, back) in zip(gradient.unbind(0), self.ends, strict=True):
            mm(g.t(), y, out=slope)
            mm(g, weight, out=back)
        for number in range(len(self.strips) - 1, -1, -1):
            made = self.strips[number]
            around = [g.clone() for g, _ in self.returns[number]]
            made.backward()
            for a, b, out in self.weigh[number]:
                mm(a, b, out=out)
            for a, b, out in self.back[number]:
                mm(a, b, out=out)
            for own, (_, before) in zip(around, self.returns[number], strict=True):
                before.add_(own)
        for one, (g, slope) in zip(self.x, self.first_slopes, strict=True):
            mm(g, one, out=slope)
