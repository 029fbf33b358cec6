"""The order in which samples in memory are drawn where steps are no epochs: any part of it, without the rest.

A number of the order is a function of the seed and its place alone, so a trial that goes on in the middle of an epoch
draws what it would have drawn, and a step costs as much as its own samples, however long an epoch is. The order of an
epoch is a Feistel network over the places (Luby & Rackoff 1988), with the results that are no sample sent
through it again until they are one ("cycle walking", Black & Rogaway 2002).

torch has no unsigned 64-bit arithmetic on every device; in int64, sums and products have the same bits, and a logical
shift is an arithmetic one whose upper bits are cleared.

Shape letters: K lanes, M places.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

MOST_ROUNDS = 12


def _rounds(bits: int) -> int:
    """Rounds of the network for numbers of so many bits: with short halves the bias goes away slowly (measured)."""
    return MOST_ROUNDS if bits <= 10 else 6 if bits <= 16 else 4


def signed(value: int) -> int:
    """The int64 with the bits of a uint64."""
    return value - (1 << 64) if value >= 1 << 63 else value


GOLDEN, FIRST, SECOND = signed(0x9E3779B97F4A7C15), signed(0xBF58476D1CE4E5B9), signed(0x94D049BB133111EB)
APART = [signed(k * 0xD6E8FEB86659FD93 % (1 << 64)) for k in range(MOST_ROUNDS)]


def shifted(x: Tensor, bits: int) -> Tensor:
    """A logical shift of int64 to the right."""
    return (x >> bits).bitwise_and_((1 << (64 - bits)) - 1)


def mix(x: Tensor) -> Tensor:
    """splitmix64's finalizer (Steele et al. 2014) on int64, which is overwritten; a bijection."""
    x = x.bitwise_xor_(shifted(x, 30)).mul_(FIRST)
    x = x.bitwise_xor_(shifted(x, 27)).mul_(SECOND)
    return x.bitwise_xor_(shifted(x, 31))


def drawn(seeds: Sequence[int], first: Sequence[int], count: int, samples: int, device: torch.device | str) -> Tensor:
    """int64 `[K, count]`: the samples at the places `first[k]` to `first[k] + count - 1` of each lane's order.

    Args:
        seeds: of the lanes.
        first: place p is the one with number p % samples in epoch p // samples.
        count: how many places.
        samples: how many samples there are; each comes once an epoch.
        device: where they are computed.
    """
    lanes = mix(torch.tensor([signed(s) for s in seeds], device=device) + GOLDEN).unsqueeze(1)
    places = torch.tensor(first, device=device).unsqueeze(1) + torch.arange(count, device=device)
    epochs = places // samples
    keys = mix(lanes + epochs * GOLDEN)
    return _permuted((places - epochs * samples).flatten(), keys.flatten(), samples).view(len(seeds), count)


def _permuted(places: Tensor, keys: Tensor, samples: int) -> Tensor:
    """Places `[M]` below `samples` sent to samples, by the permutation of each one's key `[M]`."""
    bits = max(2, (samples - 1).bit_length())
    found = _network(places, keys, bits)
    walking = torch.nonzero(found >= samples).flatten()
    while len(walking):
        again = _network(found[walking], keys[walking], bits)
        found[walking] = again
        walking = walking[again >= samples]
    return found


def _network(x: Tensor, keys: Tensor, bits: int) -> Tensor:
    """A permutation of the numbers below 2^bits for each key."""
    low = bits // 2
    high = bits - low
    left, right = x >> low, x & ((1 << low) - 1)  # of `high` and `low` bits
    for k in range(_rounds(bits)):
        own = keys + APART[k]  # far apart, so that no two rounds mix the same numbers
        if k % 2 == 0:
            left = left ^ shifted(mix(right ^ own), 64 - high)
        else:
            right = right ^ shifted(mix(left ^ own), 64 - low)
    return (left << low) | right
