"""The initial design: the points of a scrambled Sobol sequence, which cover the space evenly.

Sobol (1967) with the direction numbers of Joe and Kuo (2008), scrambled by random linear maps (Matousek 1998) and a
random shift. The points are those of `scipy.stats.qmc.Sobol`, bit by bit; but to import `scipy.stats` takes longer than
many a trial, so they are computed here, from scipy's table of direction numbers.
"""

from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from automl.core import seeds
from automl.core.history import History
from automl.core.space import Config

MOST_DIMENSIONS = 1000
"""Coordinates beyond this are random."""
BLOCK = 256
"""Points that are computed at once."""
BITS = 30
"""Binary digits of a coordinate; the sequence repeats after 2^BITS points."""


def sobol(history: History, k: int) -> Config:
    """The config of the k-th next trial in the study's Sobol sequence."""
    number = history.next_number + k
    dim = history.space.dim
    block = _block(dim, seeds.derive(history.seed, "sobol"), number // BLOCK)
    point = block[number % BLOCK]
    if dim > MOST_DIMENSIONS:
        point = np.concatenate([point, history.rng(k, "sobol").random(dim - MOST_DIMENSIONS)])
    return history.space.decode(point)


@lru_cache(maxsize=16)
def _block(dim: int, seed: int, index: int) -> NDArray[np.float64]:
    """`BLOCK` points of the sequence [BLOCK, dim]."""
    dim = max(1, min(dim, MOST_DIMENSIONS))
    if (table := _table()) is None:
        return by_scipy(dim, seed, index)
    numbers = np.arange(index * BLOCK, (index + 1) * BLOCK)
    directions, shift = _scrambled(_directions(dim, *table), np.random.default_rng(seed).spawn(1)[0])
    gray = numbers ^ numbers >> 1  # neighbours differ in one digit
    points_in_bits = np.broadcast_to(shift, (BLOCK, dim)).copy()
    for digit in range(BITS):
        points_in_bits ^= (gray[:, None] >> digit & 1) * directions[:, digit]
    points: NDArray[np.float64] = points_in_bits / 2**BITS
    return points


def by_scipy(dim: int, seed: int, index: int) -> NDArray[np.float64]:
    """The same points from scipy."""
    from scipy.stats import qmc

    engine = qmc.Sobol(dim, scramble=True, rng=np.random.default_rng(seed))
    if index:
        engine.fast_forward(index * BLOCK)
    points: NDArray[np.float64] = engine.random(BLOCK)
    return points


def _table() -> tuple[NDArray[np.int64], NDArray[np.int64]] | None:
    """The polynomials and initial direction numbers in scipy's folder; None: this scipy keeps them elsewhere."""
    spec = find_spec("scipy")
    file = Path(spec.origin).parent / "stats" / "_sobol_direction_numbers.npz" if spec and spec.origin else None
    if file is None or not file.is_file():
        return None
    with np.load(file) as stored:
        return stored["poly"].astype(np.int64), stored["vinit"].astype(np.int64)


def _directions(dim: int, polynomials: NDArray[np.int64], initial: NDArray[np.int64]) -> NDArray[np.int64]:
    """Direction numbers [dim, BITS] by the recurrence of Joe and Kuo (2003), equation 2, times 2^(BITS - 1 - digit)."""
    rows = [[1] * BITS]
    for polynomial, first in zip(polynomials[1:dim].tolist(), initial[1:dim].tolist(), strict=True):
        degree = polynomial.bit_length() - 1
        row = first[:degree]
        for j in range(degree, BITS):
            number = row[j - degree]
            for k in range(1, degree + 1):
                if polynomial >> degree - k & 1:
                    number ^= row[j - k] << k
            row.append(number)
        rows.append(row[:BITS])
    return np.array(rows, dtype=np.int64) << np.arange(BITS - 1, -1, -1)


def _scrambled(directions: NDArray[np.int64], rng: np.random.Generator) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Direction numbers [dim, BITS] mapped by a random lower triangular matrix of bits each, and a shift [dim]."""
    dim, powers = len(directions), 2 ** np.arange(BITS)
    shift = rng.integers(2, size=(dim, BITS), dtype=np.uint32).astype(np.int64) @ powers
    maps = np.tril(rng.integers(2, size=(dim, BITS, BITS), dtype=np.uint32)).astype(np.int64)
    maps[:, range(BITS), range(BITS)] = 1
    bits = directions[:, :, None] >> np.arange(BITS - 1, -1, -1) & 1  # the most significant first
    return (bits @ maps.transpose(0, 2, 1) % 2) @ powers[::-1], shift
