"""Several devices for one trial: each rank trains on its share of every batch, and gradients are averaged.

Every rank holds the whole model (torch's DDP), or a shard of it if it is too large for one device (see `fsdp`). A batch
is divided among the ranks row by row, and its loss is the mean over all of its rows, as on one device. Batch norm sees
only a rank's own rows. Weights and sample order are the same on all ranks, dropout masks are not.
"""

import inspect
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch import distributed as dist

from automl.data.prepared import Part

COPIES = 4
"""Float32 tensors that training holds per parameter: itself, its gradient and two moments."""
MEMORY_SHARE = 0.8
"""Share of a device's memory that they may take; activations need the rest."""


@dataclass(frozen=True)
class Rank:
    """One of `world` processes that train a model together.

    Args:
        rank: this process's number, from 0.
        world: number of processes.
        memory: bytes of memory that this rank's device has; None: ask the device.
    """

    rank: int
    world: int
    memory: int | None = None

    def replicate(self, model: nn.Module, device: torch.device) -> nn.Module:
        """Wrap `model` in torch's DDP: its gradients are averaged over all ranks during the backward pass."""
        ids = [device] if device.type == "cuda" else None
        own: dict[str, Any] = {own_buffers(): False}
        return nn.parallel.DistributedDataParallel(model, device_ids=ids, **own)

    def should_shard(
        self, model: nn.Module, device: torch.device, parallel: Literal["auto", "replicate", "shard"]
    ) -> bool:
        """Whether the model is to be sharded. A collective: with `auto`, the rank with the least memory decides."""
        if parallel != "auto":
            return parallel == "shard"
        memory = self.memory if self.memory is not None else memory_of(device)
        large = torch.tensor(float(too_large(model, memory)), device=device)
        dist.all_reduce(large, dist.ReduceOp.MAX)
        return bool(large)

    def shard(self, model: nn.Module, device: torch.device) -> nn.Module:
        """Divide the model's parameters among all ranks; see `fsdp.shard`."""
        from automl.training.distributed import fsdp  # takes a second to import

        return fsdp.shard(model, device, self.world)

    def share(self, batch: Part) -> tuple[Part, Tensor]:
        """This rank's rows of a batch, and the factor of their mean loss.

        Returns:
            The rows, and a scalar (float64) by which their mean loss is multiplied, so that the average over ranks is
            the mean loss of the batch. A rank without a row gets the batch's first row with factor 0.
        """
        rows = torch.arange(len(batch), device=batch.y.device)[self.rank :: self.world]
        weight = batch.weight
        per_row = torch.ones(len(batch), device=batch.y.device) if weight is None else weight
        factor = per_row[rows].double().sum() / per_row.double().sum().clamp_min(1e-12) * self.world
        rows = rows if len(rows) else torch.zeros(1, dtype=torch.long, device=batch.y.device)
        return Part(batch.x[rows], batch.y[rows], None if weight is None else weight[rows]), factor

    def rows(self, count: int) -> tuple[Tensor, int]:
        """This rank's rows of `count` that are evaluated, and how many of them are its own.

        Every rank has equally many, as all of them have to meet in each call of a sharded model: at the end of some
        stands the last row of all, once more.
        """
        rows = torch.arange(-(-count // self.world)) * self.world + self.rank
        return rows.clamp_max(count - 1), int((rows < count).sum())

    def gather(self, own: Tensor, count: int) -> Tensor | None:
        """On rank 0 what all ranks have computed for their `rows(count)`, in the order of the rows; elsewhere None."""
        own = own.contiguous()
        parts = [torch.empty_like(own) for _ in range(self.world)] if self.rank == 0 else None
        dist.gather(own, parts)
        return None if parts is None else torch.stack(parts, 1).flatten(0, 1)[:count]

    def take_over(self, values: Iterable[Tensor]) -> None:
        """Give these tensors the values that they have on rank 0, but for views, which are no statistics."""
        for value in values:
            if value.is_contiguous():
                dist.broadcast(value, 0)

    def mean(self, value: Tensor) -> Tensor:
        """The mean of `value` over all ranks."""
        dist.all_reduce(value)
        return value / self.world


@lru_cache
def own_buffers() -> str:
    """The argument of torch's DDP that has ranks keep their own buffers: torch 2.13 has renamed it."""
    names = inspect.signature(nn.parallel.DistributedDataParallel.__init__).parameters
    return "forward_sync_buffers" if "forward_sync_buffers" in names else "broadcast_buffers"


def memory_of(device: torch.device) -> int | None:
    """Bytes of memory of a GPU; None for a CPU, which is never too small."""
    return torch.cuda.get_device_properties(device).total_memory if device.type == "cuda" else None


def too_large(model: nn.Module, memory: int | None) -> bool:
    """Whether training `model` needs more than a device with `memory` bytes has."""
    needed = 4 * COPIES * sum(p.numel() for p in model.parameters())
    return memory is not None and needed > MEMORY_SHARE * memory
