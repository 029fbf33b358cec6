"""Hand-batched operations: what a layer computes for all K lanes at once (called through `batched.lanewise`).

The linear layer's backward writes weight and bias gradients straight into the flat gradient `[K, P]` (see
`lanes.Draw.targets`), without a transposed copy and without an accumulation pass.

Shape letters: K lanes, N rows (batch and any further axes), I inputs, O outputs of a layer.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

from automl.fused.modules import context

SMALL = 1 << 14


def accumulate(draw: context.Draw, key: int, a: Tensor, b: Tensor) -> None:
    """The gradient `[K, O, I]` of parameter `key` gets a @ b; added when this backward pass has written it before.

    torch's batched product into rows that are not contiguous runs lane by lane: right for big matrices, three times
    too slow for small ones, which take the way through a contiguous buffer.
    """
    target = draw.targets[key]
    if key in draw.written:
        torch.baddbmm(target, a, b, out=target)
    elif target[0].numel() > SMALL:
        torch.bmm(a, b, out=target)
    else:
        target.copy_(torch.bmm(a, b, out=draw.space(target.shape, target.dtype)))
    draw.written.add(key)


def destination(parameter: Tensor | None) -> int | None:
    """The key of a parameter whose gradient can be written directly: a leaf of the running draw."""
    draw = context.active()
    if parameter is None or draw is None or not parameter.is_leaf:
        return None
    key = parameter.data_ptr()
    return key if key in draw.targets else None


class LaneLinear(Function):
    """y `[K, N, O]` = x `[K, N, I]` @ weight `[K, O, I]`^T + bias `[K, O]`."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.keys = destination(weight), destination(bias)
        if bias is None:
            return torch.bmm(x, weight.transpose(1, 2))
        return torch.baddbmm(bias.unsqueeze(1), x, weight.transpose(1, 2))

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (gy,) = gradients
        x, weight = ctx.saved_tensors
        return _linear_gradients(ctx, gy, x, weight)


def _linear_gradients(ctx: Any, gy: Tensor, x: Tensor, weight: Tensor) -> tuple[Tensor | None, ...]:
    """Gradients of (x, weight, bias); None for those that were written to their place already."""
    weight_key, bias_key = ctx.keys
    draw = context.active()
    gx = torch.bmm(gy, weight) if ctx.needs_input_grad[0] else None
    gw = gb = None
    if ctx.needs_input_grad[1]:
        if draw is not None and weight_key is not None:
            accumulate(draw, weight_key, gy.transpose(1, 2), x)
        else:
            gw = torch.bmm(gy.transpose(1, 2), x)
    if ctx.needs_input_grad[2]:
        if draw is not None and bias_key is not None:
            _sum_into(draw.targets[bias_key], gy, bias_key, draw.written)
        else:
            gb = gy.sum(1)
    return gx, gw, gb


def _sum_into(target: Tensor, gy: Tensor, key: int, written: set[int]) -> None:
    if key in written:
        target.add_(gy.sum(1))
    else:
        torch.sum(gy, dim=1, out=target)
        written.add(key)


class LaneReluDrop(Function):
    """y = relu(x) * mask, in place of `x` when asked; the backward needs y alone: it is 0 where either gate is shut.

    `mask`: float `[K, ...]` of 0 and `scale`, or None; `scale` `[K]` is 1 / (1 - p) of each lane.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, mask: Tensor | None, scale: Tensor | None) -> Tensor:
        y = torch.relu(x)
        if mask is not None:
            y.mul_(mask)
        ctx.save_for_backward(y)
        ctx.scale = scale
        return y

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (y,) = ctx.saved_tensors
        return _through_gates(gradients[0], y, ctx.scale), None, None


def _through_gates(gy: Tensor, y: Tensor, scale: Tensor | None) -> Tensor:
    g = torch.ops.aten.threshold_backward(gy, y, 0)
    return g if scale is None else g.mul_(scale.view(-1, *(1 for _ in g.shape[1:])))  # type: ignore[no-any-return]


class LaneDense(Function):
    """y `[K, N, O]` = relu(x @ weight^T + bias) * mask: a linear layer, its activation and its dropout in one."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, mask: Tensor | None, scale: Tensor | None) -> Tensor:
        ctx.keys = destination(weight), destination(bias)
        y = torch.baddbmm(bias.unsqueeze(1), x, weight.transpose(1, 2)).relu_()
        if mask is not None:
            y.mul_(mask)
        ctx.save_for_backward(x, weight, y)
        ctx.scale = scale
        return y

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, y = ctx.saved_tensors
        g = _through_gates(gradients[0], y, ctx.scale)
        return (*_linear_gradients(ctx, g, x, weight), None, None)


def lane_linear(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """`F.linear` for all lanes: x `[K, ..., I]`, weight `[K, O, I]`, bias `[K, O]` -> `[K, ..., O]`."""
    if x.dim() == 3:
        return LaneLinear.apply(x, weight, bias)  # type: ignore[no-any-return, no-untyped-call]
    rows = x.reshape(x.shape[0], -1, x.shape[-1])
    y: Tensor = LaneLinear.apply(rows, weight, bias)  # type: ignore[no-untyped-call]
    return y.view(*x.shape[:-1], weight.shape[1])


def lane_relu_drop(x: Tensor, mask: Tensor | None, scale: Tensor | None) -> Tensor:
    """relu(x) * mask for all lanes, see `LaneReluDrop`."""
    return LaneReluDrop.apply(x, mask, scale)  # type: ignore[no-any-return, no-untyped-call]


def lane_dense(x: Tensor, weight: Tensor, bias: Tensor, mask: Tensor | None, scale: Tensor | None) -> Tensor:
    """relu(x @ weight^T + bias) * mask for all lanes, see `LaneDense`."""
    return LaneDense.apply(x, weight, bias, mask, scale)  # type: ignore[no-any-return, no-untyped-call]
