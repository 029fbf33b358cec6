"""The keys and sample orders of `rng`, made by the device itself, with the same bits.

A GPU would wait while the host makes them: of 128 lanes and 50,000 samples the orders alone take the host half a second
an epoch.

Shape letters: K lanes, S steps, L layers that draw numbers, N samples.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from automl.training.samples.order import GOLDEN, mix, shifted

U64 = npt.NDArray[np.uint64]


def step_keys(streams: U64, first_steps: Sequence[int], steps: int, device: torch.device) -> Tensor:
    """`rng.step_keys`: int32 `[S, L, 2, K]`; `streams` `[L, K]`: a key for each layer and lane."""
    own = torch.from_numpy(streams.view(np.int64)).to(device)
    first = torch.from_numpy(np.asarray(first_steps, dtype=np.int64)).to(device)
    counts = torch.arange(steps, device=device).unsqueeze(1) + first
    keys = mix(own + (counts * GOLDEN).unsqueeze(1))  # [S, L, K]
    words = keys.view(torch.int32).view(*keys.shape, 2)
    words[..., 1].bitwise_or_(1)
    return words.permute(0, 1, 3, 2).contiguous()


def permutations(order_keys: U64, samples: int, device: torch.device) -> Tensor:
    """`rng.permutations`: int64 `[K, N]`; `order_keys` `[K]`: of each lane in its epoch."""
    keys = torch.from_numpy(order_keys.view(np.int64)).to(device)
    index = torch.arange(samples, device=device)
    hashes = mix(keys.unsqueeze(1) ^ mix((index + 1) * GOLDEN))
    low = (1 << max(1, (samples - 1).bit_length())) - 1
    packed = shifted(hashes, 1).bitwise_and_(~low).bitwise_or_(index)
    return packed.sort(1).values.bitwise_and_(low)


def table(rows: int, columns: int, device: torch.device) -> Tensor:
    """The words of `rng.table`: int32 `[rows, columns]`."""
    index = (torch.arange(rows, device=device).unsqueeze(1) << 32) + torch.arange(columns, device=device)
    return (mix((index + 1) * GOLDEN) >> 32).to(torch.int32)
