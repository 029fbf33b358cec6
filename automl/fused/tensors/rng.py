"""Random numbers without state: every number is a function of (lane seed, step, layer, element), never of the cohort.

A lane therefore draws the same masks and the same sample order in any slot, together with any other lanes, after it
was saved and restored, and alone. Nothing is stored, so there is nothing to save or restore, and CUDA graphs may replay
it. Keys are mixed in 64 bit (splitmix64, Steele et al. 2014), here or by the device (`device_rng`); masks expand a
32-bit key over a fixed table with one multiplication, in plain int32 tensor operations that give the same bits on every
device.

Shape letters: K lanes, S steps, L layers that draw numbers, B batch, N samples.
"""

from collections.abc import Sequence
from functools import lru_cache
from hashlib import blake2b

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from automl.fused.tensors import device_rng

U64 = npt.NDArray[np.uint64]
GOLDEN = np.uint64(0x9E3779B97F4A7C15)
HALF = 1 << 30
CPU = torch.device("cpu")


def mix(x: U64) -> U64:
    """splitmix64's finalizer on an array of uint64; a bijection, so different inputs never collide."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def salt(name: str) -> int:
    """A 64-bit number for a purpose or a layer, from its name alone: depth padding does not renumber layers."""
    return int.from_bytes(blake2b(name.encode(), digest_size=8).digest(), "big")


def _streams(seeds: Sequence[int], purposes: Sequence[str]) -> U64:
    """uint64 `[L, K]`: one key for each (purpose, lane)."""
    lanes = np.asarray(seeds, dtype=np.uint64)
    salts = np.asarray([salt(name) for name in purposes], dtype=np.uint64).reshape(-1, 1)
    with np.errstate(over="ignore"):
        return mix(mix(lanes + GOLDEN)[None, :] ^ salts)


def step_keys(seeds: Sequence[int], first_steps: Sequence[int], steps: int, layers: Sequence[str],
              device: torch.device = CPU) -> Tensor:  # fmt: skip
    """int32 `[S, L, 2, K]`: two key words (the second odd) per step, layer, lane; lane k starts at `first_steps[k]`."""
    own = _streams(seeds, layers)
    if device.type != "cpu":
        return device_rng.step_keys(own, first_steps, steps, device)
    counts = np.asarray(first_steps, dtype=np.uint64)[None, :] + np.arange(steps, dtype=np.uint64)[:, None]
    with np.errstate(over="ignore"):
        keys = mix(own[None, :, :] + (counts * GOLDEN)[:, None, :])
    words = keys.view(np.int32).reshape(*keys.shape, 2)
    words[..., 1] |= 1
    return torch.from_numpy(np.ascontiguousarray(np.moveaxis(words, -1, 2)))


def permutations(seeds: Sequence[int], epochs: Sequence[int], samples: int, device: torch.device | str) -> Tensor:
    """int64 `[K, N]`: each lane's own sample order in its own epoch, by sorting hashes that carry their index."""
    where, keys = torch.device(device), _order_keys(seeds, epochs)
    if where.type != "cpu":
        return device_rng.permutations(keys, samples, where)
    bits = np.uint64(max(1, (samples - 1).bit_length()))
    with np.errstate(over="ignore"):
        index = np.arange(samples, dtype=np.uint64)
        spread = mix((index + np.uint64(1)) * GOLDEN)
        hashes = mix(keys[:, None] ^ spread[None, :])
    low = (np.uint64(1) << bits) - np.uint64(1)
    packed = ((hashes >> np.uint64(1)) & ~low) | index[None, :]
    packed.sort(axis=1)
    return torch.from_numpy((packed & low).astype(np.int64))


def _order_keys(seeds: Sequence[int], epochs: Sequence[int]) -> U64:
    """uint64 `[K]`: what each lane's sample order in its epoch depends on."""
    with np.errstate(over="ignore"):
        steps = (np.asarray(epochs, dtype=np.uint64) * GOLDEN).astype(np.uint64)
        return mix(_streams(seeds, ["order"])[0] + steps)


