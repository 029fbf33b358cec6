"""Splits: which rows are for training (0), validation (1) and testing (2)."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from automl.errors import DataError

FEWEST_FOLDS, MOST_FOLDS = 2, 50
"""How many folds there may be (see `automl.data.folds`)."""
Parts = NDArray[np.int8]
"""[rows]: 0 = train, 1 = val, 2 = test."""
NAMES = ("train", "val", "test")
DEFAULT = {"train": 0.5, "val": 0.25, "test": 0.25}
SMALLEST = 12
"""Fewest rows that can be split; parts would have three rows or fewer below it."""


def folds_of(split: Mapping[str, Any] | None) -> int:
    """How many folds a `split:` asks for; 0: none.

    Raises:
        DataError: it is no number of folds, or shares of training and validation rows are given beside it.
    """
    rules = split or {}
    if rules.get("folds") is None:
        return 0
    if type(count := rules["folds"]) is not int or not FEWEST_FOLDS <= count <= MOST_FOLDS:
        raise DataError(f"split.folds: expected a whole number from {FEWEST_FOLDS} to {MOST_FOLDS}, got {count!r}")
    if given := [name for name in ("train", "val") if rules.get(name) is not None]:
        raise DataError(f"split.{given[0]}: folds take the place of training and validation rows; leave it out")
    return count


def refuse_folds(split: Mapping[str, Any] | None, what: str) -> None:
    """Raise DataError where a `split:` asks for folds and the data are `what`, which has none."""
    if folds_of(split):
        raise DataError(f"split.folds: {what} has no folds; give shares of train, val and test instead")


def shares(split: Mapping[str, Any] | None) -> NDArray[np.float64]:
    """The shares of train, val and test, [3], adding up to 1.

    Args:
        split: shares by name, other keys are ignored; None, or no share: `DEFAULT`. With `folds` there is a share of
            test rows, and all others are training rows.

    Raises:
        DataError: they do not add up to 1, or there is none for training or validation.
    """
    if folds_of(split):
        test = float((split or {}).get("test") or 0.0 if "test" in (split or {}) else DEFAULT["test"])
        if not 0 <= test < 1:
            raise DataError(f"split.test: expected a share of at least 0 and below 1, got {test:g}")
        return np.array([1 - test, 0.0, test])
    given = {k: float(v) for k, v in (split or DEFAULT).items() if k in NAMES} or DEFAULT
    values = np.array([given.get(name, 0.0) for name in NAMES])
    if (values < 0).any() or abs(values.sum() - 1) > 1e-6:
        raise DataError(f"split: train, val and test must be shares that add up to 1, got {dict(given)}")
    if values[0] == 0 or values[1] == 0:
        raise DataError(
            "split: the search needs rows to train on and rows to compare on; train and val must be above 0"
        )
    return values


def assign(
    rows: int,
    split: Mapping[str, Any] | None,
    seed: int,
    *,
    labels: NDArray[Any] | None = None,
    groups: NDArray[Any] | None = None,
    order: NDArray[Any] | None = None,
    given: Parts | None = None,
) -> Parts:
    """Assign a part to every row: by time where `order` is given, by group where `groups` is, else at random.

    Args:
        rows: their number.
        split: the shares, see `shares`.
        seed: of the random assignment.
        labels: [rows]; each label is split in the same shares (stratified).
        groups: [rows]; all rows of a group get the same part.
        order: [rows]; training rows come first in this order, test rows last.
        given: [rows], parts that came with the data (-1: none). Parts that are missing there are taken from its
            training rows.

    Raises:
        DataError: there are too few rows or groups, or the shares are wrong.
    """
    if rows < SMALLEST:
        raise DataError(f"{rows} rows are too few: at least {SMALLEST} are needed for three parts")
    wanted = shares(split)
    if given is not None:
        return _complete(given, wanted, seed, labels)
    if order is not None:
        ranks = np.argsort(np.argsort(order, kind="stable"), kind="stable")
        return _cut(ranks, rows, wanted)
    rng = np.random.default_rng(seed)
    if groups is not None:
        return _by_group(groups, wanted, rng)
    return _stratified(np.zeros(rows, dtype=np.int64) if labels is None else labels, wanted, rng)


def _cut(ranks: NDArray[np.int64], rows: int, wanted: NDArray[np.float64]) -> Parts:
    """Ranks 0 .. rows - 1 cut in three."""
    edges = np.round(np.cumsum(wanted)[:2] * rows)
    return np.searchsorted(edges, ranks, side="right").astype(np.int8)


def _stratified(labels: NDArray[Any], wanted: NDArray[np.float64], rng: np.random.Generator) -> Parts:
    """Split each label's rows in shares `wanted`; rounding errors carry over to the next label, so totals agree too."""
    parts = np.zeros(len(labels), dtype=np.int8)
    debt = np.zeros(3)
    for label in np.unique(labels):
        rows = rng.permutation(np.flatnonzero(labels == label))
        due = wanted * len(rows) + debt
        counts = np.maximum(np.floor(due), 0).astype(int)
        for part in np.argsort(-(due - counts), kind="stable"):
            if counts.sum() < len(rows):
                counts[part] += 1
        if counts[0] == 0:  # a label with one or two rows is used for training only
            counts = np.array([len(rows), 0, 0])
        counts[0] += len(rows) - counts.sum()
        debt = np.clip(due - counts, -1, 1) * (wanted > 0)
        debt[0] -= debt.sum()
        parts[rows] = np.repeat(np.arange(3, dtype=np.int8), counts)
    return parts


def _by_group(groups: NDArray[Any], wanted: NDArray[np.float64], rng: np.random.Generator) -> Parts:
    """Assign whole groups, the largest first, each to the part that lacks the most rows."""
    codes, sizes = np.unique(groups, return_inverse=True)[1], np.unique(groups, return_counts=True)[1]
    return homes(sizes, wanted, rng)[codes]


def homes(sizes: NDArray[Any], wanted: NDArray[np.float64], rng: np.random.Generator) -> Parts:
    """[groups] the part of each group, given the rows of each group; whole groups, in shares `wanted`.

    Raises:
        DataError: there are fewer than three groups.
    """
    if len(sizes) < 3:
        raise DataError(f"split by group: {len(sizes)} groups cannot make three parts")
    home = np.zeros(len(sizes), dtype=np.int8)
    filled = np.zeros(3)
    shuffled = rng.permutation(len(sizes))
    for group in shuffled[np.argsort(-sizes[shuffled], kind="stable")]:
        part = int(np.argmax(np.where(wanted > 0, wanted * sizes.sum() - filled, -np.inf)))
        home[group] = part
        filled[part] += sizes[group]
    return home


def _complete(given: Parts, wanted: NDArray[np.float64], seed: int, labels: NDArray[Any] | None) -> Parts:
    """Take the parts that `given` lacks from its training rows."""
    missing = [part for part in (1, 2) if wanted[part] > 0 and not (given == part).any()]
    parts = given.copy()
    if not missing:
        return parts
    rows = np.flatnonzero(given == 0)
    left = np.where(np.isin(np.arange(3), [0, *missing]), wanted, 0)
    inner = np.zeros(len(rows), dtype=np.int64) if labels is None else labels[rows]
    parts[rows] = _stratified(inner, left / left.sum(), np.random.default_rng(seed))
    return parts
