"""Embeddings of numbers: each numeric column becomes a small vector, so that a network sees steps and waves in it.

Gorishniy et al., "On Embeddings for Numerical Features in Tabular Deep Learning" (NeurIPS 2022): of all changes to a
network for tables the one with the largest gain. Inputs are expected in standard units (mean 0, variance 1).

Shapes: B samples, D numeric columns, C further columns, K frequencies or bins, S values for each column.
"""

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from automl.data.shapes import Inputs
from automl.models.parts import TableStem


class NumberEmbedding(nn.Module):
    """[B, D + C] -> [B, D * S + C]: the first D columns become vectors, the others stay.

    A column's K features go through a linear layer of its own and a ReLU. The features of a value x are

    - `periodic`: cos(2 pi f x) and sin(2 pi f x) with K learned frequencies f, drawn from N(0, scale^2);
    - `cosine`: cos(2 pi (f x + p)) with learned phases p in [0, 1) too, half as many features;
    - `piecewise`: how far x is through each of K bins between normal quantiles: 0 below the bin, 1 above it; below the
      first and above the last bin the line continues.

    Args:
        columns: D.
        kind: one of the above.
        size: S.
        frequencies: K.
        scale: standard deviation of the frequencies at the start; most often 0.01 to 1.
    """

    edges: Tensor  # [K + 1] of the bins
    least: Tensor  # [K] 0, but the first bin goes on below
    most: Tensor  # [K] 1, but the last bin goes on above

    def __init__(self, columns: int, kind: str, size: int, frequencies: int, scale: float) -> None:
        super().__init__()
        self.columns, self.kind = columns, kind
        features = 2 * frequencies if kind == "periodic" else frequencies
        if kind == "piecewise":
            shares = torch.arange(frequencies + 1, dtype=torch.float64) / frequencies
            inner = torch.special.ndtri(shares.clamp(0.5 / frequencies, 1 - 0.5 / frequencies))
            least, most = torch.zeros(frequencies), torch.ones(frequencies)
            least[0], most[-1] = -math.inf, math.inf
            for name, values in (("edges", inner.float()), ("least", least), ("most", most)):
                self.register_buffer(name, values, persistent=False)
        else:
            self.frequencies = nn.Parameter(torch.randn(columns, frequencies) * scale)
        if kind == "cosine":
            self.phases = nn.Parameter(torch.rand(columns, frequencies))
        bound = features**-0.5
        self.weight = nn.Parameter(torch.empty(columns, features, size).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(columns, size).uniform_(-bound, bound))

    def forward(self, x: Tensor) -> Tensor:
        numbers, others = x[:, : self.columns], x[:, self.columns :]
        embedded = torch.relu(torch.einsum("bdk,dks->bds", self._features(numbers), self.weight) + self.bias)
        return torch.cat([embedded.flatten(1), others], dim=1)

    def _features(self, x: Tensor) -> Tensor:
        """The features of the numbers `x` [B, D]. [B, D, K or 2 K]"""
        at = x.unsqueeze(-1)
        if self.kind == "piecewise":
            low, high = self.edges[:-1], self.edges[1:]
            return torch.clamp((at - low) / (high - low), self.least, self.most)
        if self.kind == "cosine":
            return torch.cos(2 * math.pi * (at * self.frequencies + self.phases))
        angle = 2 * math.pi * at * self.frequencies
        return torch.cat([torch.cos(angle), torch.sin(angle)], dim=-1)


def embedded(stem: TableStem, inputs: Inputs, settings: Mapping[str, Any]) -> tuple[list[nn.Module], int]:
    """The stem of a table, with embeddings of its numbers where they are asked for, and the features that come out.

    Args:
        stem: of the same inputs; its first columns are numbers.
        inputs: layout of one sample.
        settings: of the family: `embed_numbers`, `embed_size`, `frequencies`, `embed_scale`.
    """
    kind = str(settings["embed_numbers"])
    if kind == "none" or stem.dense == 0 or len(inputs.shape) > 1:
        return [stem], stem.features
    size, frequencies = int(settings["embed_size"]), int(settings["frequencies"])
    made = NumberEmbedding(stem.dense, kind, size, frequencies, float(settings["embed_scale"]))
    return [stem, made], stem.features + stem.dense * (size - 1)
