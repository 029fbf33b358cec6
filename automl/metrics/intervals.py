"""How sure a score is: intervals for a metric on rows that were not used before, and for a mean over seeds.

Rows are taken as independent: rows of a time series or of one group are not, and intervals for them are too narrow.
"""

import math
from collections.abc import Sequence
from statistics import NormalDist

import numpy as np

from automl.metrics import tilting
from automl.metrics.rows import Floats, Sample

Interval = tuple[float, float]
DRAWS = 2000
CHUNK = 2**24  # most cells of a table of counts made at once


def interval(
    sample: Sample, *, level: float = 0.95, seed: int = 0, draws: int = DRAWS, like: Sample | None = None
) -> Interval:
    """An interval that covers the score on endless rows of the same kind in `level` of all cases.

    Wilson's for plain accuracy; tilting for errors (see `tilting`); else the bootstrap over rows, bias-corrected
    and accelerated (Efron 1987, "BCa"); for very many rows the normal one (see `error_of`). `like`: this model, or its
    like, on other rows of the same kind, from which only the shape of its errors is taken: how often large ones come.
    They need not be unseen.
    """
    if len(sample) < 2:
        return (-math.inf, math.inf)
    if sample.hits:
        return wilson(sample.value, sample.count, level)
    if sample.whole is not None:
        half = NormalDist().inv_cdf((1 + level) / 2) * error_of(sample.influence(), sample.count)
        return (sample.value - half, sample.value + half)
    if sample.error and (sample.rows[:, 0] > 0).any():
        return _tilted(sample, level, like)
    made = bootstrap(sample, seed, draws)
    made = made[np.isfinite(made)]
    value, normal = sample.value, NormalDist()
    if len(made) < draws // 2 or np.ptp(made) == 0:
        return (value, value)
    below = (np.sum(made < value) + np.sum(made == value) / 2) / len(made)
    bias = normal.inv_cdf(min(max(float(below), 1 / draws), 1 - 1 / draws))
    pull = sample.influence()
    spread = float((pull**2).sum()) ** 1.5
    skew = float((pull**3).sum()) / (6 * spread) if spread > 0 else 0.0

    def end(share: float) -> float:
        z = bias + normal.inv_cdf(share)
        return float(np.quantile(made, normal.cdf(bias + z / (1 - skew * z))))

    return (end((1 - level) / 2), end((1 + level) / 2))


def error_of(influence: Floats, rows: int) -> float:
    """The standard error of a score, or of a difference of two, on `rows` rows, from the influence of some of them.

    The infinitesimal jackknife (Efron 1982, The Jackknife, the Bootstrap and Other Resampling Plans, ch. 6). Of 131,072
    rows it is right to half a percent, unless a few rows in a million make most of the score.
    """
    return float(np.sqrt(np.mean(np.square(influence - influence.mean())) / rows))


def _tilted(sample: Sample, level: float, like: Sample | None) -> Interval:
    """For a rising function of a mean error. A few large errors make most of it, and a small sample may have none."""
    rows = sample.rows if like is None else np.concatenate([sample.rows, like.rows])
    wx, w = rows[:, 0], rows[:, 1]
    mean = wx.sum() / w.sum()
    values = mean + (wx - mean * w) / w.mean()  # of unweighted rows their errors
    seen = float(sample.rows[:, 0].sum() / sample.rows[:, 1].sum())
    low, high = tilting.interval(values, seen, len(sample), level)
    return (float(sample.of(np.array([max(low, 0.0), 1.0]))), float(sample.of(np.array([high, 1.0]))))


