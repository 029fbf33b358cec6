"""How far an earlier study agrees with the results of the present one."""

import numpy as np
from numpy.typing import NDArray

from automl.core.history import History
from automl.core.live.state import Earlier
from automl.core.space import Config, Space

Floats = NDArray[np.float64]
LEAST = 6
"""Trials of full length that are needed on both sides."""
NEAREST = 5
"""Rows of the earlier study that predict a result."""


def agreement(history: History, earlier: Earlier) -> float | None:
    """Spearman's rank correlation of what an earlier study predicts with the results so far; None with too few.

    Only trials of full length count. A prediction is the mean rank of the `NEAREST` rows, weighted by their distance.
    """
    done = [t for t in history.done if t.loss is not None]
    if min(len(done), earlier.full) < LEAST:
        return None
    losses = np.array([t.loss for t in done], dtype=np.float64)
    predicted = predictions(history.space, earlier, [t.config for t in done])
    a, b = ranks(predicted), ranks(losses)
    if a.std() == 0 or b.std() == 0:
        return None
    return float(np.corrcoef(a, b)[0, 1])


def predictions(space: Space, earlier: Earlier, configs: list[Config]) -> Floats:
    """What an earlier study's rows of full length say about configs: a rank score in [0, 1], lower is better. [M]"""
    rows = np.array([space.encode(config) for config in earlier.configs[: earlier.full]])
    score = ranks(np.array(earlier.losses[: earlier.full])) / max(1, earlier.full - 1)
    points = np.array([space.encode(config) for config in configs])
    apart = np.abs(points[:, None, :] - rows[None, :, :])
    both = np.isnan(points)[:, None, :] & np.isnan(rows)[None, :, :]
    apart = np.where(both, 0.0, np.where(np.isnan(apart), 1.0, apart))
    distance = np.sqrt((apart**2).mean(axis=2))
    near = np.argsort(distance, axis=1, kind="stable")[:, : min(NEAREST, len(rows))]
    weight = 1.0 / (np.take_along_axis(distance, near, axis=1) + 0.02)
    result: Floats = (score[near] * weight).sum(axis=1) / weight.sum(axis=1)
    return result


def ranks(values: Floats) -> Floats:
    """Ranks from 0, equal values share theirs. [n]"""
    _, place, count = np.unique(values, return_inverse=True, return_counts=True)
    result: Floats = (np.cumsum(count) - (count + 1) / 2.0)[place.reshape(-1)]
    return result


def in_words(value: float) -> str:
    """What the user is told: `agrees with this data (rank correlation 0.71)`."""
    how = "agrees" if value >= 0.5 else "agrees a little" if value >= 0.2 else "does not agree"
    return f"{how} with this data (rank correlation {value:.2f})"
