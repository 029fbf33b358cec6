"""Plain stacks (linear, activation, dropout, norm, one after another) with a forward and backward pass written by hand.

Autograd and `vmap` cost a few microseconds for every operation and group of lanes; for small networks that is more than
the arithmetic. A stack needs neither: each layer below keeps what its backward pass needs in buffers that are reused
from step to step, and writes its parameters' gradients straight into the flat gradient `[K, P]`. All lanes are computed
at once. Models that are no plain stack take the general path (`stepper.VmapStepper`).

Shape letters: K lanes, B batch, I inputs, O outputs of a layer, F features.
"""

from typing import Protocol

import torch
from torch import Tensor, nn

from automl.fused.modules.activations import ACTIVATIONS
from automl.fused.modules.context import Draw

SMALL = 1 << 14  # elements of a weight below which a product goes through a contiguous buffer
aten = torch.ops.aten


class Layer(Protocol):
    """One layer of all lanes. `backward` belongs to the last `forward`; results live in buffers that are reused."""

    def forward(self, context: Draw, x: Tensor) -> Tensor:
        """Training output `[K, B, O]` of `x` `[K, B, I]`; dropout masks come from `context`."""

    def backward(self, g: Tensor, wanted: bool) -> Tensor | None:
        """From the gradient of the output `[K, B, O]` to that of the input `[K, B, I]`; None if it is not `wanted`.

        `g` may be overwritten. Gradients of the layer's own parameters are written to their places.
        """

    def predict(self, x: Tensor) -> Tensor:
        """Evaluation output: nothing is dropped, and batch norm uses its running statistics."""


class LinearLayer:
    """y = x @ weight^T + bias; `weight` and its gradient `gw` `[K, O, I]`, `bias` and `gb` `[K, O]` or None."""

    def __init__(self, weight: Tensor, bias: Tensor | None, gw: Tensor, gb: Tensor | None) -> None:
        self.weight, self.transposed, self.gw, self.gb = weight, weight.transpose(1, 2), gw, gb
        self.bias = None if bias is None else bias.unsqueeze(1)
        self.outputs: dict[int, Tensor] = {}  # batch size -> buffer
        self.input_gradients: dict[int, Tensor] = {}
        # torch runs a batched product whose output rows are apart lane by lane: too slow for small matrices
        direct = gw[0].numel() >= SMALL
        self.contiguous = None if direct else torch.empty(gw.shape, dtype=gw.dtype, device=gw.device)

    def forward(self, context: Draw, x: Tensor) -> Tensor:
        self.x = x
        return self.predict(x)

    def predict(self, x: Tensor) -> Tensor:
        y = self.outputs.get(x.shape[1])
        if y is None:
            y = self.outputs[x.shape[1]] = x.new_empty(*x.shape[:2], self.weight.shape[1])
        if self.bias is None:
            return torch.bmm(x, self.transposed, out=y)
        return torch.baddbmm(self.bias, x, self.transposed, out=y)

    def backward(self, g: Tensor, wanted: bool) -> Tensor | None:
        if self.contiguous is None:
            torch.bmm(g.transpose(1, 2), self.x, out=self.gw)
        else:
            self.gw.copy_(torch.bmm(g.transpose(1, 2), self.x, out=self.contiguous))
        if self.gb is not None:
            torch.sum(g, dim=1, out=self.gb)
        if not wanted:
            return None
        if self.x.shape[1] not in self.input_gradients:
            self.input_gradients[self.x.shape[1]] = torch.empty_like(self.x)
        return torch.bmm(g, self.weight, out=self.input_gradients[self.x.shape[1]])


