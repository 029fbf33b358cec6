"""The head of a network, its last linear layer: found by what it does, its inputs computed once, and widened.

Shape letters: N rows, D features that go into the head, U output units.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from automl.errors import DataError

PIECE = 2048
"""So many rows go through the network at once."""
SHIFT = 0.5
EXACT = 1e-3


@dataclass(frozen=True)
class Head:
    """The last linear layer of a network.

    The network's outputs are `scale * layer(features) + offset`, where `offset` may differ from row to row (a forecast
    that is a change from the last value) and `scale` is a constant.

    Attributes:
        name: of the layer in the network.
        layer: the layer itself.
        scale: see above.
    """

    name: str
    layer: nn.Linear
    scale: float


@dataclass(frozen=True)
class Features:
    """What a frozen network makes of rows.

    Attributes:
        h: [N, D] float32, what goes into the head.
        offset: [N, U] float32, what is added to the head's outputs.
    """

    h: Tensor
    offset: Tensor

    def __len__(self) -> int:
        return len(self.h)


def find(module: nn.Module, x: Tensor) -> Head:
    """The head of a network.

    Args:
        module: the network, in evaluation mode.
        x: [N, ...] a few prepared rows.

    Raises:
        DataError: the network's outputs do not come from a last linear layer with something constant added.
    """
    linear = [(name, layer) for name, layer in module.named_modules() if isinstance(layer, nn.Linear)]
    x = x[:8]
    for name, layer in reversed(linear):
        calls: list[Tensor] = []
        with torch.no_grad():
            before = _run(module, layer, x, 0.0, calls)
            if len(calls) != 1 or before.ndim != 2 or calls[0].shape != before.shape:
                continue
            gap = (_run(module, layer, x, SHIFT, []) - before) / SHIFT
        scale = float(gap.mean())
        if scale > 0 and bool(((gap - scale).abs() <= EXACT * scale).all()):
            return Head(name, layer, scale)
    raise DataError("the network does not end with one linear layer, so that cannot learn alone; use --how finetune")


def _run(module: nn.Module, layer: nn.Linear, x: Tensor, shift: float, calls: list[Tensor]) -> Tensor:
    """The outputs for x where `shift` is added to the outputs of `layer`, which are collected in `calls`."""

    def changed(_: nn.Module, __: tuple[Tensor, ...], out: Tensor) -> Tensor:
        calls.append(out)
        return out + shift

    handle = layer.register_forward_hook(changed)
    try:
        outputs: Tensor = module(x.to(layer.weight.device))
        return outputs
    finally:
        handle.remove()


def features(module: nn.Module, head: Head, x: Tensor) -> Features:
    """What the frozen network makes of rows x [N, ...], computed once; on the CPU."""
    inputs: list[Tensor] = []
    outputs: list[Tensor] = []

    def kept(_: nn.Module, given: tuple[Tensor, ...], out: Tensor) -> None:
        inputs.append(given[0])
        outputs.append(out)

    handle = head.layer.register_forward_hook(kept)
    device = head.layer.weight.device
    hs, offsets = [], []
    module.eval()
    try:
        with torch.no_grad():
            for piece in torch.split(x, PIECE):
                inputs.clear()
                outputs.clear()
                total = module(piece.to(device))
                hs.append(inputs[0].cpu())
                offsets.append((total - head.scale * outputs[0]).cpu())
    finally:
        handle.remove()
    return Features(torch.cat(hs), torch.cat(offsets))


def widened(weights: dict[str, Tensor], head: Head, more: int) -> dict[str, Tensor]:
    """The weights of a network with `more` further output units.

    A new unit has weights 0 and the smallest bias of the old ones, so that it hardly ever wins before it has learned.
    """
    if not more:
        return weights
    changed = dict(weights)
    for kind in ("weight", "bias"):
        name = f"{head.name}.{kind}"
        if name in weights:
            old = weights[name]
            new = torch.zeros(more, *old.shape[1:], dtype=old.dtype)
            changed[name] = torch.cat([old, new if kind == "weight" else new + old.min()])
    return changed
