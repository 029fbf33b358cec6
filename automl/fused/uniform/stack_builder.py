"""Recognizes a plain stack and builds its hand-written form (`stack.Stack`) on the lanes' rows."""

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor, nn

from automl.fused.modules import swap
from automl.fused.modules.activations import ACTIVATIONS
from automl.fused.modules.plain import can_be_rewritten, only_flattens
from automl.fused.uniform.number_layer import AnswerLayer, DerivedLayer, NumberLayer
from automl.fused.uniform.stack import (
    BatchNormLayer,
    FlattenLayer,
    Layer,
    LayerNormLayer,
    LinearLayer,
    ReluDropoutLayer,
    ShortcutLayer,
    SmoothLayer,
    Stack,
)
from automl.models.answers.curved import Curved
from automl.models.answers.links import Linked
from automl.models.mlp import Residual
from automl.models.numbers import NumberEmbedding

FRESH_OUTPUT = (LinearLayer, BatchNormLayer, LayerNormLayer, SmoothLayer, ShortcutLayer)
"""Layers whose output is a new tensor that no backward pass needs: the next layer may overwrite it."""


class NotPlain(Exception):
    """The module contains something that the hand-written layers do not cover."""


def build_stack(
    module: nn.Module, leaves: Mapping[str, Tensor], gradients: Mapping[str, Tensor], buffers: Mapping[str, Tensor]
) -> Stack | None:
    """The hand-written form of `module`, whose submodules have been swapped (`swap`); None if it is no plain stack.

    Args:
        module: the template; only its structure is read.
        leaves: name -> parameter of all lanes `[K, *shape]`.
        gradients: name -> where its gradient goes, same shapes.
        buffers: name -> buffer of all lanes `[K, *shape]`, updated in place by batch norm.
    """
    if not can_be_rewritten(module):
        return None
    try:
        layers = _Builder(leaves, gradients, buffers).layers(module, "")
    except (NotPlain, KeyError):
        return None
    return Stack(layers) if any(isinstance(layer, LinearLayer) for layer in layers) else None


@dataclass(frozen=True)
class _Builder:
    leaves: Mapping[str, Tensor]
    gradients: Mapping[str, Tensor]
    buffers: Mapping[str, Tensor]

    def layers(self, module: nn.Module, name: str) -> list[Layer]:
        """The layers of `module`, called `name` in the model. Raises NotPlain."""
        kind, prefix = type(module), f"{name}." if name else ""
        if kind is swap.LaneSequential:
            layers: list[Layer] = []
            for key, child in module.named_children():
                for layer in self.layers(child, prefix + key):
                    _append(layers, layer)
            return layers
        own = [prefix + key for key, _ in module.named_parameters(recurse=False)]
        p, g = [self.leaves[n] for n in own], [self.gradients[n] for n in own]
        if kind is swap.LaneLinear:
            return [LinearLayer(p[0], p[1] if len(p) > 1 else None, g[0], g[1] if len(g) > 1 else None)]
        if kind is NumberEmbedding:
            return [self._numbers(module, prefix)]
        if kind is nn.ReLU:
            return [ReluDropoutLayer(True, None)]
        if isinstance(module, swap.LaneDropout):
            return [ReluDropoutLayer(False, module.lane_layer)]
        if kind in ACTIVATIONS:
            return [SmoothLayer(module)]
        if isinstance(module, nn.BatchNorm1d) and kind is nn.BatchNorm1d:
            return [self._batch_norm(module, prefix, p, g)]
        if isinstance(module, nn.LayerNorm) and kind is nn.LayerNorm and len(module.normalized_shape) == 1:
            return [LayerNormLayer(module, p, g)]
        return self._without_parameters(module, prefix)

    def _batch_norm(self, module: nn.BatchNorm1d, prefix: str, p: list[Tensor], g: list[Tensor]) -> BatchNormLayer:
        if not module.track_running_stats or module.momentum is None:
            raise NotPlain
        statistics = [self.buffers[prefix + n] for n in ("running_mean", "running_var", "num_batches_tracked")]
        return BatchNormLayer(module, p, g, statistics)

    def _numbers(self, module: nn.Module, prefix: str) -> NumberLayer:
        assert isinstance(module, NumberEmbedding)
        names = [name for name, _ in module.named_parameters(recurse=False)]
        parameters, gradients = ({n: of[prefix + n] for n in names} for of in (self.leaves, self.gradients))
        return NumberLayer(module, parameters, gradients)

    def _without_parameters(self, module: nn.Module, prefix: str) -> list[Layer]:
        if type(module) is nn.Identity:
            return []
        if only_flattens(module):
            return [FlattenLayer()]
        if isinstance(module, Curved | Linked):
            last = DerivedLayer if isinstance(module, Linked) and module.learned else AnswerLayer
            return [*self.layers(module.inner, f"{prefix}inner"), last(module.answer)]
        if isinstance(module, Residual) and type(module) is Residual:
            inner = self.layers(module.inner, f"{prefix}inner")
            if any(isinstance(layer, FlattenLayer) for layer in inner):
                raise NotPlain
            return [ShortcutLayer(Stack(inner))]
        raise NotPlain


def _append(layers: list[Layer], layer: Layer) -> None:
    """Add `layer`; a dropout behind a ReLU is merged with it.

    Raises NotPlain where a layer would overwrite the data or a value that a backward pass needs.
    """
    last = layers[-1] if layers else None
    if isinstance(layer, NumberLayer) and not all(isinstance(one, FlattenLayer) for one in layers):
        raise NotPlain
    if (
        isinstance(layer, ReluDropoutLayer) and not layer.relu
        and isinstance(last, ReluDropoutLayer) and last.relu and last.dropout is None
    ):  # fmt: skip
        layers[-1] = ReluDropoutLayer(True, layer.dropout)
    elif (isinstance(layer, FlattenLayer) and layers) or (
        isinstance(layer, ReluDropoutLayer) and not isinstance(last, FRESH_OUTPUT)
    ):
        raise NotPlain
    else:
        layers.append(layer)