class ReluDropoutLayer:
    """A ReLU, a dropout, or both: y = x * gate in place, where the gate is the dropout mask (0 where x <= 0).

    The backward pass is the same product. Without a mask it is that of ReLU, which needs y.
    """

    def __init__(self, relu: bool, dropout: str | None) -> None:
        """`dropout`: the name of the dropout layer, whose masks the context has."""
        self.relu, self.dropout = relu, dropout
        self.gates: dict[int, Tensor] = {}  # batch size -> buffer

    def forward(self, context: Draw, x: Tensor) -> Tensor:
        self.gate = None if self.dropout is None else context.mask(self.dropout, x.shape[1:])
        if self.gate is None:
            self.y = self.predict(x)
            return self.y
        if self.gate.dtype != x.dtype:
            self.gate = self.gate.to(x.dtype)
        if self.relu:
            self.gate = self._where_positive(self.gate, x)
        return x.mul_(self.gate)

    def _where_positive(self, mask: Tensor, x: Tensor) -> Tensor:
        """`mask` where `x` is positive, 0 elsewhere (and nan where `x` is nan)."""
        gate = self.gates.get(x.shape[1])
        if gate is None:
            gate = self.gates[x.shape[1]] = torch.empty_like(x)
        return aten.threshold_backward.grad_input(mask, x, 0, grad_input=gate)  # type: ignore[no-any-return]

    def predict(self, x: Tensor) -> Tensor:
        return x.relu_() if self.relu else x

    def backward(self, g: Tensor, wanted: bool) -> Tensor | None:
        out = g if g.is_contiguous() else g.contiguous()  # may be overwritten
        if self.gate is not None:
            return out.mul_(self.gate)
        return aten.threshold_backward.grad_input(out, self.y, 0, grad_input=out) if self.relu else out


class SmoothLayer:
    """An activation other than ReLU."""

    def __init__(self, module: nn.Module) -> None:
        self.module, self.activation = module, ACTIVATIONS[type(module)]

    def forward(self, context: Draw, x: Tensor) -> Tensor:
        y = self.predict(x)
        self.kept = y.clone() if self.activation.of_output else x
        return y

    def predict(self, x: Tensor) -> Tensor:
        y = torch.empty_like(x)
        self.activation.forward(self.module, x, y)
        return y

    def backward(self, g: Tensor, wanted: bool) -> Tensor | None:
        self.activation.backward(self.module, g, self.kept)
        return g


class BatchNormLayer:
    """nn.BatchNorm1d of all lanes: lanes and features together are the channels of one call of torch.

    `p`, `g`: scale and shift `[K, F]` and where their gradients go, empty without `affine`; `buffers`: running mean and
    variance `[K, F]` and the number of batches `[K]`, updated in place.
    """

    def __init__(self, module: nn.BatchNorm1d, p: list[Tensor], g: list[Tensor], buffers: list[Tensor]) -> None:
        self.p, self.g, self.eps, self.momentum = p, g, module.eps, float(module.momentum or 0.0)
        self.mean, self.var, self.count = buffers

    def forward(self, context: Draw, x: Tensor) -> Tensor:
        k, b, f = x.shape
        self.x = x.transpose(0, 1).reshape(b, k * f)
        shift: Tensor | None
        self.scale: Tensor | None
        self.scale, shift = (self.p[0].reshape(-1), self.p[1].reshape(-1)) if self.p else (None, None)
        y, self.m, self.s = torch.native_batch_norm(
            self.x, self.scale, shift, self.mean.view(-1), self.var.view(-1), True, self.momentum, self.eps
        )
        self.count.add_(1)
        return y.view(b, k, f).transpose(0, 1).contiguous()

    def predict(self, x: Tensor) -> Tensor:
        scale, shift = (p.unsqueeze(1) for p in self.p) if self.p else (1.0, 0.0)
        factor = torch.rsqrt(self.var + self.eps).unsqueeze(1) * scale
        return torch.addcmul(shift - self.mean.unsqueeze(1) * factor, x, factor)

    def backward(self, g: Tensor, wanted: bool) -> Tensor | None:
        k, b, f = g.shape
        flat = g.transpose(0, 1).reshape(b, k * f)
        gx, *own = aten.native_batch_norm_backward(
            flat, self.x, self.scale, self.mean.view(-1), self.var.view(-1), self.m, self.s, True, self.eps,
            [True, bool(self.p), bool(self.p)],
        )  # fmt: skip
        for target, value in zip(self.g, own, strict=False):
            target.copy_(value.view(k, f))
        return gx.view(b, k, f).transpose(0, 1).contiguous()  # type: ignore[no-any-return]


