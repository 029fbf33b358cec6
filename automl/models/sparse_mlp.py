"""Sparsely connected network: each block of units is connected to a fixed choice of blocks in the layer below.

Work and memory of a hidden layer are `density` times those of a dense one: only the blocks that exist are stored and
multiplied (one batched product over gathered inputs). Blocks of 16 or more save time on CPUs and GPUs. `block: 1` is
unstructured sparsity with a fixed fan-in, which saves memory but rarely time, after Mocanu et al. 2018 ("Scalable
training with adaptive sparse connectivity"). Blocks after Gray et al. 2017 ("GPU kernels for block-sparse weights").
"""

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from automl.core import seeds
from automl.data.shapes import Inputs, Outputs
from automl.errors import SpecError
from automl.models import parts
from automl.models.mlp import Residual


class BlockLinear(nn.Module):
    """[B, inputs] -> [B, outputs], a linear layer with `density` of the connections.

    Sizes that are not a multiple of `block` are padded with zeros (inputs) or cut (outputs). The connections depend on
    the sizes alone, so that all trials, lanes and restored models of one shape have the same.

    Attributes:
        seen: [output blocks, k] int64, the k input blocks that each output block is connected to.
        weight: [output blocks, k * block, block].
        bias: [outputs] or None.
    """

    seen: Tensor

    def __init__(self, inputs: int, outputs: int, density: float, block: int, bias: bool = True) -> None:
        super().__init__()
        self.inputs, self.outputs, self.block = inputs, outputs, block
        below, above = math.ceil(inputs / block), math.ceil(outputs / block)
        self.below = below
        count = max(1, min(below, round(density * below)))
        self.register_buffer("seen", _connections(below, above, count))
        self.weight = nn.Parameter(torch.empty(above, count * block, block))
        self.bias = nn.Parameter(torch.zeros(outputs)) if bias else None
        nn.init.uniform_(self.weight, -1 / math.sqrt(count * block), 1 / math.sqrt(count * block))

    def forward(self, x: Tensor) -> Tensor:
        missing = self.below * self.block - self.inputs
        padded = nn.functional.pad(x, (0, missing)) if missing else x
        blocks = padded.reshape(-1, self.below, self.block).transpose(0, 1)  # [below, B, block]
        # [above * k, B, block]; the backward pass is twice as fast as that of blocks[seen]
        gathered = blocks.index_select(0, self.seen.flatten())
        above, k = self.seen.shape
        rows = gathered.view(above, k, -1, self.block).transpose(1, 2).flatten(2)  # [above, B, k * block]
        out = torch.bmm(rows, self.weight).transpose(0, 1).flatten(1)
        out = out[:, : self.outputs] if out.shape[1] > self.outputs else out
        return out if self.bias is None else out + self.bias


def _connections(below: int, above: int, count: int) -> Tensor:
    """[above, count] int64: each row has different blocks; blocks are used equally often, give or take one."""
    generator = torch.Generator("cpu").manual_seed(seeds.derive("connections", below, above, count))
    rows: list[Tensor] = []
    unused = torch.empty(0, dtype=torch.int64, device="cpu")
    for _ in range(above):
        if len(unused) < count:
            order = torch.randperm(below, generator=generator, device="cpu")
            again = torch.isin(order, unused)
            unused = torch.cat([unused, order[~again], order[again]])
        rows.append(unused[:count].sort().values)
        unused = unused[count:]
    return torch.stack(rows)


def build(config: Mapping[str, Any], inputs: Inputs, outputs: Outputs) -> nn.Module:
    """Build an `mlp` whose hidden layers are `BlockLinear`, [B, *inputs.shape] float32 -> [B, outputs].

    Args:
        config: the names of the family's defaults; others are ignored.
        inputs: layout of one sample.
        outputs: number and kind of output units.

    Raises:
        SpecError: the inputs are tokens, or a setting has a wrong value.
    """
    if inputs.kind == "tokens":
        raise SpecError("sparse_mlp: tokens need a transformer or an lstm")
    settings = parts.settings("sparse_mlp", config)
    density, block = float(settings["density"]), int(settings["block"])
    stem = parts.TableStem(inputs, int(settings["embedding"]))
    width, size = int(settings["width"]), stem.features
    layers: list[nn.Module] = [stem]
    for k in range(int(settings["depth"])):
        inner: list[nn.Module] = [BlockLinear(size, width, density, block, bias=settings["norm"] != "batch")]
        if settings["norm"] != "none":
            inner.append(parts.norm("sparse_mlp", settings["norm"], width))
        inner += [parts.activation("sparse_mlp", settings["activation"]), nn.Dropout(float(settings["dropout"]))]
        hidden = nn.Sequential(*inner)
        layers.append(Residual(hidden) if settings["residual"] and k > 0 else hidden)
        size = width
    return nn.Sequential(*layers, nn.Linear(size, int(outputs)))
