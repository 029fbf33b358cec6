"""What surgery's modules ask for while a lane batch runs: this step's keys, dropout rates and gradient destinations.

There is one active `Draw` at a time, set by the stepper around a forward and backward pass. It holds tensors over all
K lanes; a module inside `vmap` sees one lane and leaves the lane axis to the rules in `surgery.py`.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from torch import Tensor

from . import rng

AHEAD = 1 << 18  # elements of masks made at once: enough to hide the cost of the calls, few enough to stay in cache


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
    ready: dict[tuple[str, int, torch.Size], tuple[int, Tensor]] = field(default_factory=dict)

    def mask(self, layer: str, shape: torch.Size) -> Tensor | None:
        """float32 keep mask `[K, *shape]` of the next call of `layer`, or None when no lane drops anything."""
        index = self.layers[layer]
        if not self.live[index]:
            return None
        call = self.calls.get(layer, 0)
        self.calls[layer] = call + 1
        name = (layer, call, shape)
        first, masks = self.ready.get(name, (-1, None))
        if masks is None or not first <= self.step < first + len(masks):
            first, masks = self.step, self._ahead(index, name, None if masks is None else masks)
            self.ready[name] = first, masks
        return masks[self.step - first]

    def _ahead(self, index: int, name: tuple[str, int, torch.Size], old: Tensor | None) -> Tensor:
        """Masks `[steps, K, *shape]` of this and the following steps; the buffer of the last ones is used again."""
        _, call, shape = name
        wanted = max(1, AHEAD // (self.size * max(1, shape.numel())))
        keys = self.keys[self.step : self.step + wanted, index]
        steps = len(keys)
        flat = keys.transpose(0, 1).reshape(2, steps * self.size) ^ (call * 0x3C6EF372)
        rows = torch.Size((steps * self.size, shape.numel()))
        reuse = old is not None and len(old) == steps
        out = (
            old.view(torch.int32).view(rows)
            if reuse and old is not None
            else torch.empty(rows, dtype=torch.int32, device=flat.device)
        )
        spare = self.space(rows, torch.int32, "mask")
        made = rng.keep_mask(
            shape, flat, self.limits[index].repeat(steps), self.scales[index].repeat(steps), out, spare
        )
        return made.view(steps, self.size, *shape)

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


_active: list[Draw] = []


def active() -> Draw | None:
    """The draw of the pass that is running, None outside of one (a plain call of the module)."""
    return _active[-1] if _active else None


@contextmanager
def running(draw: Draw) -> Iterator[Draw]:
    """Make `draw` the active one for a forward and backward pass."""
    _active.append(draw)
    try:
        yield draw
    finally:
        _active.pop()
