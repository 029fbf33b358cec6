"""Modules that draw random numbers, or that `vmap` cannot batch, are given lane-aware forwards; nothing else changes.

`operate(module)` swaps the class of such submodules in place: parameters, buffers, names and `state_dict` stay. The
same surgery serves a lane batch and a trial that runs alone, so falling back changes speed, not the experiment. Outside
of a running draw (see `lanes`) every swapped module behaves as its original does in evaluation mode.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from automl.fused.modules import context
from automl.fused.modules.attention import LaneAttention
from automl.fused.modules.autograd import lane_dense, lane_relu_drop
from automl.fused.modules.ops import drop, linear
from automl.fused.modules.recurrent import LaneGRU, LaneGRUCell, LaneLSTM, LaneLSTMCell, LaneRNN
from automl.fused.modules.vmap import lanewise


class LaneLinear(nn.Linear):
    """`nn.Linear` that meets the lane axis with one batched product."""

    def forward(self, input: Tensor) -> Tensor:
        return linear(input, self.weight, self.bias)


class LaneDropout(nn.Dropout):
    """Element-wise dropout from the lane's own counter."""

    lane_layer: str

    def forward(self, input: Tensor) -> Tensor:
        return drop(input, self.lane_layer, tuple(input.shape)) if self.training else input


class LaneChannelDropout(nn.Dropout2d):
    """Whole channels `[B, C, ...]` are dropped (nn.Dropout1d, 2d, 3d on batched inputs)."""

    lane_layer: str

    def forward(self, input: Tensor) -> Tensor:
        if not self.training:
            return input
        shape = (*input.shape[:2], *(1 for _ in input.shape[2:]))
        return drop(input, self.lane_layer, shape)


class LaneEmbedding(nn.Embedding):
    """`padding_idx` without the gradient that `vmap` gives it: padded positions look up, but do not train."""

    def forward(self, input: Tensor) -> Tensor:
        """As `nn.Embedding.forward`; input: [B, ...] int64 -> [B, ..., features]."""
        out = F.embedding(input, self.weight)
        if self.padding_idx is None:
            return out
        return torch.where((input == self.padding_idx).unsqueeze(-1), out.detach(), out)


class CumulativeNorm(nn.modules.batchnorm._BatchNorm):
    """A batch norm with `momentum=None`, whose running statistics are plain means: each lane counts for itself."""

    def forward(self, input: Tensor) -> Tensor:
        """As that of the class it stands for; `input`: [B, C, ...]."""
        draw = context.active()
        if draw is None or not draw.fused or not self.training:
            return super().forward(input)
        self._check_input_dim(input)  # type: ignore[no-untyped-call]
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        mean, var = torch.zeros_like(self.running_mean), torch.ones_like(self.running_var)
        out = F.batch_norm(input, mean, var, self.weight, self.bias, True, 1.0, self.eps)
        share = 1.0 / self.num_batches_tracked.add_(1).to(mean.dtype)
        self.running_mean.add_((mean - self.running_mean) * share)
        self.running_var.add_((var - self.running_var) * share)
        return out


class CumulativeNorm1d(CumulativeNorm, nn.BatchNorm1d):
    """See `CumulativeNorm`."""


class CumulativeNorm2d(CumulativeNorm, nn.BatchNorm2d):
    """See `CumulativeNorm`."""


class CumulativeNorm3d(CumulativeNorm, nn.BatchNorm3d):
    """See `CumulativeNorm`."""


class LaneSequential(nn.Sequential):
    """`nn.Sequential` that runs (linear,) ReLU, dropout as one step where they stand side by side."""

    def forward(self, input: Tensor) -> Tensor:
        draw = context.active()
        modules = list(self._modules.values())
        by_hand = draw is not None and draw.fused and self.training
        if draw is None or not by_hand or torch.is_autocast_enabled(input.device.type):
            for module in modules:
                input = module(input)
            return input
        at = 0
        while at < len(modules):
            length = _run_length(modules, at)
            input = _gated(draw, modules[at : at + length], input) if length > 1 else modules[at](input)
            at += length
        return input


