"""Plain stacks (linear, activation, dropout, norm, one after another) forward and backward by hand, all lanes at once.

Autograd and `vmap` cost a few microseconds for every operation and lane group; for small networks that is more than the
arithmetic. A stack needs neither: each layer below keeps what its backward needs in storage that stays, and writes its
parameters' gradients straight into the flat gradient `[K, P]`. What is not a plain stack takes the general path.

Shape letters: K lanes, B batch, I inputs, O outputs of a layer, F features.
"""

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from automl.fused.modules import swap
from automl.fused.modules.context import Draw
from automl.models.mlp import Residual
from automl.models.parts import TableStem

SMALL = 1 << 14
aten = torch.ops.aten


class Layer(Protocol):
    """`forward` `[K, B, I]` -> `[K, B, O]`; `backward`: d/d(output) -> d/d(input), None if not wanted.

    `predict`: forward as in evaluation, where nothing is dropped and batch norm uses its running statistics.
    """

    def forward(self, draw: Draw, x: Tensor) -> Tensor: ...
    def backward(self, draw: Draw, g: Tensor, wanted: bool) -> Tensor | None: ...
    def predict(self, x: Tensor) -> Tensor: ...


class Dense:
    """y = x @ weight^T + bias, weight `[K, O, I]`, bias `[K, O]` or None."""

    def __init__(self, weight: Tensor, bias: Tensor | None, gw: Tensor, gb: Tensor | None) -> None:
        self.weight, self.turned, self.gw, self.gb = weight, weight.transpose(1, 2), gw, gb
        self.bias = None if bias is None else bias.unsqueeze(1)
        self.room: dict[int, Tensor] = {}
        self.room_back: dict[int, Tensor] = {}
        self.direct = gw[0].numel() >= SMALL  # a batched product into rows apart runs lane by lane: slow for small ones
        self.held = None if self.direct else torch.empty(gw.shape, dtype=gw.dtype, device=gw.device)

    def forward(self, draw: Draw, x: Tensor) -> Tensor:
        self.x = x
        return self.predict(x)

    def predict(self, x: Tensor) -> Tensor:
        y = self.room.get(x.shape[1])
        if y is None:
            y = self.room[x.shape[1]] = x.new_empty(*x.shape[:2], self.weight.shape[1])
        if self.bias is None:
            return torch.bmm(x, self.turned, out=y)
        return torch.baddbmm(self.bias, x, self.turned, out=y)

    def backward(self, draw: Draw, g: Tensor, wanted: bool) -> Tensor | None:
        if self.held is None:
            torch.bmm(g.transpose(1, 2), self.x, out=self.gw)
        else:
            self.gw.copy_(torch.bmm(g.transpose(1, 2), self.x, out=self.held))
        if self.gb is not None:
            torch.sum(g, dim=1, out=self.gb)
        if not wanted:
            return None
        if self.x.shape[1] not in self.room_back:
            self.room_back[self.x.shape[1]] = torch.empty_like(self.x)
        return torch.bmm(g, self.weight, out=self.room_back[self.x.shape[1]])


class Gate:
    """y = x * gate, in place, with the mask for a gate where x > 0 and 0 elsewhere; the backward is the same product.

    `relu` False: the mask alone; without a mask: relu alone, whose backward needs y.
    """

    def __init__(self, relu: bool, layer: str | None) -> None:
        self.relu, self.layer = relu, layer
        self.room: dict[int, Tensor] = {}

    def forward(self, draw: Draw, x: Tensor) -> Tensor:
        self.gate = None if self.layer is None else draw.mask(self.layer, x.shape[1:])
        if self.gate is None:
            self.y = self.predict(x)
            return self.y
        if self.gate.dtype != x.dtype:
            self.gate = self.gate.to(x.dtype)
        if self.relu:
            self.gate = self._where_positive(self.gate, x)
        return x.mul_(self.gate)

    def _where_positive(self, mask: Tensor, x: Tensor) -> Tensor:
        room = self.room.get(x.shape[1])
        if room is None:
            room = self.room[x.shape[1]] = torch.empty_like(x)
        return aten.threshold_backward.grad_input(mask, x, 0, grad_input=room)  # type: ignore[no-any-return]

    def predict(self, x: Tensor) -> Tensor:
        return x.relu_() if self.relu else x

    def backward(self, draw: Draw, g: Tensor, wanted: bool) -> Tensor | None:
        out = g if g.is_contiguous() else g.contiguous()  # g is this pass's own: nobody reads it again
        if self.gate is not None:
            return out.mul_(self.gate)
        return aten.threshold_backward.grad_input(out, self.y, 0, grad_input=out) if self.relu else out


