"""Folds: every row outside the test set is trained on by some models and held out from the others.

A config has a model for each fold. What they say of the rows that they have not seen, put together, are the config's
*out-of-fold outputs*: outputs for all rows, so it is scored as on a validation set of that size.

Shape letters: N training rows, V rows that are held out once, K folds.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from automl.errors import DataError

FIRST = 0.5
"""Of rows in the order of time, this share comes before the first fold."""


@dataclass(frozen=True)
class Folds:
    """Which training rows each fold's model trains on, and on which it is compared.

    Attributes:
        count: K.
        home: [N] int64, the fold that holds a row out; -1: none does.
        ordered: whether rows follow each other in time: then a fold trains on the rows before it only.
    """

    count: int
    home: Tensor
    ordered: bool = False

    def train_rows(self, fold: int) -> Tensor:
        """The indices of the training rows that the fold's model sees, in their order. [n] int64"""
        return self._rows[fold][0]

    def held_rows(self, fold: int) -> Tensor:
        """The indices, among the V rows that are held out once, of those that this fold holds out. [m] int64"""
        return self._rows[fold][1]

    @cached_property
    def most(self) -> int:
        """How many rows the fold with the most training rows has."""
        return max(len(train) for train, _ in self._rows)

    @cached_property
    def _rows(self) -> list[tuple[Tensor, Tensor]]:
        """For each fold what it trains on, and what it holds out."""
        home, once = self.home, self.home[self.home >= 0]
        return [
            (torch.nonzero(home < fold if self.ordered else home != fold).flatten(),
             torch.nonzero(once == fold).flatten())
            for fold in range(self.count)
        ]  # fmt: skip

    def joined(self, outputs: "list[Tensor]") -> Tensor:
        """The out-of-fold outputs [V, ...] from each fold's outputs [m, ...] for its `held_rows`."""
        made = outputs[0].new_empty((int((self.home >= 0).sum()), *outputs[0].shape[1:]))
        for fold, own in enumerate(outputs):
            made[self.held_rows(fold).to(made.device)] = own
        return made


def assign(
    count: int,
    seed: int,
    rows: int,
    *,
    labels: NDArray[Any] | None = None,
    groups: NDArray[Any] | None = None,
    order: NDArray[Any] | None = None,
) -> Folds:
    """Assign a fold to each of the rows that are not test rows.

    Args:
        count: of the folds.
        seed: of the random assignment.
        rows: N.
        labels: [N]; the rows of each label are spread evenly (stratified). A label's only row is never held out.
        groups: [N]; all rows of a group have the same fold.
        order: [N]; the first half in this order is never held out, the second half is cut into folds.

    Raises:
        DataError: there are too few rows or groups.
    """
    if order is not None:
        home = _by_time(order, count)
    elif groups is not None:
        home = _by_group(groups, count, np.random.default_rng(seed))
    else:
        home = _stratified(np.zeros(rows, dtype=np.int64) if labels is None else labels, count, seed)
    if (short := np.bincount(home[home >= 0], minlength=count).min()) < 1 or rows < 2 * count:
        raise DataError(
            f"split.folds: {rows} training rows are too few for {count} folds"
            + (" (a fold would be empty)" if short < 1 else "")
            + "; take fewer folds"
        )
    return Folds(count, torch.from_numpy(home), ordered=order is not None)


def _stratified(labels: NDArray[Any], count: int, seed: int) -> NDArray[np.int64]:
    """Deal the rows of one label after another to the folds in turn, so that all folds have about the same number."""
    rng, home, at = np.random.default_rng(seed), np.full(len(labels), -1, dtype=np.int64), 0
    for label in np.unique(labels):
        rows = rng.permutation(np.flatnonzero(labels == label))
        if len(rows) > 1:
            home[rows] = (np.arange(len(rows)) + at) % count
            at += len(rows)
    return home


def _by_group(groups: NDArray[Any], count: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Whole groups, the largest first, each to the fold with the fewest rows."""
    codes, sizes = np.unique(groups, return_inverse=True)[1], np.unique(groups, return_counts=True)[1]
    if len(sizes) < count:
        raise DataError(
            f"split.folds: {count} folds need as many groups, and outside the test set there are {len(sizes)}; "
            "take fewer folds"
        )
    home, filled = np.zeros(len(sizes), dtype=np.int64), np.zeros(count)
    shuffled = rng.permutation(len(sizes))
    for group in shuffled[np.argsort(-sizes[shuffled], kind="stable")]:
        home[group] = int(np.argmin(filled))
        filled[home[group]] += sizes[group]
    return home[codes]


def _by_time(order: NDArray[Any], count: int) -> NDArray[np.int64]:
    """Equal pieces of the newer rows; rows of one time may be cut apart."""
    ranks = np.argsort(np.argsort(order, kind="stable"), kind="stable")
    first = round(FIRST * len(order))
    home = (ranks - first) * count // max(len(order) - first, 1)
    return np.where(ranks < first, -1, home).astype(np.int64)
