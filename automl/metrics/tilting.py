"""An interval for a mean of skewed values: all tilted versions of the values that could have given the mean seen.

Nonparametric tilting (Efron 1981, "Nonparametric standard errors and confidence intervals", section 11; DiCiccio and
Romano 1990): values z_i get weights that grow or fall as exp(l z_i). For each l this is a population with a mean of its
own. An end of the interval is the mean of the population in which a sample's mean as low (or as high) as the one seen
comes in 2.5 % of cases. How often it comes is told by the saddlepoint formula (Barndorff-Nielsen 1986; Reid 1988), so
nothing is drawn at random.

Measured against the bootstrap-t of the logarithm in docs/decisions/honest.md: it holds as often or more, and is never
absurdly wide, as no end lies beyond the largest value.
"""

import math
from collections.abc import Callable
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
FARTHEST = 60.0  # standard errors from the mean seen that an end may lie away, in the scale of l
NEAR = 0.05  # the formula is 0/0 at the mean itself


def interval(values: Floats, seen: float, n: int, level: float = 0.95) -> tuple[float, float]:
    """For the mean of what `n` values with the mean `seen` were drawn from.

    `values`: [N] the distribution's shape: those n and others like them. One more, as large as the largest, is added:
    what comes next may be as bad as the worst known.
    """
    values = np.append(values, values.max())
    middle, scale = float(values.mean()), float(values.std())
    if scale <= 1e-12 * abs(middle) or not math.isfinite(scale):
        return (seen, seen)
    tilted = Tilted((values - middle) / scale)
    z = (seen - middle) / scale
    low, high = tilted.values.min(), tilted.values.max()
    margin = 1e-6 * (high - low)
    z = float(min(max(z, low + margin), high - margin))
    at = tilted.with_mean(z)
    step = 1 / math.sqrt(n * tilted.moments(at)[2])

    def end(side: float, share: float) -> float:
        off = _crossing(lambda k: tilted.below(at + side * k * step, at, z, n) - share, side)
        return middle + scale * tilted.moments(at + side * off * step)[1]

    tail = (1 - level) / 2
    return (min(end(-1.0, 1 - tail), seen), max(end(1.0, tail), seen))


class Tilted:
    """The family of populations over `values` [N] (mean near 0, standard deviation near 1)."""

    def __init__(self, values: Floats) -> None:
        self.values = values

    def moments(self, tilt: float) -> tuple[float, float, float]:
        """The cumulant function at `tilt`, and mean and variance of the tilted population."""
        exponent = tilt * self.values
        top = exponent.max()
        weights = np.exp(exponent - top)
        total = weights.sum()
        weights /= total
        mean = float(weights @ self.values)
        variance = float(weights @ (self.values - mean) ** 2)
        return float(top + math.log(total / len(weights))), mean, max(variance, 1e-300)

    def with_mean(self, mean: float) -> float:
        """The tilt of the population that has this mean, which lies between the smallest and the largest value."""
        from scipy.optimize import brentq

        low, high = -1.0, 1.0
        while self.moments(low)[1] > mean and low > -1e12:
            low *= 2
        while self.moments(high)[1] < mean and high < 1e12:
            high *= 2
        return float(brentq(lambda tilt: self.moments(tilt)[1] - mean, low, high, xtol=1e-12 * (high - low)))

    def below(self, tilt: float, at: float, mean: float, n: int) -> float:
        """How often `n` values of the population at `tilt` have a mean of at most `mean`, which is that of `at`."""
        at_zero, _, variance = self.moments(at)
        gap = at - tilt
        square = 2 * n * (gap * mean - at_zero + self.moments(tilt)[0])
        r = math.copysign(math.sqrt(max(square, 1e-18)), gap)
        u = gap * math.sqrt(n * variance)
        return NormalDist().cdf(r + math.log(u / r) / r)


def _crossing(function: Callable[[float], float], side: float) -> float:
    """Where `function`, which moves from one sign to the other away from 0, is 0; `FARTHEST` where it never is."""
    from scipy.optimize import brentq

    before, after = NEAR, 2.0
    if function(before) * side < 0:
        return before
    while function(after) * side > 0:
        before, after = after, after * 1.5
        if after > FARTHEST:
            return FARTHEST
    return float(brentq(function, before, after, xtol=1e-6))