class Smooth:
    """An activation with torch's own derivative: `back(g, x or y, *constants)`."""

    def __init__(self, module: nn.Module, back: Callable[[Tensor, Tensor, Any], Tensor], of_output: bool) -> None:
        self.module, self.back, self.of_output = module, back, of_output

    def forward(self, draw: Draw, x: Tensor) -> Tensor:
        y: Tensor = self.module(x.clone() if getattr(self.module, "inplace", False) else x)
        self.kept = y.clone() if self.of_output else x
        return y

    def predict(self, x: Tensor) -> Tensor:
        return self.module(x)  # type: ignore[no-any-return]

    def backward(self, draw: Draw, g: Tensor, wanted: bool) -> Tensor | None:
        return self.back(g, self.kept, self.module)


SMOOTH: dict[type[nn.Module], tuple[Callable[[Tensor, Tensor, Any], Tensor], bool]] = {
    nn.GELU: (lambda g, x, m: aten.gelu_backward(g, x, approximate=m.approximate), False),
    nn.SiLU: (lambda g, x, m: aten.silu_backward(g, x), False),
    nn.Tanh: (lambda g, y, m: aten.tanh_backward(g, y), True),
    nn.Sigmoid: (lambda g, y, m: aten.sigmoid_backward(g, y), True),
    nn.LeakyReLU: (lambda g, x, m: aten.leaky_relu_backward(g, x, m.negative_slope, False), False),
}


class Batch:
    """nn.BatchNorm1d: lanes and features together are the channels of one call; running statistics in place."""

    def __init__(self, module: nn.BatchNorm1d, p: list[Tensor], g: list[Tensor], buffers: list[Tensor]) -> None:
        self.p, self.g, self.eps, self.momentum = p, g, module.eps, float(module.momentum or 0.0)
        self.mean, self.var, self.count = buffers

    def forward(self, draw: Draw, x: Tensor) -> Tensor:
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

    def backward(self, draw: Draw, g: Tensor, wanted: bool) -> Tensor | None:
        k, b, f = g.shape
        flat = g.transpose(0, 1).reshape(b, k * f)
        gx, *own = aten.native_batch_norm_backward(
            flat, self.x, self.scale, self.mean.view(-1), self.var.view(-1), self.m, self.s, True, self.eps,
            [True, bool(self.p), bool(self.p)],
        )  # fmt: skip
        for target, value in zip(self.g, own, strict=False):
            target.copy_(value.view(k, f))
        return gx.view(b, k, f).transpose(0, 1).contiguous()  # type: ignore[no-any-return]


class Normed:
    """nn.LayerNorm over the last axis; scale and shift belong to the lane."""

    def __init__(self, module: nn.LayerNorm, p: list[Tensor], g: list[Tensor]) -> None:
        self.p, self.g, self.eps = [t.unsqueeze(1) for t in p], g, module.eps

    def forward(self, draw: Draw, x: Tensor) -> Tensor:
        return self.predict(x)

    def predict(self, x: Tensor) -> Tensor:
        self.x = x
        self.hat, self.m, self.s = torch.native_layer_norm(x, [x.shape[-1]], None, None, self.eps)
        if not self.p:
            return self.hat.clone()
        y = self.hat * self.p[0]
        return y.add_(self.p[1]) if len(self.p) > 1 else y

    def backward(self, draw: Draw, g: Tensor, wanted: bool) -> Tensor | None:
        if self.p:
            torch.sum(g * self.hat, dim=1, out=self.g[0])
            if len(self.p) > 1:
                torch.sum(g, dim=1, out=self.g[1])
            g = g * self.p[0]
        gx = aten.native_layer_norm_backward(
            g.contiguous(), self.x, [g.shape[-1]], self.m, self.s, None, None, [True, False, False]
        )
        return gx[0]  # type: ignore[no-any-return]


class Flat:
    """`[K, B, ...]` -> `[K, B, F]`; comes first."""

    def forward(self, draw: Draw, x: Tensor) -> Tensor:
        return self.predict(x)

    def predict(self, x: Tensor) -> Tensor:
        return x.flatten(2) if x.dim() > 3 else x

    def backward(self, draw: Draw, g: Tensor, wanted: bool) -> Tensor | None:
        return None


class Around:
    """x + inner(x)."""

    def __init__(self, inner: "Stack") -> None:
        self.inner = inner

    def forward(self, draw: Draw, x: Tensor) -> Tensor:
        return x + self.inner.forward(draw, x)

    def predict(self, x: Tensor) -> Tensor:
        return x + self.inner.predict(x)

    def backward(self, draw: Draw, g: Tensor, wanted: bool) -> Tensor | None:
        through = self.inner.backward(draw, g.clone(), True)
        return g if through is None else g + through