class LayerNormLayer:
    """nn.LayerNorm over the last axis. `p`, `g`: scale and shift `[K, F]` (or none) and where their gradients go."""

    def __init__(self, module: nn.LayerNorm, p: list[Tensor], g: list[Tensor]) -> None:
        self.p, self.g, self.eps = [t.unsqueeze(1) for t in p], g, module.eps

    def forward(self, context: Draw, x: Tensor) -> Tensor:
        return self.predict(x)

    def predict(self, x: Tensor) -> Tensor:
        self.x = x
        self.hat, self.m, self.s = torch.native_layer_norm(x, [x.shape[-1]], None, None, self.eps)
        if not self.p:
            return self.hat.clone()
        y = self.hat * self.p[0]
        return y.add_(self.p[1]) if len(self.p) > 1 else y

    def backward(self, g: Tensor, wanted: bool) -> Tensor | None:
        if self.p:
            torch.sum(g * self.hat, dim=1, out=self.g[0])
            if len(self.p) > 1:
                torch.sum(g, dim=1, out=self.g[1])
            g = g * self.p[0]
        gx = aten.native_layer_norm_backward(
            g.contiguous(), self.x, [g.shape[-1]], self.m, self.s, None, None, [True, False, False]
        )
        return gx[0]  # type: ignore[no-any-return]


class FlattenLayer:
    """`[K, B, ...]` -> `[K, B, F]`; always the first layer, so its input gradient is never wanted."""

    def forward(self, context: Draw, x: Tensor) -> Tensor:
        return self.predict(x)

    def predict(self, x: Tensor) -> Tensor:
        return x.flatten(2) if x.dim() > 3 else x

    def backward(self, g: Tensor, wanted: bool) -> Tensor | None:
        return None


class ShortcutLayer:
    """y = x + inner(x)."""

    def __init__(self, inner: "Stack") -> None:
        self.inner = inner

    def forward(self, context: Draw, x: Tensor) -> Tensor:
        return x + self.inner.forward(context, x)

    def predict(self, x: Tensor) -> Tensor:
        return x + self.inner.predict(x)

    def backward(self, g: Tensor, wanted: bool) -> Tensor | None:
        inner = self.inner.backward(g.clone(), True)
        return g if inner is None else g + inner


class Stack:
    """Layers one after another; itself a `Layer`."""

    def __init__(self, layers: list[Layer]) -> None:
        self.layers = layers
        self.lowest = next((k for k, layer in enumerate(layers) if not isinstance(layer, FlattenLayer)), 0)

    def accepts(self, x: Tensor) -> bool:
        """Whether it takes inputs `[K, B, ...]` of this shape."""
        return x.dim() == 3 or isinstance(self.layers[0], FlattenLayer)

    def forward(self, context: Draw, x: Tensor) -> Tensor:
        """Training outputs `[K, B, O]` of `x` `[K, B, ...]`."""
        for layer in self.layers:
            x = layer.forward(context, x)
        return x

    def predict(self, x: Tensor) -> Tensor:
        """Evaluation outputs `[K, B, O]`; the buffer is overwritten by the next pass."""
        for layer in self.layers:
            x = layer.predict(x)
        return x

    def backward(self, g: Tensor, wanted: bool) -> Tensor | None:
        """Backward pass of the last `forward` from d(loss)/d(output) `[K, B, O]`; see `Layer.backward`."""
        for at in range(len(self.layers) - 1, -1, -1):
            below = self.layers[at].backward(g, wanted or at > self.lowest)
            if below is None:
                return None
            g = below
        return g