def bootstrap(sample: Sample, seed: int, draws: int = DRAWS) -> Floats:
    """[draws] scores of samples of the same size, drawn with replacement."""
    rng = np.random.default_rng(seed)
    each = max(CHUNK // len(sample), 1)
    parts = [sample.resampled(counts(rng, min(each, draws - k), len(sample))) for k in range(0, draws, each)]
    return np.concatenate(parts)


def counts(rng: np.random.Generator, draws: int, rows: int) -> Floats:
    """[draws, rows] how often each row is drawn when `rows` are drawn with replacement."""
    drawn = rng.integers(0, rows, (draws, rows)) + np.arange(draws)[:, None] * rows
    return np.bincount(drawn.ravel(), minlength=draws * rows).reshape(draws, rows).astype(np.float64)


def wilson(share: float, n: int, level: float = 0.95) -> Interval:
    """Wilson's interval (1927) for a share of `n` independent rows; good for few rows and shares near 0 or 1."""
    z = NormalDist().inv_cdf((1 + level) / 2)
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return (max(middle - half, 0.0), min(middle + half, 1.0))


def mean_interval(values: Sequence[float], level: float = 0.95) -> Interval | None:
    """Student's interval for the mean of what `values` were drawn from; None for fewer than two."""
    if len(values) < 2:
        return None
    mean, error = float(np.mean(values)), float(np.std(values, ddof=1)) / math.sqrt(len(values))
    half = _student(len(values) - 1, (1 + level) / 2) * error
    return (mean - half, mean + half)


def better(
    first: Sequence[Sample], second: Sequence[Sample], *, sign: float, seed: int = 0, draws: int = 1000
) -> float:
    """How surely the first config is truly better than the second: a share of bootstrap draws.

    `first[k]` and `second[k]` are models of the same seed k on the same rows; `sign`: +1 where higher is better. Rows
    are drawn again for all models at once; the seeds' part is Student's t of the paired differences.
    """
    rng = np.random.default_rng(seed)
    n, made = len(first[0]), []
    gaps = [a.value - b.value for a, b in zip(first, second, strict=True)]
    if first[0].whole is not None:
        error = error_of(
            np.mean([a.influence() - b.influence() for a, b in zip(first, second, strict=True)], axis=0), first[0].count
        )
        return _share_above(np.mean(gaps) + error * rng.standard_normal(draws), gaps, sign, rng)
    each = max(CHUNK // n, 1)
    for k in range(0, draws, each):
        drawn = counts(rng, min(each, draws - k), n)
        pairs = [a.resampled(drawn) - b.resampled(drawn) for a, b in zip(first, second, strict=True)]
        made.append(np.mean(pairs, axis=0))
    return _share_above(np.concatenate(made), gaps, sign, rng)


def difference(
    first: Sample, second: Sample, *, sign: float, level: float = 0.95, seed: int = 0, draws: int = DRAWS
) -> tuple[float, Interval]:
    """How much better the first of two models is on the same rows: (the difference, its interval).

    The interval is that of the paired bootstrap: in each draw both models have the same rows (Efron & Tibshirani 1993,
    ch. 8), so rows that both answer alike add nothing to it. `sign`: +1 where higher is better; the difference is then
    above 0 where the first one is better.
    """
    rng = np.random.default_rng(seed)
    each, made = max(CHUNK // len(first), 1), []
    for k in range(0, draws, each):
        drawn = counts(rng, min(each, draws - k), len(first))
        made.append(first.resampled(drawn) - second.resampled(drawn))
    gaps = sign * np.concatenate(made)
    gaps = gaps[np.isfinite(gaps)]
    low, high = np.quantile(gaps, [(1 - level) / 2, (1 + level) / 2]) if len(gaps) else (-math.inf, math.inf)
    return sign * (first.value - second.value), (float(low), float(high))


def better_by_seeds(first: Sequence[float], second: Sequence[float], *, sign: float, seed: int = 0) -> float:
    """The same from values alone: the rows' part is not known, only how much seeds matter."""
    gaps = [a - b for a, b in zip(first, second, strict=True)]
    return _share_above(np.full(4000, np.mean(gaps)), gaps, sign, np.random.default_rng(seed))


def _share_above(made: Floats, gaps: Sequence[float], sign: float, rng: np.random.Generator) -> float:
    if len(gaps) > 1:
        error = float(np.std(gaps, ddof=1)) / math.sqrt(len(gaps))
        made = made + error * rng.standard_t(len(gaps) - 1, len(made))
    made = sign * made
    return float(np.mean(made > 0) + np.mean(made == 0) / 2)


def _student(freedom: int, share: float) -> float:
    from scipy.special import stdtrit

    return float(stdtrit(freedom, share))
