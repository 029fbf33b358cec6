"""Residual network for small images: pre-activation blocks (He et al. 2016), stochastic depth (Huang et al. 2016)."""

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from automl.data.shapes import Inputs, Outputs
from automl.errors import SpecError
from automl.models import parts


class Block(nn.Module):
    """[B, width, H, W] -> [B, out, H / stride, W / stride]: norm, activation, conv, twice, around a shortcut.

    `drop`: an `nn.Dropout` asked for one number per sample drops whole branches (and scales the others up).
    """

    def __init__(self, made: Mapping[str, Any], width: int, out: int, stride: int, drop_path: float) -> None:
        super().__init__()
        kernel = int(made["kernel"])
        plain = made["norm"] == "none"
        self.first = nn.Sequential(_norm(made, width), parts.activation("convnet", made["activation"]))
        self.second = nn.Sequential(_norm(made, out), parts.activation("convnet", made["activation"]))
        self.conv1 = nn.Conv2d(width, out, kernel, stride, kernel // 2, bias=plain)
        self.conv2 = nn.Conv2d(out, out, kernel, 1, kernel // 2, bias=plain)
        self.shortcut = nn.Conv2d(width, out, 1, stride, bias=False) if stride > 1 or width != out else None
        self.drop = nn.Dropout(drop_path)

    def forward(self, x: Tensor) -> Tensor:
        ready = self.first(x)
        branch = self.conv2(self.second(self.conv1(ready)))
        kept = self.drop(torch.ones_like(branch[:, :1, :1, :1]))
        out: Tensor = (x if self.shortcut is None else self.shortcut(ready)) + branch * kept
        return out


class Picture(nn.Module):
    """[B, *shape] -> [B, C, H, W]: images as they are; a square number of values is read as one channel."""

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
    """[B, C, H, W] -> [B, C], the mean over the picture."""

    def forward(self, x: Tensor) -> Tensor:
        return x.mean((2, 3))


def _norm(made: Mapping[str, Any], width: int) -> nn.Module:
    kind = parts.choose("convnet", "norm", made["norm"], parts.NORMS)
    if kind == "none":
        return nn.Identity()
    return nn.BatchNorm2d(width) if kind == "batch" else nn.GroupNorm(1, width)


def build(config: Mapping[str, Any], inputs: Inputs, outputs: Outputs) -> nn.Module:
    """[B, C, H, W] (or [B, n * n]) float32 -> [B, outputs].

    `stages` of `depth` blocks; channels start at `width` and double, sides halve, from stage to stage (while a side has
    more than 3 pixels). The chance of dropping a branch grows with depth up to `drop_path`.
    """
    made = parts.settings("convnet", config)
    if int(made["kernel"]) % 2 == 0 or int(made["stem"]) % 2 == 0:
        raise SpecError(f"convnet: kernel and stem must be odd, got {made['kernel']} and {made['stem']}")
    picture = Picture(inputs)
    width, side, total = int(made["width"]), min(picture.shape[1:]), int(made["stages"]) * int(made["depth"])
    layers: list[nn.Module] = [
        picture,
        nn.Conv2d(picture.shape[0], width, int(made["stem"]), 1, int(made["stem"]) // 2),
    ]
    for k in range(total):
        new = k > 0 and k % int(made["depth"]) == 0
        stride = 2 if new and side > 3 else 1
        side = -(-side // stride)
        out = width * 2 if new else width
        layers.append(Block(made, width, out, stride, float(made["drop_path"]) * k / max(total - 1, 1)))
        width = out
    head = [
        _norm(made, width),
        parts.activation("convnet", made["activation"]),
        Pool(),
        nn.Dropout(float(made["dropout"])),
    ]
    return nn.Sequential(*layers, *head, nn.Linear(width, int(outputs)))
