"""What grows trees: the interface that every library has here, and single trees on their way to `models.tables.trees`.

Shape letters: N rows, F features, D values of a regression.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from automl.errors import DataError
from automl.metrics.kinds.kind import Kind
from automl.models.tables.trees import NODES

VALUES = Kind("regression")
ABSENT = -30.0
"""The logit of a class that has no training row."""


@dataclass(frozen=True)
class Tree:
    """One tree; its arrays have a value for each node, the root first and children after their parents.

    Attributes:
        unit: the output unit that it adds to.
        feature, threshold, low, high, missing_low, value: see `models.tables.trees.Trees`.
        subsets: {node: the codes that go low} of splits by category.
    """

    unit: int
    feature: NDArray[np.int64]
    threshold: NDArray[np.float64]
    low: NDArray[np.int64]
    high: NDArray[np.int64]
    missing_low: NDArray[np.bool_]
    value: NDArray[np.float64]
    subsets: dict[int, NDArray[np.bool_]] = field(default_factory=dict)


@dataclass(frozen=True)
class Rows:
    """Training rows for trees.

    Attributes:
        x: [N, F] float64, NaN where a value is missing; categories as codes.
        y: [N] int64 codes of classes, or [N, D] float64.
        weight: [N] float64, or None.
        categories: {feature: number of its codes} of those that are categories.
        outputs: units of the model.
        kind: of the task.
    """

    x: NDArray[np.float64]
    y: NDArray[Any]
    weight: NDArray[np.float64] | None
    categories: dict[int, int]
    outputs: int
    kind: Kind = VALUES

    @property
    def classes(self) -> bool:
        """Whether the target is classes."""
        return self.y.ndim == 1

    def with_target(self, unit: int) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64] | None]:
        """(x, y, weight) of the rows that have a value of one unit of a regression; the very arrays if all have one."""
        y = self.y[:, unit // max(1, len(self.kind.levels))]
        if self.kind.variant == "labels" and y.min() == y.max():
            raise DataError(
                "trees: all training rows (of a fold) agree on a label, so that it cannot be learned; take fewer "
                "folds, or leave the label out"
            )
        there = np.isfinite(y)
        if there.all():
            return self.x, y, self.weight
        return self.x[there], y[there], None if self.weight is None else self.weight[there]

    def level(self, unit: int) -> float | None:
        """The quantile that one unit of a regression predicts; None: it predicts means."""
        levels = self.kind.levels
        return levels[unit % len(levels)] if levels else None


@dataclass(frozen=True)
class Settings:
    """The family's hyperparameters (see `models.families`), and the seed of what is drawn at random."""

    rounds: int
    shrinkage: float
    leaves: int
    max_depth: int
    min_leaf: int
    l2: float
    feature_share: float
    bins: int
    seed: int


class Grower(Protocol):
    """Grows trees round by round; all that it does follows from its rows, settings and seed.

    Attributes:
        base: [outputs] what the trees add to.
    """

    base: NDArray[np.float64]

    def grow(self, rounds: int) -> list[list[Tree]]:
        """Go on until there are `rounds` rounds in all; returns the trees of each new round."""


def packed(trees: Sequence[Tree], base: NDArray[np.float64]) -> dict[str, Tensor]:
    """The arrays of `models.tables.trees.FIELDS` for these trees together."""
    starts = np.cumsum([0, *(len(tree.feature) for tree in trees)])
    width = max((len(codes) for tree in trees for codes in tree.subsets.values()), default=1)
    subsets, subset = [np.zeros(width, dtype=bool)], np.zeros(starts[-1], dtype=np.int64)
    for start, tree in zip(starts, trees, strict=False):
        for node, codes in tree.subsets.items():
            subset[start + node] = len(subsets)
            subsets.append(np.pad(codes, (0, width - len(codes)), constant_values=bool(tree.missing_low[node])))
    arrays: dict[str, NDArray[Any]] = {name: _joined(trees, name) for name in NODES if name != "subset"}
    for name in ("low", "high"):
        arrays[name] = np.concatenate(
            [getattr(tree, name) + start for start, tree in zip(starts, trees, strict=False)]
            or [np.zeros(0, dtype=np.int64)]
        )
    arrays |= {"subset": subset, "subsets": np.stack(subsets), "root": starts[: len(trees)].astype(np.int64)}
    arrays |= {"unit": np.array([tree.unit for tree in trees], dtype=np.int64), "base": base}
    return {name: torch.from_numpy(np.array(array)) for name, array in arrays.items()}


def _joined(trees: Sequence[Tree], name: str) -> NDArray[Any]:
    kind: Any = {"threshold": np.float64, "value": np.float64, "missing_low": np.bool_}.get(name, np.int64)
    return np.concatenate([np.zeros(0, dtype=kind), *(getattr(tree, name) for tree in trees)]).astype(kind)
