"""What the halving stoppers share: the steps at which trials are compared, and how well one predicts the next."""

import math
from collections.abc import Mapping
from functools import lru_cache

import numpy as np

from automl.core.history import History


def first_rung(horizon: int, min_steps: int | None) -> int:
    """The first step at which trials are compared: `min_steps`, or else 2 % of a full trial, at least one step."""
    first = math.ceil(0.02 * horizon) if min_steps is None else min_steps
    return max(1, min(first, horizon))


@lru_cache(maxsize=256)
def geometric(horizon: int, eta: int, first: int) -> tuple[int, ...]:
    """Steps `horizon / eta^k`, rounded, increasing, from about `first` up to below `horizon`."""
    found: list[int] = []
    at = horizon / eta
    while round(at) > first:
        found.append(round(at))
        at /= eta
    if first < horizon and (not found or found[-1] >= 2 * first):
        found.append(first)
    return tuple(reversed(found))


@lru_cache(maxsize=256)
def tapered(horizon: int, first: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Rungs below `horizon` from about `first` on, and by what number the trials are divided at each.

    Many are cut early, where steps are cheap and ranks already separate bad trials from the rest; few are cut late,
    where the good must be separated from the best. Counted from the end, the rungs are at a half of the training, at
    a fifth, then each 3.2 times earlier; one trial in 2, 2, 3, 3, ... continues. At the first rung it is one in 8, or
    one in 4 if there are fewer than three rungs.
    """
    rungs: list[int] = []
    at = horizon / 2
    while round(at) > 1.5 * first:
        rungs.append(round(at))
        at /= 2.5 if len(rungs) == 1 else 3.2
    if first < horizon:
        rungs.append(first)
    count = len(rungs)
    cuts = [2 if k < 2 else 3 for k in range(count)]
    if count:
        cuts[-1] = 8 if count > 2 else 4
    return tuple(reversed(rungs)), tuple(reversed(cuts))


def rank_correlation(a: Mapping[int, float], b: Mapping[int, float]) -> tuple[float, int]:
    """Spearman's coefficient over the trials that are in both, and how many those are; (nan, n) when undefined."""
    both = sorted(a.keys() & b.keys())
    return _spearman(tuple(a[k] for k in both), tuple(b[k] for k in both)), len(both)


@lru_cache(maxsize=1024)
def _spearman(a: tuple[float, ...], b: tuple[float, ...]) -> float:
    if len(a) < 3:
        return math.nan
    x, y = _ranks(np.array(a)), _ranks(np.array(b))
    return math.nan if x.std() == 0 or y.std() == 0 else float(np.corrcoef(x, y)[0, 1])


def _ranks(values: np.ndarray) -> np.ndarray:
    """Ranks of `values` [n], equal ones share their mean rank."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    ranks: np.ndarray = (last - (counts - 1) / 2)[inverse]
    return ranks


def compare(history: History, loss: float, cut: float) -> str:
    """Why `loss` is worse than `cut`, for the screen: `0.31 > 0.28` in the user's direction; without losses, places."""
    if not history.objectives.plain:
        what = "front" if history.objectives.several else "place"
        place, last = int(loss), int(cut)
        return f"{what} {place} > {last}" if place > last else f"{what} {place}, but it adds less to it"
    mine, limit = history.metric.value(loss), history.metric.value(cut)
    if mine == limit:
        return f"{mine:.4g}, a tie in which earlier trials go on"
    digits = next((d for d in range(4, 17) if f"{mine:.{d}g}" != f"{limit:.{d}g}"), 17)
    return f"{mine:.{digits}g} {'<' if history.metric.direction == 'maximize' else '>'} {limit:.{digits}g}"
