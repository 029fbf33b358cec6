"""Transformer: decoder-only language model, and an encoder for token sequences, series, images and tables.

Pre-norm blocks (Xiong et al. 2020), RMSNorm (Zhang & Sennrich 2019), SwiGLU (Shazeer 2020), rotary positions (Su et al.
2021), patches (Dosovitskiy et al. 2021), one token per column (Gorishniy et al. 2021). Under `parametrization: mup` the
attention's scale is 1 / d and tied logits are divided by the width (Yang et al. 2022, table 8).
"""

import math
from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from automl.data.shapes import Inputs, Outputs
from automl.errors import SpecError
from automl.models import parts
from automl.models.series import from_last


class Attention(nn.Module):
    """[B, T, width] -> [B, T, width], multi-head self-attention; no position sees later ones where `causal`.

    Args of `forward`: `keep`, [B, 1, 1, T] bool, False at padding, or None.
    """

    cos: Tensor
    sin: Tensor

    def __init__(self, settings: Mapping[str, Any], length: int, causal: bool) -> None:
        super().__init__()
        width, self.heads = int(settings["width"]), int(settings["heads"])
        self.size = max(2, 2 * round(width / self.heads / 2))  # even, so that any width goes with any number of heads
        self.causal = causal
        self.qkv = nn.Linear(width, 3 * self.heads * self.size, bias=False)
        self.out = nn.Linear(self.heads * self.size, width, bias=False)
        base = max(2, 2 * round(int(settings["base_width"]) / self.heads / 2))
        self.scale = math.sqrt(base) / self.size if settings["parametrization"] == "mup" else 1 / math.sqrt(self.size)
        self.rotary = settings["positions"] == "rotary"
        cos, sin = _rotations(length, self.size)
        self.register_buffer("cos", cos, persistent=False)
        self.register_buffer("sin", sin, persistent=False)

    def forward(self, x: Tensor, keep: Tensor | None) -> Tensor:
        q, k, v = self.qkv(x).unflatten(-1, (3, self.heads, self.size)).movedim(-3, 0).transpose(-2, -3)  # [B, H, T, d]
        if self.rotary:
            q, k = self._rotate(q).to(v.dtype), self._rotate(k).to(v.dtype)  # under autocast, the angles are float32
        mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=keep, is_causal=self.causal, scale=self.scale)
        out: Tensor = self.out(mixed.transpose(-2, -3).flatten(-2))
        return out

    def _rotate(self, x: Tensor) -> Tensor:
        a, b = x.chunk(2, dim=-1)
        cos, sin = self.cos[: x.shape[-2]], self.sin[: x.shape[-2]]
        return torch.cat([a * cos - b * sin, a * sin + b * cos], dim=-1)


def _rotations(length: int, size: int) -> tuple[Tensor, Tensor]:
    """cos and sin of position times frequency, [length, size / 2] each (Su et al. 2021)."""
    frequency = 10_000.0 ** (-torch.arange(0, size, 2, dtype=torch.float32) / size)
    angle = torch.arange(length, dtype=torch.float32)[:, None] * frequency
    return angle.cos(), angle.sin()


