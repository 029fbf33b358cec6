"""Several devices for one trial: each rank trains on its share of every batch, gradients are averaged.

Every rank holds the whole model (torch's DDP), or a share of it where that is too large (see `sharding`). A batch
is shared out row by row, and its loss is the mean over all of its rows, as on one device; batch norm sees a rank's own
rows only. Weights and order are the same on all ranks, masks are not.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch import distributed as dist

from automl.data.prepared import Part

COPIES = 4  # of a parameter, in float32: itself, its gradient, two moments
SHARE = 0.8  # of a device's memory that they may take; activations need some too


@dataclass(frozen=True)
class Rank:
    """One of `world` processes that train a model together."""

    rank: int
    world: int

    def wrap(self, model: nn.Module, device: torch.device) -> nn.Module:
        """The model with gradients that are averaged over all ranks as they are made."""
        ids = [device] if device.type == "cuda" else None
        return nn.parallel.DistributedDataParallel(model, device_ids=ids, forward_sync_buffers=False)

    def shards(self, model: nn.Module, device: torch.device, parallel: Literal["auto", "replicate", "shard"]) -> bool:
        """Whether the model is to be sharded; all ranks ask, and get the same answer: that of the smallest device."""
        if parallel != "auto":
            return parallel == "shard"
        large = torch.tensor(float(too_large(model, memory_of(device))), device=device)
        dist.all_reduce(large, dist.ReduceOp.MAX)
        return bool(large)

    def shard(self, model: nn.Module, device: torch.device) -> nn.Module:
        """The model with its parameters shared out among all ranks; see `sharding.shard`."""
        from automl.training.distributed import fsdp  # takes a second to import

        return fsdp.shard(model, device, self.world)

    def share(self, batch: Part) -> tuple[Part, Tensor]:
        """This rank's rows of a batch, and by what their mean loss is multiplied (float64, a scalar) so that the
        average over ranks is the batch's mean. A rank without a row takes the first row, multiplied by 0."""
        rows = torch.arange(len(batch), device=batch.y.device)[self.rank :: self.world]
        weight = batch.weight
        each = torch.ones(len(batch), device=batch.y.device) if weight is None else weight
        part = each[rows].double().sum() / each.double().sum().clamp_min(1e-12) * self.world
        rows = rows if len(rows) else torch.zeros(1, dtype=torch.long, device=batch.y.device)
        return Part(batch.x[rows], batch.y[rows], None if weight is None else weight[rows]), part

    def mean(self, value: Tensor) -> Tensor:
        """The mean over all ranks."""
        dist.all_reduce(value)
        return value / self.world


def memory_of(device: torch.device) -> int | None:
    """Bytes that a GPU has; None for a CPU, which is never too small."""
    return torch.cuda.get_device_properties(device).total_memory if device.type == "cuda" else None


def too_large(model: nn.Module, memory: int | None) -> bool:
    """Whether the model and what it is trained with do not fit a device of so much memory."""
    need = 4 * COPIES * sum(p.numel() for p in model.parameters())
    return memory is not None and need > SHARE * memory


def is_split(value: Tensor) -> bool:
    """Whether it is sharded: a `DTensor`, which is not imported for those that are not."""
    return hasattr(value, "to_local")


def local(value: Tensor) -> Tensor:
    """This rank's share of a tensor (all of it, where it is not sharded); in place, changes reach the tensor."""
    own: Tensor = value.to_local() if is_split(value) else value  # type: ignore[attr-defined]
    return own
