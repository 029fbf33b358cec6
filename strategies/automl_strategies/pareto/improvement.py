"""How much of the front a point is expected to gain: exactly for two objectives, by random weights for more.

Shapes: `M` points, `n` observations, `m` objectives, `p` points of a front.
"""

import numpy as np
from scipy.special import ndtr

from automl.core.objectives.fronts import front_numbers
from automl_strategies.surrogates.observations import Floats

MARGIN = 0.1
"""How far the reference point lies beyond the worst value seen, in units of the transformed losses. With a reference
point at the ends of the front itself, the search does not extend these: a share of .60 instead of .98 on zdt1."""
DIRECTIONS, DRAWS = 64, 12
"""Of the estimate for three and more objectives."""
SHRUNK = 0.3
"""Its draws have deviations so many times those of the processes: losses that are all good at once by luck would lead
to where the least is known. On dtlz2 after 50 trials a share of .42 with 1, .48 to .59 with 0.3, .45 with 0.17."""
AUGMENTATION = 0.05
"""Weight of the sum of all objectives beside the largest one (Knowles 2006)."""


def front_of(losses: Floats) -> Floats:
    """The rows of `losses` [n, 2] that no other row dominates, the first column rising. [p, 2]"""
    return np.unique(losses[front_numbers(losses) == 1], axis=0) if len(losses) else losses


def reference(losses: Floats) -> Floats:
    """The reference point for losses [n, m]. [m]"""
    worst: Floats = losses.max(axis=0) + MARGIN
    return worst


def expected_hypervolume_improvement(mean: Floats, variance: Floats, front: Floats, corner: Floats) -> Floats:
    """The expected gain of hypervolume at points whose two losses are independent and normal. [M]

    Between the points of the front, the area that it does not dominate is a row of strips, each without a lower end.
    The gain in a strip is a product of one factor for each loss, so its expectation is, too (Emmerich et al.,
    "Hypervolume-based expected improvement", 2011): (psi1(right) - psi1(left)) psi2(height), psi(a) = E[(a - f)+].

    Args:
        mean, variance: of the losses at M points [M, 2].
        front: the points of the front, see `front_of` [p, 2].
        corner: the reference point [2]; what lies beyond it does not count.
    """
    inside = front[(front < corner).all(axis=1)]
    deviation = np.sqrt(variance)
    ends = np.append(inside[:, 0], corner[0])  # the right ends of the strips [p + 1]
    heights = np.insert(inside[:, 1], 0, corner[1])  # [p + 1]
    across = _below(ends[None, :], mean[:, :1], deviation[:, :1])  # [M, p + 1]
    widths = np.diff(across, axis=1, prepend=0.0)
    gain: Floats = (widths * _below(heights[None, :], mean[:, 1:], deviation[:, 1:])).sum(axis=1)
    return np.maximum(gain, 0.0)


def _below(level: Floats, mean: Floats, deviation: Floats) -> Floats:
    """E[(level - f)+] of a normal f."""
    z = (level - mean) / deviation
    result: Floats = deviation * (z * ndtr(z) + np.exp(-0.5 * z * z) / np.sqrt(2 * np.pi))
    return result


def sampled_improvement(
    mean: Floats, variance: Floats, front: Floats, corner: Floats, rng: np.random.Generator
) -> Floats:
    """An estimate of the expected gain of hypervolume for any number of independent, normal losses. [M]

    The hypervolume is, up to a constant, the mean over directions of the m-th power of how far one gets from the
    reference point in that direction before one leaves what is dominated (Zhang & Golovin, "Random Hypervolume
    Scalarizations", ICML 2020). So is its gain, for each draw of the losses.

    Args:
        mean, variance: of the losses at M points [M, m].
        front: the losses that are known [n, m].
        corner: the reference point [m].
        rng: draws the directions and the losses, the same ones for all points.
    """
    count = mean.shape[1]
    directions = np.abs(rng.standard_normal((DIRECTIONS, count)))
    directions /= np.sqrt((directions**2).sum(axis=1, keepdims=True))
    known = ((corner - front)[:, None, :] / directions).min(axis=2).clip(0.0).max(axis=0) ** count  # [D]
    gain = np.zeros(len(mean))
    for draw in rng.standard_normal((DRAWS, count)):
        losses = mean + SHRUNK * np.sqrt(variance) * draw
        reached = ((corner - losses)[:, None, :] / directions).min(axis=2).clip(0.0) ** count  # [M, D]
        gain += np.maximum(reached - known, 0.0).mean(axis=1)
    return gain / DRAWS


def scalarized(losses: Floats, rng: np.random.Generator) -> Floats:
    """One loss for each row of `losses` [n, m], by random weights. [n]

    The augmented Tchebycheff distance from the best values (Knowles, "ParEGO", 2006): each weight leads to another
    point of the front, also where the front is not convex.
    """
    weights = rng.dirichlet(np.ones(losses.shape[1]))
    weighted = weights * (losses - losses.min(axis=0))
    result: Floats = weighted.max(axis=1) + AUGMENTATION * weighted.sum(axis=1)
    return result
