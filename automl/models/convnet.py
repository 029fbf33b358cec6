"""Residual network for small images: pre-activation blocks (He et al. 2016), stochastic depth (Huang et al. 2016)."""

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from automl.data.shapes import Inputs, Outputs
from automl.errors import SpecError
from automl.models import parts
from automl.models.settings import NORMS


class Block(nn.Module):
    """[B, width, H, W] -> [B, out, H / stride, W / stride]: norm, activation, convolution, twice, and a shortcut.

    Stochastic depth: `drop` gets a single number per sample, so it drops whole branches (and scales the others up).
    """

    def __init__(self, settings: Mapping[str, Any], width: int, out: int, stride: int, drop_path: float) -> None:
        super().__init__()
        kernel = int(settings["kernel"])
        plain = settings["norm"] == "none"
        self.first = nn.Sequential(_norm(settings, width), parts.activation("convnet", settings["activation"]))
        self.second = nn.Sequential(_norm(settings, out), parts.activation("convnet", settings["activation"]))
        self.conv1 = nn.Conv2d(width, out, kernel, stride, kernel // 2, bias=plain)
        self.conv2 = nn.Conv2d(out, out, kernel, 1, kernel // 2, bias=plain)
        self.shortcut = nn.Conv2d(width, out, 1, stride, bias=False) if stride > 1 or width != out else None
        self.drop = nn.Dropout(drop_path)

    def forward(self, x: Tensor) -> Tensor:
        activated = self.first(x)
        branch = self.conv2(self.second(self.conv1(activated)))
        kept = self.drop(torch.ones_like(branch[:, :1, :1, :1]))
        out: Tensor = (x if self.shortcut is None else self.shortcut(activated)) + branch * kept
        return out


class AsImage(nn.Module):
    """[B, *shape] -> [B, C, H, W]: images stay as they are; n * n values are read as an image with one channel."""

    def __init__(self, inputs: Inputs) -> None:
        super().__init__()
        shape = inputs.shape
        if len(shape) == 1 and math.isqrt(shape[0]) ** 2 == shape[0] and not inputs.cardinalities:
            shape = (1, math.isqrt(shape[0]), math.isqrt(shape[0]))
        if len(shape) != 3 or inputs.kind == "tokens":
            raise SpecError(f"convnet: needs images (channels, height, width), got samples of shape {inputs.shape}")
        self.shape = shape

    def forward(self, x: Tensor) -> Tensor:
        return x.view(x.shape[0], *self.shape)


class Pool(nn.Module):
    """[B, C, H, W] -> [B, C], the mean over each channel."""

    def forward(self, x: Tensor) -> Tensor:
        return x.mean((2, 3))


def _norm(settings: Mapping[str, Any], width: int) -> nn.Module:
    kind = parts.choose("convnet", "norm", settings["norm"], NORMS)
    if kind == "none":
        return nn.Identity()
    return nn.BatchNorm2d(width) if kind == "batch" else nn.GroupNorm(1, width)


def build(config: Mapping[str, Any], inputs: Inputs, outputs: Outputs) -> nn.Module:
    """Build a residual network for images, [B, C, H, W] (or [B, n * n]) float32 -> [B, outputs].

    There are `stages` of `depth` blocks each. The first stage has `width` channels; from stage to stage channels double
    and sides halve (while a side has more than 3 pixels). The probability of dropping a branch grows with depth up to
    `drop_path`.

    Args:
        config: the names of the family's defaults; others are ignored.
        inputs: layout of one sample.
        outputs: number and kind of output units.

    Raises:
        SpecError: the samples are not images, or a setting has a wrong value.
    """
    settings = parts.settings("convnet", config)
    image = AsImage(inputs)
    width, side, total = int(settings["width"]), min(image.shape[1:]), int(settings["stages"]) * int(settings["depth"])
    layers: list[nn.Module] = [
        image,
        nn.Conv2d(image.shape[0], width, int(settings["stem"]), 1, int(settings["stem"]) // 2),
    ]
    for k in range(total):
        new = k > 0 and k % int(settings["depth"]) == 0
        stride = 2 if new and side > 3 else 1
        side = -(-side // stride)
        out = width * 2 if new else width
        layers.append(Block(settings, width, out, stride, float(settings["drop_path"]) * k / max(total - 1, 1)))
        width = out
    head = [
        _norm(settings, width),
        parts.activation("convnet", settings["activation"]),
        Pool(),
        nn.Dropout(float(settings["dropout"])),
    ]
    return nn.Sequential(*layers, *head, nn.Linear(width, int(outputs)))
