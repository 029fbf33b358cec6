"""Many small regression trees, quickly: scikit-learn's own trees without what its forests spend around each of them.

Geurts et al., "Extremely randomized trees" (2006). With a few hundred points a forest of scikit-learn spends four
fifths of its time on cloning and checking estimators.

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
        """`count` trees for `x` [n, d], `y` [n], each from a share `sample` of the observations, drawn anew, with at
        least `leaf` of them a leaf; a split is the best of random ones in a share `split` of the parameters."""
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
        """What each tree predicts at `x` [M, d]. [count, M]"""
        x32 = np.ascontiguousarray(x, dtype=np.float32)
        return np.stack([tree.predict(x32)[:, 0] for tree in self.members])
