"""Activations and their derivatives, written into buffers that are there already."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

aten = torch.ops.aten  # the operations of each step are looked up once: a lookup takes as long as a small layer
_relu_out, _threshold_backward_grad_input = aten.relu.out, aten.threshold_backward.grad_input
_gelu_out, _gelu_backward_grad_input = aten.gelu.out, aten.gelu_backward.grad_input
_silu_out, _silu_backward_grad_input = aten.silu.out, aten.silu_backward.grad_input


@dataclass(frozen=True)
class Activation:
    """How an activation is computed without new tensors.

    Attributes:
        forward: `(module, z, y)`: fill `y` from `z`.
        backward: `(module, g, kept)`: turn the gradient of `y` in `g` into that of `z`.
        of_output: whether `kept` is `y`; otherwise it is `z`.
    """

    forward: Callable[[Any, Tensor, Tensor], object]
    backward: Callable[[Any, Tensor, Tensor], object]
    of_output: bool = False


ACTIVATIONS: Mapping[type, Activation] = {
    type(None): Activation(lambda m, z, y: y.copy_(z), lambda m, g, z: g),
    nn.ReLU: Activation(
        lambda m, z, y: _relu_out(z, out=y),
        lambda m, g, z: _threshold_backward_grad_input(g, z, 0, grad_input=g),
    ),
    nn.GELU: Activation(
        lambda m, z, y: _gelu_out(z, approximate=m.approximate, out=y),
        lambda m, g, z: _gelu_backward_grad_input(g, z, approximate=m.approximate, grad_input=g),
    ),
    nn.SiLU: Activation(
        lambda m, z, y: _silu_out(z, out=y),
        lambda m, g, z: _silu_backward_grad_input(g, z, grad_input=g),
    ),
    nn.Tanh: Activation(
        lambda m, z, y: aten.tanh.out(z, out=y),
        lambda m, g, y: aten.tanh_backward.grad_input(g, y, grad_input=g),
        of_output=True,
    ),
    nn.Sigmoid: Activation(
        lambda m, z, y: aten.sigmoid.out(z, out=y),
        lambda m, g, y: aten.sigmoid_backward.grad_input(g, y, grad_input=g),
        of_output=True,
    ),
    nn.LeakyReLU: Activation(
        lambda m, z, y: aten.leaky_relu.out(z, m.negative_slope, out=y),
        lambda m, g, z: aten.leaky_relu_backward.grad_input(g, z, m.negative_slope, False, grad_input=g),
    ),
}
"""Type of an activation module (of None: no activation) -> how it is computed."""
