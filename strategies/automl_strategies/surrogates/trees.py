"""A forest of extremely randomized regression trees (Geurts et al. 2006).

The trees are scikit-learn's, without its forest around them: with a few hundred points that spends four fifths of its
time on cloning and checking estimators.

Shapes: `n` observations, `M` points, `d` parameters.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import sklearn
from sklearn.tree import ExtraTreeRegressor

from automl_strategies.surrogates.observations import Floats


@dataclass(frozen=True)
class Trees:
    """A fitted forest."""

    members: tuple[Any, ...]

    @classmethod
    def grow(
        cls, x: Floats, y: Floats, rng: np.random.Generator, count: int, *, leaf: int, split: float, sample: float
    ) -> "Trees":
        """Fit a forest.

        Args:
            x, y: the observations [n, d] and [n].
            rng: all randomness.
            count: how many trees.
            leaf: at least so many observations in each leaf.
            split: the share of the parameters among which a split is chosen, each with one random threshold.
            sample: the share of the observations that a tree is fitted to, drawn without replacement.
        """
        x32, column = np.ascontiguousarray(x, dtype=np.float32), np.ascontiguousarray(y[:, None], dtype=np.float64)
        size = max(1, round(sample * len(y)))
        state = np.random.RandomState(int(rng.integers(2**32)))
        members = []
        with sklearn.config_context(skip_parameter_validation=True, assume_finite=True):
            for _ in range(count):
                rows = rng.permutation(len(y))[:size]
                tree = ExtraTreeRegressor(min_samples_leaf=leaf, max_features=split, random_state=state)
                members.append(tree.fit(x32[rows], column[rows], check_input=False).tree_)
        return cls(tuple(members))

    def each(self, x: Floats) -> Floats:
        """The prediction of each tree at `x` [M, d]. [count, M]"""
        x32 = np.ascontiguousarray(x, dtype=np.float32)
        return np.stack([tree.predict(x32)[:, 0] for tree in self.members])
