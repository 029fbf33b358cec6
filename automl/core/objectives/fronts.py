"""Fronts of points with several values, lower is better: which point dominates which, and by how much it counts.

A point dominates another one if it is nowhere worse and somewhere better. Front 1 is what no point dominates; front 2
is what only points of front 1 dominate; and so on (Deb et al., "A Fast and Elitist Multiobjective Genetic Algorithm:
NSGA-II", 2002). Within a front, a point counts by its hypervolume contribution: the volume that it alone dominates
(Beume et al., "SMS-EMOA", 2007).

Shapes: `n` points, `m` objectives.
"""

import bisect

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]
MARGIN = 0.1
"""How far beyond the worst value of a front the reference point of its hypervolume lies, as a share of its range."""
SAMPLES = 4096
"""Points at which the contributions of three and more objectives are estimated."""
WIDE = 100.0
"""An objective with positive values only, whose largest is so many times the smallest, is seen on a log scale."""


def front_numbers(values: Values) -> NDArray[np.int64]:
    """The front of each point of `values` [n, m], counted from 1; equal points share theirs. [n]

    Points are taken in lexicographic order, so that each one is compared only with those before it, and its front is
    found by bisection (Zhang et al., "An Efficient Approach to Nondominated Sorting", 2015).
    """
    distinct, place = np.unique(values, axis=0, return_inverse=True)  # sorted lexicographically
    if values.shape[1] == 1:
        found = np.arange(1, len(distinct) + 1)
    else:
        found = _two(distinct) if values.shape[1] == 2 else _several(distinct)
    numbers: NDArray[np.int64] = found[place.reshape(-1)]
    return numbers


def _two(points: Values) -> NDArray[np.int64]:
    """`front_numbers` of distinct, sorted points [n, 2]: a front dominates a point if its lowest second value does."""
    lowest: list[float] = []  # the lowest second value of each front, which rises from front to front
    found = np.empty(len(points), dtype=np.int64)
    for k, second in enumerate(points[:, 1].tolist()):
        front = bisect.bisect_right(lowest, second)
        lowest[front : front + 1] = [second]
        found[k] = front + 1
    return found


def _several(points: Values) -> NDArray[np.int64]:
    """`front_numbers` of distinct, sorted points [n, m]."""
    fronts: list[list[int]] = []
    found = np.empty(len(points), dtype=np.int64)
    for k, point in enumerate(points):
        low, high = 0, len(fronts)  # the first front without a point that dominates this one lies between them
        while low < high:
            middle = (low + high) // 2
            dominated = bool((points[fronts[middle]] <= point).all(axis=1).any())
            low, high = (middle + 1, high) if dominated else (low, middle)
        if low == len(fronts):
            fronts.append([])
        fronts[low].append(k)
        found[k] = low + 1
    return found


def scaled(values: Values) -> Values:
    """Each objective of a front [n, m] from 0 (its best value) to 1 (its worst); see `WIDE`. [n, m]"""
    columns = []
    for column in values.T:
        if column.min() > 0 and column.max() >= WIDE * column.min():
            column = np.log(column)
        low, high = column.min(), column.max()
        columns.append((column - low) / (high - low) if high > low else np.zeros(len(column)))
    return np.stack(columns, axis=1)


def contributions(front: Values) -> Values:
    """The hypervolume contribution of each point of one front [n, m], after `scaled`. [n]

    The reference point lies `MARGIN` beyond the worst value. Exact for two objectives; for more the share of a fixed,
    evenly spread set of points that it alone dominates. Of equal points, none dominates anything alone.
    """
    points = scaled(front)
    n, m = points.shape
    if m == 1 or n == 1:
        return np.ones(n)
    if m == 2:
        order = np.lexsort((points[:, 1], points[:, 0]))
        first, second = points[order].T
        wide = np.append(first[1:], 1.0 + MARGIN) - first
        high = np.insert(second[:-1], 0, 1.0 + MARGIN) - second
        result = np.empty(n)
        result[order] = wide * high
        return result
    spread = _evenly_spread(m) * (1.0 + MARGIN)
    alone, seen = np.zeros(n), np.zeros(SAMPLES, dtype=np.int64)
    below = [(point <= spread).all(axis=1) for point in points]
    for inside in below:
        seen += inside
    for k, inside in enumerate(below):
        alone[k] = (inside & (seen == 1)).mean()
    return alone


def knee(front: Values) -> int:
    """The row of a front [n, m] with the lowest sum of objectives after `scaled`; the first of equals.

    With two objectives it lies farthest below the line through the front's ends (Das, "On characterizing the knee of
    the Pareto curve", 1999): from there on, what is gained in one of them costs more in the other.
    """
    return int(scaled(front).sum(axis=1).argmin())


def _evenly_spread(m: int) -> Values:
    """`SAMPLES` points of the unit cube with m coordinates [SAMPLES, m]: multiples of the generalized golden ratio."""
    ratio = 2.0
    for _ in range(60):
        ratio = (1.0 + ratio) ** (1.0 / (m + 1))  # the root of x^(m + 1) = x + 1
    steps = ratio ** -np.arange(1, m + 1)
    points: Values = (0.5 + np.arange(1, SAMPLES + 1)[:, None] * steps) % 1.0
    return points


def hypervolume(front: Values, reference: Values) -> float:
    """The area that points [n, 2] dominate below `reference` [2]; points beyond it count for nothing."""
    inside = front[(front < reference).all(axis=1)]
    area, height = 0.0, float(reference[1])
    for first, second in inside[np.lexsort((inside[:, 1], inside[:, 0]))].tolist():
        if second < height:
            area += (float(reference[0]) - first) * (height - second)
            height = second
    return area