WRITABLE = (Dense, Batch, Normed, Smooth, Around)  # their outputs are new and kept by nobody


class Stack:
    """Layers one after another."""

    def __init__(self, layers: list[Layer]) -> None:
        self.layers = layers
        self.lowest = next((k for k, layer in enumerate(layers) if not isinstance(layer, Flat)), 0)

    def reads(self, x: Tensor) -> bool:
        """Whether it takes inputs `[K, B, ...]` of this shape."""
        return x.dim() == 3 or isinstance(self.layers[0], Flat)

    def forward(self, draw: Draw, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = layer.forward(draw, x)
        return x

    def predict(self, x: Tensor) -> Tensor:
        """Evaluation outputs; storage is used again by the next pass."""
        for layer in self.layers:
            x = layer.predict(x)
        return x

    def backward(self, draw: Draw, g: Tensor, wanted: bool) -> Tensor | None:
        for at in range(len(self.layers) - 1, -1, -1):
            through = self.layers[at].backward(draw, g, wanted or at > self.lowest)
            if through is None:
                return None
            g = through
        return g


class NotPlain(Exception):
    """The module is no plain stack."""


def stack(
    module: nn.Module, leaves: Mapping[str, Tensor], gradients: Mapping[str, Tensor], buffers: Mapping[str, Tensor]
) -> Stack | None:
    """The hand-written form of an operated `module`, on the lanes' views; None when it is no plain stack."""
    for child in module.modules():
        if child._forward_hooks or child._forward_pre_hooks or hasattr(child, "parametrizations"):
            return None
        if any(not p.requires_grad for p in child.parameters(recurse=False)):
            return None
    try:
        layers = _layers(module, "", leaves, gradients, buffers)
    except (NotPlain, KeyError):
        return None
    return Stack(layers) if any(isinstance(layer, Dense) for layer in layers) else None


def _layers(module: nn.Module, name: str, leaves: Mapping[str, Tensor], gradients: Mapping[str, Tensor],
            buffers: Mapping[str, Tensor]) -> list[Layer]:  # fmt: skip
    kind, at = type(module), f"{name}." if name else ""
    if kind is swap.LaneSequential:
        found: list[Layer] = []
        for key, child in module.named_children():
            for layer in _layers(child, at + key, leaves, gradients, buffers):
                _append(found, layer)
        return found
    own = [at + key for key, _ in module.named_parameters(recurse=False)]
    p, g = [leaves[n] for n in own], [gradients[n] for n in own]
    if kind is swap.LaneLinear:
        return [Dense(p[0], p[1] if len(p) > 1 else None, g[0], g[1] if len(g) > 1 else None)]
    if kind is nn.ReLU:
        return [Gate(True, None)]
    if isinstance(module, swap.LaneDropout):
        return [Gate(False, module.lane_layer)]
    if kind in SMOOTH:
        return [Smooth(module, *SMOOTH[kind])]
    if kind is nn.BatchNorm1d and module.track_running_stats and module.momentum is not None:
        kept = [buffers[at + n] for n in ("running_mean", "running_var", "num_batches_tracked")]
        return [Batch(module, p, g, kept)]  # type: ignore[arg-type]
    if kind is nn.LayerNorm and len(module.normalized_shape) == 1:  # type: ignore[arg-type]
        return [Normed(module, p, g)]  # type: ignore[arg-type]
    return _frames(module, at, leaves, gradients, buffers)


def _frames(module: nn.Module, at: str, leaves: Mapping[str, Tensor], gradients: Mapping[str, Tensor],
            buffers: Mapping[str, Tensor]) -> list[Layer]:  # fmt: skip
    if type(module) is nn.Identity:
        return []
    if isinstance(module, nn.Flatten) and type(module) is nn.Flatten and (module.start_dim, module.end_dim) == (1, -1):
        return [Flat()]
    if isinstance(module, TableStem) and type(module) is TableStem and not len(module.embeddings):
        return [Flat()]
    if isinstance(module, Residual) and type(module) is Residual:
        inner = _layers(module.inner, f"{at}inner", leaves, gradients, buffers)
        if any(isinstance(layer, Flat) for layer in inner):
            raise NotPlain
        return [Around(Stack(inner))]
    raise NotPlain


def _append(found: list[Layer], layer: Layer) -> None:
    """A dropout behind a ReLU becomes one gate with it; no layer may write in place into data or kept values."""
    last = found[-1] if found else None
    if isinstance(layer, Gate) and not layer.relu and isinstance(last, Gate) and last.relu and last.layer is None:
        found[-1] = Gate(True, layer.layer)
    elif (isinstance(layer, Flat) and found) or (isinstance(layer, Gate) and not isinstance(last, WRITABLE)):
        raise NotPlain
    else:
        found.append(layer)
