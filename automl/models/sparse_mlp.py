"""Sparsely connected network: each block of units sees a fixed, evenly spread choice of blocks below it.

Work and memory of a hidden layer are `density` times those of a dense one: only the blocks that exist are stored and
multiplied (one batched product over gathered inputs). Blocks of 16 and more pay on CPUs and GPUs; `block: 1` is
unstructured sparsity of fixed fan-in, after Mocanu et al. 2018 ("Scalable training with adaptive sparse connectivity"),
which saves memory but seldom time. Blocks after Gray et al. 2017 ("GPU kernels for block-sparse weights").
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
    """[B, inputs] -> [B, outputs]. `weight`: [output blocks, inputs seen, block]; `seen`: [output blocks, k] int64.

    Sizes that are no multiple of `block` are padded with zeros (inputs) or cut (outputs). The connections depend on the
    sizes alone, so that every trial, lane and restored model of one shape has the same.
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
        gathered = blocks.index_select(
            0, self.seen.flatten()
        )  # [above * k, B, block]; twice as fast back as blocks[seen]
        above, k = self.seen.shape
        rows = gathered.view(above, k, -1, self.block).transpose(1, 2).flatten(2)  # [above, B, k * block]
        out = torch.bmm(rows, self.weight).transpose(0, 1).flatten(1)
        out = out[:, : self.outputs] if out.shape[1] > self.outputs else out
        return out if self.bias is None else out + self.bias


def _connections(below: int, above: int, count: int) -> Tensor:
    """[above, count] int64: different blocks for each row, every block below used equally often (to one)."""
    generator = torch.Generator("cpu").manual_seed(seeds.derive("connections", below, above, count))
    rows: list[Tensor] = []
    waiting = torch.empty(0, dtype=torch.int64, device="cpu")
    for _ in range(above):
        if len(waiting) < count:
            order = torch.randperm(below, generator=generator, device="cpu")
            again = torch.isin(order, waiting)
            waiting = torch.cat([waiting, order[~again], order[again]])
        rows.append(waiting[:count].sort().values)
        waiting = waiting[count:]
    return torch.stack(rows)


def build(config: Mapping[str, Any], inputs: Inputs, outputs: Outputs) -> nn.Module:
    """[B, *inputs.shape] float32 -> [B, outputs]; as `mlp`, hidden layers at `density` in blocks of `block`."""
    if inputs.kind == "tokens":
        raise SpecError("sparse_mlp: tokens need a transformer or an lstm")
    made = parts.settings("sparse_mlp", config)
    density, block = float(made["density"]), int(made["block"])
    if not 0 < density <= 1 or block < 1:
        raise SpecError(f"sparse_mlp: density must be in (0, 1] and block at least 1, got {density} and {block}")
    stem = parts.TableStem(inputs, int(made["embedding"]))
    width, size = int(made["width"]), stem.features
    layers: list[nn.Module] = [stem]
    for k in range(int(made["depth"])):
        inner: list[nn.Module] = [BlockLinear(size, width, density, block, bias=made["norm"] != "batch")]
        if made["norm"] != "none":
            inner.append(parts.norm("sparse_mlp", made["norm"], width))
        inner += [parts.activation("sparse_mlp", made["activation"]), nn.Dropout(float(made["dropout"]))]
        hidden = nn.Sequential(*inner)
        layers.append(Residual(hidden) if made["residual"] and k > 0 else hidden)
        size = width
    return nn.Sequential(*layers, nn.Linear(size, int(outputs)))
