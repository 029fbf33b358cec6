"""The test of the referee: paired differences, looked at again after each pair, with one error level for all looks.

After n of N pairs the test may have spent the share (n / N) ** SPENDING of its error level (Lan and DeMets 1983). The
statistic is Student's t of the differences. Its critical values are quantiles among `DRAWS` simulated sequences of
normal differences that have not crossed before, so the level holds for all looks together. Where differences repeat,
as those of an accuracy on few rows do, t is too sure of itself: there the exact sign-flip test has to agree, at the
level times (n / N) ** 2.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from automl.errors import SpecError

FEWEST = 3
"""Pairs before the first look."""
MOST = 16
"""Pairs at most: the sign-flip test counts 2 ** pairs cases."""
SPENDING = 6
"""Late looks get most of the error level, so that the power is close to that of a single look."""
DRAWS = 2**17
"""Simulated sequences, each used with both signs."""

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Look:
    """What one look at the differences shows.

    Attributes:
        pairs: how many there are.
        delta: their mean.
        p: probability of a result like this one, at this look or an earlier one, if there were no difference; of use at
            the last look only: before that, a small value decides nothing.
        interval: for the true mean, at the look's own critical value; it lies above 0 exactly where `t` has crossed it.
        better: whether the mean is shown to be above 0.
        hopeless: whether it is not worth going on: the first three pairs, or five eighths of all, show no gain.
    """

    pairs: int
    delta: float
    p: float
    interval: tuple[float, float]
    better: bool
    hopeless: bool


@dataclass(frozen=True)
class PairedTest:
    """A one-sided test whether paired differences have a mean above 0.

    Args:
        pairs: the maximum number of pairs, from 3 to 16.
        level: the probability that two equal sides are called different, over all looks.
        looks: after how many pairs there may be a look; empty: after each one from the third on.

    Raises:
        SpecError: a number is out of its range.

    Example:
        >>> PairedTest(8).look([0.9, 1.1, 1.0, 1.2, 0.8]).better
        True
    """

    pairs: int = 8
    level: float = 0.05
    looks: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if not FEWEST <= self.pairs <= MOST:
            raise SpecError(f"seeds: {self.pairs} is not a number of seeds from {FEWEST} to {MOST}")
        if not 0.001 <= self.level <= 0.5:
            raise SpecError(f"level: {self.level} is not an error level from 0.001 to 0.5, such as 0.05")

    def look(self, differences: Sequence[float]) -> Look:
        """What the differences show, of which earlier looks have seen all but the last ones.

        Args:
            differences: one for each pair, at least three, above 0 where the second side is better.
        """
        values = np.asarray(differences, dtype=np.float64)
        n, delta = len(values), float(values.mean())
        error = float(values.std(ddof=1)) / math.sqrt(n)
        t = _ratio(delta, error)
        null = _null(self.pairs, self.level, self.looks)[n]
        exact = sign_flip(values) if _repeats(values) else 0.0
        crossed = t > null.bound and exact <= self.level * (n / self.pairs) ** 2
        half = 0.0 if error == 0 else null.bound * error
        late = n >= FEWEST and n >= math.ceil(self.pairs * 5 / 8) and delta <= 0
        hopeless = late or (n == FEWEST and bool((values <= 0).all()))
        return Look(n, delta, max(null.p(t), exact), (delta - half, delta + half), crossed, hopeless)


def sign_flip(values: Floats) -> float:
    """The exact one-sided p-value of the mean: the share of all 2 ** n choices of signs with one as high (Fisher)."""
    n = len(values)
    signs = 1 - 2 * ((np.arange(2**n)[:, None] >> np.arange(n)) & 1)
    sums = signs @ np.abs(values)
    return float(np.mean(sums >= values.sum() - 1e-9 * np.abs(values).sum()))


def _repeats(values: Floats) -> bool:
    """Whether some of the differences are equal in size, or 0."""
    sizes = np.sort(np.abs(values))
    return bool(sizes[0] == 0 or (np.diff(sizes) <= 1e-9 * sizes[-1]).any())


def _ratio(delta: float, error: float) -> float:
    if error > 0:
        return delta / error
    return math.copysign(math.inf, delta) if delta else 0.0


@dataclass(frozen=True)
class _Null:
    """One look at sides that do not differ. `waiting`: sorted t of the sequences that have not crossed before."""

    bound: float
    waiting: Floats

    def p(self, t: float) -> float:
        """The share of all sequences that crossed before, or have a value as high."""
        return 1 - float(np.searchsorted(self.waiting, t)) / (2 * DRAWS)


@cache
def _null(pairs: int, level: float, looks: tuple[int, ...]) -> dict[int, _Null]:
    """Simulated looks at sides that do not differ, by number of pairs; the bound is infinite where there is no look."""
    drawn = np.random.default_rng(20260101).standard_normal((pairs, DRAWS))
    count = np.arange(1, pairs + 1)[:, None]
    mean = np.cumsum(drawn, axis=0) / count
    spread = np.maximum(np.cumsum(drawn**2, axis=0) - count * mean**2, 1e-300)
    with np.errstate(divide="ignore"):
        ratios = mean * np.sqrt(count * (count - 1.0) / spread)
    reached = np.concatenate([ratios, -ratios], axis=1)
    stays = np.ones(2 * DRAWS, dtype=bool)
    made, spent = {}, 0
    for n in range(FEWEST, pairs + 1):
        waiting = np.sort(reached[n - 1][stays])
        allowed = int(level * (n / pairs) ** SPENDING * 2 * DRAWS) - spent if n in looks or not looks else 0
        made[n] = _Null(float(waiting[-allowed - 1]) if allowed else math.inf, waiting)
        spent += allowed
        stays &= reached[n - 1] <= made[n].bound
    return made
