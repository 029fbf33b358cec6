"""What the training set showed of each input: its range, how often it was missing, and how its values are spread.

It is kept in the preparation (entry `seen` of a column), so that a saved model can say which new values it has never
met, and whether new rows are still like those it was trained on. Models of earlier versions have no such entry.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

BINS = 20
"""Bins of about as many training rows each, in which the spread of a number is kept."""
MOST_FEATURES = 256
"""An array with more features than this is described by its overall range and the means of its samples."""


def of_numbers(numbers: NDArray[np.float64]) -> dict[str, Any]:
    """The entry of a column of numbers (dates and times of day too).

    Args:
        numbers: [rows] of the training part; what is not finite is missing.

    Returns:
        `rows`; `missing`, a share; and where any value is present `least`, `most`, `edges` (increasing) and `shares`,
        one more than edges: bin k holds the values above `edges[k - 1]` up to `edges[k]`.
    """
    present = np.sort(numbers[np.isfinite(numbers)])
    entry: dict[str, Any] = {"rows": len(numbers), "missing": 1 - len(present) / max(len(numbers), 1)}
    if not len(present):
        return entry
    cuts = np.unique(present[(np.arange(1, BINS) * len(present)) // BINS])
    edges = cuts[cuts < present[-1]]
    counts = np.bincount(np.searchsorted(edges, present, side="left"), minlength=len(edges) + 1)
    spread = {"edges": edges.tolist(), "shares": (counts / len(present)).tolist()}
    return {**entry, "least": float(present[0]), "most": float(present[-1]), **spread}


def of_categories(texts: NDArray[Any], values: Sequence[str]) -> dict[str, Any]:
    """The entry of a column of categories: `rows`, and `shares`, one for each of `values`; the rest had others."""
    found, counts = np.unique(texts.astype(str), return_counts=True)
    often = dict(zip(found.tolist(), counts.tolist(), strict=True))
    return {"rows": len(texts), "shares": [often.get(value, 0) / max(len(texts), 1) for value in values]}


def of_array(train: NDArray[np.float32]) -> dict[str, Any]:
    """The entry of arrays [N, ...] (NaN: missing): the range of all; each feature, or (many) the samples' means."""
    if not np.isfinite(train).any():
        return {"rows": len(train)}
    whole = {"rows": len(train), "least": float(np.nanmin(train)), "most": float(np.nanmax(train))}
    if train.ndim == 2 and train.shape[1] <= MOST_FEATURES:
        return {**whole, "features": [of_numbers(column.astype(np.float64)) for column in train.T]}
    return {**whole, "mean": of_numbers(means(train))}


def means(samples: NDArray[Any]) -> NDArray[np.float64]:
    """[N] the mean of the values of each sample [N, ...]; values that are not finite make it NaN."""
    return np.asarray(samples.reshape(len(samples), -1).mean(axis=1, dtype=np.float64))
