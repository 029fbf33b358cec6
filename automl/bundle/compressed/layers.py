"""Layers whose sizes differ from those that the model's function builds: written down as JSON, and built from it.

A pruned model has layers of fewer units and attention of fewer heads; a model of low rank has two small layers in the
place of a large one. Their description and their weights are all that is needed to build them again, so no code is
saved with a compressed model.
"""

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from automl.data.shapes import Inputs, Outputs
from automl.errors import BundleError
from automl.models import Build
from automl.models.transformer import Attention

LARGEST = 2**24
"""No layer has more inputs or outputs."""
Description = Mapping[str, Mapping[str, Any]]
"""{name of a layer in the module: its kind and sizes}."""


class LowRank(nn.Module):
    """A linear layer or a convolution as two: `first` to `rank` values (channels), `second` from them to the outputs.

    A convolution's first layer has the kernel, stride and padding; the second one is 1 x 1.
    """

    def __init__(self, first: nn.Module, second: nn.Module) -> None:
        super().__init__()
        self.first, self.second = first, second

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.second(self.first(x))
        return out


def described(before: nn.Module, after: nn.Module) -> dict[str, dict[str, Any]]:
    """What has changed from the module `before` to `after`, for `resized`: {layer: {kind: ..., sizes}}."""
    old = dict(before.named_modules())
    changed = {}
    for name, layer in after.named_modules():
        if name in old and (entry := _entry(layer)) and entry != _entry(old[name]):
            changed[name] = entry
    return changed


def _entry(layer: nn.Module) -> dict[str, Any]:
    """Kind and sizes of a layer; empty for those that have none."""
    if isinstance(layer, LowRank):
        first, second = _entry(layer.first), _entry(layer.second)
        return {**first, "outputs": second["outputs"], "bias": second["bias"], "rank": first["outputs"]}
    if isinstance(layer, nn.Linear):
        return {"kind": "linear", "inputs": layer.in_features, "outputs": layer.out_features, "bias": _biased(layer)}
    if isinstance(layer, nn.Conv2d):
        return {"kind": "conv", "inputs": layer.in_channels, "outputs": layer.out_channels, "bias": _biased(layer)}
    if isinstance(layer, nn.modules.batchnorm._BatchNorm):
        return {"kind": "batch_norm", "size": layer.num_features}
    if isinstance(layer, nn.LayerNorm | nn.RMSNorm):
        return {"kind": "norm", "size": layer.normalized_shape[-1]}
    if isinstance(layer, nn.GroupNorm):
        return {"kind": "group_norm", "size": layer.num_channels}
    if isinstance(layer, nn.Embedding):
        return {"kind": "embedding", "size": layer.embedding_dim}
    if isinstance(layer, Attention):
        return {"kind": "attention", "heads": layer.heads}
    return {}


def _biased(layer: nn.Linear | nn.Conv2d) -> bool:
    return layer.bias is not None


def resized(build: Build, layers: Description) -> Build:
    """A function that builds the model of `build` with layers of other sizes.

    Args:
        build: the function `build(config, inputs, outputs)` of the original model.
        layers: see `described`; a stranger may have written it.

    Returns:
        `build(config, inputs, outputs)`, which raises a BundleError where the model has no such layers.
    """

    def built(config: Mapping[str, Any], inputs: Inputs, outputs: Outputs) -> nn.Module:
        module = build(config, inputs, outputs)
        for name, entry in layers.items():
            _change(module, name, entry)
        return module

    return built


def _change(module: nn.Module, name: str, entry: Mapping[str, Any]) -> None:
    """Put the layer that `entry` describes into the place of the one called `name`."""
    old = dict(module.named_modules()).get(name) if name else None
    if old is None or _entry(old).get("kind") != entry.get("kind"):
        raise BundleError(f"layers: the model has no layer {name!r:.80} of the kind {entry.get('kind')!r:.40}")
    sizes = [value for key, value in entry.items() if key not in ("kind", "bias")]
    if not all(type(n) is int and 0 < n <= LARGEST for n in sizes) or entry.keys() - {"rank"} != _entry(old).keys():
        raise BundleError(f"layers: {name!r:.80} needs the whole numbers {', '.join(_entry(old))}, from 1 to {LARGEST}")
    if isinstance(old, Attention):
        old.heads = min(entry["heads"], old.heads)
        return
    parent, _, own = name.rpartition(".")
    setattr(module.get_submodule(parent), own, _layer(old, entry))


def _layer(old: nn.Module, entry: Mapping[str, Any]) -> nn.Module:
    """A layer like `old` with the sizes of `entry`."""
    if isinstance(old, nn.Linear | nn.Conv2d):
        inputs, outputs, bias = entry["inputs"], entry["outputs"], bool(entry["bias"])
        if "rank" not in entry:
            return _weighted(old, inputs, outputs, bias)
        return low_rank(old, entry["rank"], inputs, outputs, bias)
    size = entry["size"]
    if isinstance(old, nn.BatchNorm1d | nn.BatchNorm2d):
        return type(old)(size, old.eps, old.momentum, old.affine, old.track_running_stats)
    if isinstance(old, nn.LayerNorm):
        return nn.LayerNorm(size, old.eps, old.elementwise_affine, old.bias is not None)
    if isinstance(old, nn.RMSNorm):
        return nn.RMSNorm(size, old.eps, old.elementwise_affine)
    if isinstance(old, nn.GroupNorm):
        return nn.GroupNorm(old.num_groups, size, old.eps, old.affine)
    assert isinstance(old, nn.Embedding)
    return nn.Embedding(old.num_embeddings, size)


def low_rank(old: nn.Linear | nn.Conv2d, rank: int, inputs: int, outputs: int, bias: bool) -> LowRank:
    """Two layers in the place of `old`, with new weights."""
    first = _weighted(old, inputs, rank, False)
    if isinstance(old, nn.Linear):
        return LowRank(first, nn.Linear(rank, outputs, bias))
    return LowRank(first, nn.Conv2d(rank, outputs, 1, bias=bias))


def _weighted(old: nn.Linear | nn.Conv2d, inputs: int, outputs: int, bias: bool) -> nn.Linear | nn.Conv2d:
    if isinstance(old, nn.Linear):
        return nn.Linear(inputs, outputs, bias)
    kernel, stride, padding = old.kernel_size, old.stride, old.padding
    return nn.Conv2d(inputs, outputs, kernel, stride, padding, old.dilation, bias=bias)  # type: ignore[arg-type]