@lru_cache(maxsize=1024)
def _table(rows: int, columns: int, device: str) -> Tensor:
    """int32 `[rows, columns]`: a fixed random word for each element; (row, column) has the same word in any width."""
    where = torch.device(device)
    if where.type != "cpu":
        return device_rng.table(rows, columns, where)
    with np.errstate(over="ignore"):
        index = (np.arange(rows, dtype=np.uint64)[:, None] << np.uint64(32)) + np.arange(columns, dtype=np.uint64)
        words = (mix(((index + np.uint64(1)) * GOLDEN).astype(np.uint64)) >> np.uint64(32)).astype(np.uint32)
    return torch.from_numpy(words.view(np.int32))


def table(shape: torch.Size, device: torch.device) -> Tensor:
    """int32 words for the elements of one lane's tensor of `shape`, flattened: `[elements]`."""
    columns = shape[-1] if len(shape) else 1
    return _table(max(1, shape.numel() // max(1, columns)), columns, str(device)).reshape(-1)


def thresholds(drop: npt.NDArray[np.float64]) -> tuple[Tensor, Tensor]:
    """int32 keep-thresholds and the bits of float32 `1 / (1 - p)`, both shaped like `drop` (probabilities p)."""
    keep = np.clip(1.0 - drop, 0.0, 1.0)
    limits = np.round(keep * 2.0 * HALF).astype(np.int64) - HALF
    scales = np.where(keep > 0, 1.0 / np.maximum(keep, 1e-12), 0.0).astype(np.float32)
    return torch.from_numpy(limits.astype(np.int32)), torch.from_numpy(scales.view(np.int32))


def keep_mask(words: Tensor, flip: Tensor, times: Tensor, limits: Tensor, scales: Tensor, out: Tensor) -> Tensor:
    """float32 `[K, E]`: 0 where dropped, `1 / (1 - p)` where kept.

    `words`: int32 `[1, E]`, the elements' fixed random words (`table`); `flip`, `times` (odd): the two key words and
    `limits`, `scales` (`thresholds`) of each lane, int32 `[K, 1]`. Six integer passes in place of `out`, int32
    `[K, E]`: an element's word, changed by the first key and multiplied by the second (multiply-shift hashing,
    Dietzfelbinger et al. 1997), against the lane's limit. The result is a view of `out`.
    """
    x = torch.bitwise_xor(words, flip, out=out).mul_(times).bitwise_right_shift_(1)
    return x.sub_(limits).bitwise_right_shift_(31).bitwise_and_(scales).view(torch.float32)


def uniforms(words: Tensor, flip: Tensor, times: Tensor) -> Tensor:
    """float64 `[K, E]` in (0, 1), on a grid of 2^-24: for augmentation, where single numbers matter.

    `words`, `flip`, `times`: as for `keep_mask`. The product is mixed once more (two multiplications and shifts, the
    constants are those of Wellons 2018, "lowbias32"), so that numbers drawn with one key are not lines of a lattice.
    """
    x = torch.bitwise_xor(words, flip).mul_(times)
    for shift, factor in ((16, 0x7FEB352D), (15, 0x846CA68B - (1 << 32))):
        x = x.bitwise_xor_((x >> shift).bitwise_and_((1 << (32 - shift)) - 1)).mul_(factor)
    x = x.bitwise_xor_((x >> 16).bitwise_and_(0xFFFF))
    return (x >> 8).bitwise_and_(0xFFFFFF).double().add_(0.5).mul_(2.0**-24)


def normals(words: Tensor, flip: Tensor, times: Tensor, dtype: torch.dtype) -> Tensor:
    """Standard normal numbers `[K, E]` (Box & Muller 1958); E a multiple of 64.

    So no lane's numbers are in the rest of a row that vector loops leave to other instructions, and a lane has the same
    bits beside any others.
    """
    first, second = uniforms(words, flip, times).to(dtype).chunk(2, 1)
    radius, angle = first.contiguous().log_().mul_(-2.0).sqrt_(), second.contiguous().mul_(2.0 * np.pi)
    return torch.cat([radius * angle.cos(), radius * angle.sin()], 1)
