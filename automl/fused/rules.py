"""Hand-batched operations: what a layer does for all K lanes at once when it meets the lane axis of `vmap`.

Each operation has two faces. Inside `vmap` a module calls `LinearRule.apply(...)` or `DropoutRule.apply(...)` for one
lane; the `vmap` method receives the tensors of all lanes and calls the lane version, an ordinary autograd function.
The linear rule's backward writes weight and bias gradients straight into the flat gradient `[K, P]` (see
`lanes.Draw.targets`), without a transposed copy and without an accumulation pass.

Shape letters: K lanes, N rows (batch and any further axes), I inputs, O outputs of a layer.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd import Function

from . import lanes


def accumulate(target: Tensor, a: Tensor, b: Tensor, key: int, written: set[int]) -> None:
    """`target` `[K, O, I]` gets a @ b; added when this backward pass has written it before (shared weights)."""
    if key in written:
        torch.baddbmm(target, a, b, out=target)
    else:
        torch.bmm(a, b, out=target)
        written.add(key)


def destination(parameter: Tensor | None) -> int | None:
    """The key of a parameter whose gradient can be written directly: a leaf of the running draw."""
    draw = lanes.active()
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
        weight_key, bias_key = ctx.keys
        draw = lanes.active()
        gx = torch.bmm(gy, weight) if ctx.needs_input_grad[0] else None
        gw = gb = None
        if ctx.needs_input_grad[1]:
            if draw is not None and weight_key is not None:
                accumulate(draw.targets[weight_key], gy.transpose(1, 2), x, weight_key, draw.written)
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


def _front(value: Tensor, dim: int | None, lanes_count: int) -> Tensor:
    """The lane axis first; a tensor that all lanes share is expanded without copying."""
    if dim is None:
        return value.unsqueeze(0).expand(lanes_count, *value.shape)
    return value.movedim(dim, 0)


class LinearRule(Function):
    """`F.linear` of one lane inside `vmap`; all lanes at once through `LaneLinear`."""

    @staticmethod
    def forward(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        return F.linear(x, weight, bias)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        """Nothing to keep: this face is never differentiated, `LaneLinear` is."""

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        raise NotImplementedError("LinearRule runs inside vmap only")

    @staticmethod
    def vmap(info: Any, in_dims: tuple[int | None, ...], x: Tensor, weight: Tensor, bias: Tensor | None) -> Any:
        k = info.batch_size
        x, weight = _front(x, in_dims[0], k), _front(weight, in_dims[1], k)
        bias = None if bias is None else _front(bias, in_dims[2], k)
        if x.dim() == 3:
            return LaneLinear.apply(x, weight, bias), 0
        rows = x.reshape(k, -1, x.shape[-1])
        y = LaneLinear.apply(rows, weight, bias)
        return y.view(*x.shape[:-1], weight.shape[1]), 0


class DropoutRule(Function):
    """Dropout of one lane inside `vmap`: multiplies by the lanes' own keep masks. `shape` is the mask's, one lane."""

    @staticmethod
    def forward(x: Tensor, layer: str, shape: tuple[int, ...]) -> Tensor:
        return x

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        """Nothing to keep: this face is never differentiated."""

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        raise NotImplementedError("DropoutRule runs inside vmap only")

    @staticmethod
    def vmap(info: Any, in_dims: tuple[int | None, ...], x: Tensor, layer: str, shape: tuple[int, ...]) -> Any:
        draw = lanes.active()
        assert draw is not None
        mask = draw.mask(layer, torch.Size(shape))
        if mask is None:
            return x, in_dims[0]
        return _front(x, in_dims[0], info.batch_size) * mask.to(x.dtype), 0