class FeedForward(nn.Module):
    """[.., width] -> [.., width]; SwiGLU has 2/3 of the inner width, and so the same number of weights."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        super().__init__()
        width = int(settings["width"])
        self.gated = settings["activation"] == "swiglu"
        inner = max(1, round(width * float(settings["ratio"]) * (2 / 3 if self.gated else 1)))
        self.up = nn.Linear(width, inner * (2 if self.gated else 1), bias=False)
        self.act = nn.SiLU() if self.gated else parts.activation("transformer", settings["activation"])
        self.down = nn.Linear(inner, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        up = self.up(x)
        if self.gated:
            a, gate = up.chunk(2, dim=-1)
            up = a * self.act(gate)
        else:
            up = self.act(up)
        out: Tensor = self.down(up)
        return out


class Block(nn.Module):
    """[B, T, width] -> [B, T, width]: attention and feed-forward layer, each after a norm and with a shortcut."""

    def __init__(self, settings: Mapping[str, Any], length: int, causal: bool) -> None:
        super().__init__()
        self.norm1, self.norm2 = _norm(settings), _norm(settings)
        self.attention, self.feed = Attention(settings, length, causal), FeedForward(settings)
        self.drop1, self.drop2 = nn.Dropout(float(settings["dropout"])), nn.Dropout(float(settings["dropout"]))

    def forward(self, x: Tensor, keep: Tensor | None) -> Tensor:
        x = x + self.drop1(self.attention(self.norm1(x), keep))
        out: Tensor = x + self.drop2(self.feed(self.norm2(x)))
        return out


class ColumnTokens(nn.Module):
    """[B, n] numbers (the last ones codes of categories) -> [B, n, width], one token per column."""

    def __init__(self, inputs: Inputs, width: int) -> None:
        super().__init__()
        self.dense = int(inputs) - len(inputs.cardinalities)
        self.slope = nn.Embedding(max(self.dense, 1), width)  # rows are columns: one direction for each
        self.offset = nn.Embedding(max(self.dense, 1), width)
        self.embeddings = nn.ModuleList(nn.Embedding(n, width) for n in inputs.cardinalities)

    def forward(self, x: Tensor) -> Tensor:
        tokens = [x[:, : self.dense, None] * self.slope.weight + self.offset.weight] if self.dense else []
        codes = x[:, self.dense :].long()
        tokens += [embed(codes[:, k])[:, None] for k, embed in enumerate(self.embeddings)]
        return torch.cat(tokens, dim=1)


class Patches(nn.Module):
    """[B, C, H, W] -> [B, patches, width], one token per patch of `patch` x `patch` pixels."""

    def __init__(self, channels: int, patch: int, width: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, width, patch, patch)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x).flatten(2).transpose(1, 2)  # type: ignore[no-any-return]


class Transformer(nn.Module):
    """The network of `build`."""

    def __init__(self, settings: Mapping[str, Any], inputs: Inputs, outputs: Outputs) -> None:
        super().__init__()
        width = int(settings["width"])
        self.next_token = outputs.kind == "tokens"
        self.embed, length = _stem(settings, inputs)
        self.masked = inputs.kind == "tokens" and not self.next_token
        self.place = nn.Embedding(length, width) if settings["positions"] == "learned" else None
        self.drop = nn.Dropout(float(settings["dropout"]))
        self.blocks = nn.ModuleList(Block(settings, length, self.next_token) for _ in range(int(settings["depth"])))
        self.norm = _norm(settings)
        self.head = nn.Linear(width, int(outputs), bias=False)
        self.logit_scale = 1.0
        _initialise(self, int(settings["depth"]))
        if settings["tied"] and self.next_token and isinstance(self.embed, nn.Embedding):
            self.head.weight = self.embed.weight
            self.logit_scale = int(settings["base_width"]) / width if settings["parametrization"] == "mup" else 1.0

    def forward(self, x: Tensor) -> Tensor:
        present = x != parts.PADDING if self.masked else None
        h = self.embed(x)
        if self.place is not None:
            h = h + self.place.weight[: h.shape[1]]
        h = self.drop(h)
        keep = present[:, None, None, :] if present is not None else None
        for block in self.blocks:
            h = block(h, keep)
        h = self.norm(h)
        if not self.next_token:
            h = h.mean(1) if present is None else parts.masked_mean(h, present)
        out: Tensor = self.head(h) * self.logit_scale
        return out


def _stem(settings: Mapping[str, Any], inputs: Inputs) -> tuple[nn.Module, int]:
    """(the module from samples to [B, T, width], T)."""
    width, shape = int(settings["width"]), inputs.shape
    if inputs.kind == "tokens":
        return nn.Embedding(int(inputs.vocabulary or 0), width), shape[0]
    if len(shape) == 3:
        patch = min(int(settings["patch"]), *shape[1:])
        return Patches(shape[0], patch, width), (shape[1] // patch) * (shape[2] // patch)
    if len(shape) == 2:
        return nn.Linear(shape[1], width), shape[0]
    return ColumnTokens(inputs, width), shape[0]


def _norm(settings: Mapping[str, Any]) -> nn.Module:
    kind = parts.choose("transformer", "norm", settings["norm"], ("rms", "layer"))
    width = int(settings["width"])
    return nn.RMSNorm(width, eps=1e-6) if kind == "rms" else nn.LayerNorm(width)


def _initialise(model: Transformer, depth: int) -> None:
    """Weights N(0, 1 / fan-in), last layers of branches / sqrt(2 depth), embeddings N(0, 0.02**2), as in GPT-2."""
    for name, module in model.named_modules():
        if isinstance(module, nn.Linear):
            shrink = 1 / math.sqrt(2 * depth) if name.endswith(("attention.out", "feed.down")) else 1.0
            nn.init.normal_(module.weight, std=shrink / math.sqrt(module.in_features))
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.Embedding):
            nn.init.normal_(module.weight, std=0.02)


def build(config: Mapping[str, Any], inputs: Inputs, outputs: Outputs) -> nn.Module:
    """Build a transformer: [B, T] tokens, [B, T, features], [B, C, H, W] or [B, columns] -> [B, outputs].

    For next tokens [B, T] -> [B, T, vocabulary]. It has `depth` layers of `width`, `heads` attention heads, and
    `ratio` * `width` units in each feed-forward layer. Token 0 is padding in classification. Forecasts of a series
    predict the change from its last value (`from_last`).

    Args:
        config: the names of the family's defaults; others are ignored.
        inputs: layout of one sample.
        outputs: number and kind of output units.

    Raises:
        SpecError: the task does not fit the inputs, or a setting has a wrong value.
    """
    settings = parts.settings("transformer", config)
    if outputs.kind == "tokens" and inputs.kind != "tokens":
        raise SpecError("transformer: the next token needs tokens as inputs")
    model = Transformer(settings, inputs, outputs)
    return from_last(model, model.head, inputs, wanted=bool(settings["from_last"]))