def _run_length(modules: list[nn.Module], at: int) -> int:
    """How many modules from `at` on make one gated step: [Linear] ReLU [Dropout] with at least two of them."""
    end = at
    first = modules[end]
    if isinstance(first, LaneLinear) and first.bias is not None:
        end += 1
    if end >= len(modules) or type(modules[end]) is not nn.ReLU:
        return 1
    end += 1
    if end < len(modules) and type(modules[end]) is LaneDropout:
        end += 1
    return max(1, end - at)


def _gated(draw: context.Draw, modules: list[nn.Module], x: Tensor) -> Tensor:
    """One gated step for all lanes."""
    first, last = modules[0], modules[-1]
    linear_first = first if isinstance(first, LaneLinear) else None
    mask = scale = None
    if isinstance(last, LaneDropout):
        features = x.shape[-1] if linear_first is None else linear_first.out_features
        mask = draw.mask(last.lane_layer, torch.Size((*x.shape[:-1], features)))
        scale = draw.scale(last.lane_layer)
        if mask is not None and mask.dtype != x.dtype:
            mask, scale = mask.to(x.dtype), scale if scale is None else scale.to(x.dtype)
    if linear_first is None:
        return lanewise(lambda a: lane_relu_drop(a, mask, scale), draw.size, x)
    if x.dim() != 2:
        x = linear(x, linear_first.weight, linear_first.bias)
        return lanewise(lambda a: lane_relu_drop(a, mask, scale), draw.size, x)
    return lanewise(
        lambda a, w, b: lane_dense(a, w, b, mask, scale), draw.size, x, linear_first.weight, linear_first.bias
    )


SWAPS: dict[type[nn.Module], type[nn.Module]] = {
    nn.Linear: LaneLinear,
    nn.Sequential: LaneSequential,
    nn.Dropout: LaneDropout,
    nn.Dropout1d: LaneChannelDropout,
    nn.Dropout2d: LaneChannelDropout,
    nn.Dropout3d: LaneChannelDropout,
    nn.MultiheadAttention: LaneAttention,
    nn.LSTM: LaneLSTM,
    nn.GRU: LaneGRU,
    nn.RNN: LaneRNN,
    nn.LSTMCell: LaneLSTMCell,
    nn.GRUCell: LaneGRUCell,
}
NORMS: dict[type[nn.Module], type[nn.Module]] = {
    nn.BatchNorm1d: CumulativeNorm1d,
    nn.BatchNorm2d: CumulativeNorm2d,
    nn.BatchNorm3d: CumulativeNorm3d,
}
DROPPING = (LaneDropout, LaneChannelDropout, LaneAttention, LaneLSTM, LaneGRU, LaneRNN)


def operate(module: nn.Module) -> nn.Module:
    """Swap the classes of submodules that have a lane-aware form, in place; returns `module`."""
    for name, child in module.named_modules():
        new = _replacement(child)
        if new is not None:
            child.__class__ = new
        if isinstance(child, DROPPING):
            child.lane_layer = name
    return module


def _replacement(child: nn.Module) -> type[nn.Module] | None:
    if type(child) is nn.Embedding and child.padding_idx is not None and child.max_norm is None:
        return LaneEmbedding
    if isinstance(child, nn.modules.batchnorm._BatchNorm):
        return NORMS.get(type(child)) if child.momentum is None and child.track_running_stats else None
    return SWAPS.get(type(child))


def keep_norms_in_float32(module: nn.Module) -> None:
    """Let every batch norm compute in float32 under autocast: torch has no rule for lanes in mixed formats."""
    for child in module.modules():
        if isinstance(child, nn.modules.batchnorm._BatchNorm):
            child.register_forward_pre_hook(lambda module, given: (given[0].float(),))


def drop_rates(module: nn.Module) -> dict[str, float]:
    """The dropout probability of each layer that draws masks, by layer name, in the module's order."""
    rates: dict[str, Any] = {}
    for name, child in module.named_modules():
        if isinstance(child, DROPPING):
            rates[name] = float(child.p if isinstance(child, nn.modules.dropout._DropoutNd) else child.dropout)
    return rates
