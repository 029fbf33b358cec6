"""What surgery's modules ask for while a lane batch runs: this step's keys, dropout rates and gradient destinations.

There is one active `Draw` at a time, set by the stepper around a forward and backward pass. It holds tensors over all
K lanes; a module inside `vmap` sees one lane and leaves the lane axis to the rules in `surgery.py`.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from torch import Tensor

from automl.fused.optim.launch import launched
from automl.fused.tensors import rng

AHEAD = 1 << 16  # elements of masks made at once: enough to hide the cost of the calls, few enough to stay in cache


@dataclass
class Draw:
    """`layers`: name -> index l; `keys`: int32 `[S, L, 2, K]`; `limits`, `scales`: int32 `[L, K]` (rng.thresholds).

    `size` is K. `live[l]` is False where no lane drops anything. `fused` is False when one lane runs without `vmap`.
    `targets`: leaf weight's data pointer -> view into the flat gradient; `written` collects those filled so far.
    `step` is the step s of the pass that runs.
    """

    fused: bool
    size: int
    layers: dict[str, int]
    keys: Tensor
    limits: Tensor
    scales: Tensor
    live: list[bool]
    step: int = 0
    targets: dict[int, Tensor] = field(default_factory=dict)
    written: set[int] = field(default_factory=set)
    calls: dict[str, int] = field(default_factory=dict)
    spaces: dict[tuple[object, torch.Size, torch.dtype], Tensor] = field(default_factory=dict)
    masks: dict[tuple[int, int, torch.Size], "Masks"] = field(default_factory=dict)

    def mask(self, layer: str, shape: torch.Size) -> Tensor | None:
        """float32 keep mask `[K, *shape]` of the next call of `layer`, or None when no lane drops anything."""
        index = self.layers[layer]
        if not self.live[index]:
            return None
        call = self.calls.get(layer, 0)
        self.calls[layer] = call + 1
        name = (index, call, shape)
        if name not in self.masks:
            self.masks[name] = Masks(self, *name)
        return self.masks[name].at(self.step)

    def scale(self, layer: str) -> Tensor | None:
        """float32 `[K]`: each lane's 1 / (1 - p) in `layer`, or None when no lane drops anything."""
        index = self.layers[layer]
        return self.scales[index].view(torch.float32) if self.live[index] else None

    def space(self, shape: torch.Size, dtype: torch.dtype, use: object = "") -> Tensor:
        """Scratch that stays from step to step: fresh pages would cost more than the arithmetic."""
        name = (use, shape, dtype)
        if name not in self.spaces:
            self.spaces[name] = torch.empty(shape, dtype=dtype, device=self.limits.device)
        return self.spaces[name]


class Masks:
    """The masks of one layer for a whole epoch, made for a few steps at a time in storage that stays.

    Everything but the six passes over the elements is prepared here: a call of torch costs as much as a pass.
    """

    def __init__(self, draw: Draw, index: int, call: int, shape: torch.Size) -> None:
        k, elements = draw.size, max(1, shape.numel())
        self.steps = min(max(1, AHEAD // (k * elements)), len(draw.keys))
        rows = self.steps * k
        words = draw.keys[:, index].transpose(0, 1).reshape(2, -1, 1)
        if call:
            words = words ^ (call * 0x3C6EF372)
        self.words = [torch.split(w, rows) for w in words.unbind(0)]
        spread = (self.steps, k)  # of a single step: views, no copies
        self.limits, self.scales = (v[index].expand(spread).reshape(-1, 1) for v in (draw.limits, draw.scales))
        self.table = rng.table(shape, draw.limits.device).unsqueeze(0)
        self.bits = draw.space(torch.Size((rows, elements)), torch.int32, ("mask", index, call))
        self.values = self.bits.view(torch.float32).view(self.steps, k, *shape).unbind(0)
        self.group = -1

    def at(self, step: int) -> Tensor:
        """float32 `[K, *shape]` of that step; good until masks of later steps are asked for."""
        group, place = divmod(step, self.steps)
        if group != self.group:
            self.group, first = group, self.words[0][group]
            rows = len(first)
            short = rows < len(self.bits)
            bits, limits, scales = self.bits, self.limits, self.scales
            if short:
                bits, limits, scales = bits[:rows], limits[:rows], scales[:rows]
            given = (self.table, first, self.words[1][group], limits, scales)
            if not launched("keep_mask", bits, *given):
                rng.keep_mask(*given, bits)
        return self.values[place]


_active: list[Draw] = []


def active() -> Draw | None:
    """The random masks of the forward pass that is running; None outside of a training step of lanes."""
    return _active[-1] if _active else None


@contextmanager
def running(draw: Draw) -> Iterator[Draw]:
    """Make `draw` the active one for a forward and backward pass."""
    _active.append(draw)
    try:
        yield draw
    finally:
        _active.pop()
