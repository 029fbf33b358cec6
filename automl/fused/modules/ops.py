"""What swapped modules compute with while a pass runs: dropout by the lane's own counter, and linear maps."""

import torch
import torch.nn.functional as F
from torch import Tensor

from automl.fused.modules import context
from automl.fused.modules.autograd import lane_linear
from automl.fused.modules.vmap import lanewise


def drop(x: Tensor, layer: str, shape: tuple[int, ...]) -> Tensor:
    """`x` times this step's keep mask of `layer`; `shape` is the mask's shape for one lane, broadcast over `x`."""
    draw = context.active()
    if draw is None:
        raise RuntimeError(f"dropout layer {layer!r} runs in training mode outside of a fused or solo step")
    mask = draw.mask(layer, torch.Size(shape))
    if mask is None:
        return x
    if draw.fused:
        return lanewise(lambda all_lanes: all_lanes * mask.to(x.dtype), draw.size, x)
    return x * mask[0].to(x.dtype)


def linear(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """`F.linear`, hand-batched when lanes run together."""
    draw = context.active()
    if draw is not None and draw.fused and not torch.is_autocast_enabled(x.device.type):
        return lanewise(lane_linear, draw.size, x, weight, bias)
    return F.linear(x, weight, bias)
