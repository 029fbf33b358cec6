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


@dataclass
class Draw:
    """`layers`: name -> index l; `keys`: int32 `[L, 2, K]`; `limits`, `scales`: int32 `[L, K]` (rng.thresholds).

    `size` is K. `live[l]` is False where no lane drops anything. `fused` is False when one lane runs without `vmap`.
    `targets`: leaf weight's data pointer -> view into the flat gradient; `written` collects those filled so far.
    """

    fused: bool
    size: int
    layers: dict[str, int]
    keys: Tensor
    limits: Tensor
    scales: Tensor
    live: list[bool]
    targets: dict[int, Tensor] = field(default_factory=dict)
    written: set[int] = field(default_factory=set)
    calls: dict[str, int] = field(default_factory=dict)
    spaces: dict[tuple[tuple[str, int], torch.Size, torch.dtype], Tensor] = field(default_factory=dict)

    def mask(self, layer: str, shape: torch.Size) -> Tensor | None:
        """float32 keep mask `[K, *shape]` of the next call of `layer`, or None when no lane drops anything."""
        index = self.layers[layer]
        if not self.live[index]:
            return None
        call = self.calls.get(layer, 0)
        self.calls[layer] = call + 1
        keys = self.keys[index] if call == 0 else self.keys[index] ^ (call * 0x3C6EF372)
        size = torch.Size((self.limits.shape[1], shape.numel()))
        out, spare = self.space(size, torch.int32, (layer, call)), self.space(size, torch.int32)
        return rng.keep_mask(shape, keys, self.limits[index], self.scales[index], out, spare)

    def space(self, shape: torch.Size, dtype: torch.dtype, use: tuple[str, int] = ("", 0)) -> Tensor:
        """A buffer that stays from step to step, one for each `use`: fresh pages would cost more than the arithmetic.

        Without `use` it is scratch, overwritten by the next caller. A mask lives until its backward pass.
        """
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
