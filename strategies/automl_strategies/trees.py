"""Many small regression trees, quickly: scikit-learn's own trees without what its forests spend around each of them.

Geurts et al., "Extremely randomized trees" (2006), each on a bootstrap sample. With a few hundred points a forest of
scikit-learn spends four fifths of its time on cloning and checking estimators.

Shapes: `n` observations, `M` points, `d` parameters.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import sklearn
from numpy.typing import NDArray
from sklearn.tree import ExtraTreeRegressor

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Trees:
    """A fitted forest."""

    members: tuple[Any, ...]

    @classmethod
    def grow(
        cls, x: Floats, y: Floats, rng: np.random.Generator, count: int, *, leaf: int, share: float, bootstrap: bool
    ) -> "Trees":
        """`count` trees for `x` [n, d], `y` [n]: at least `leaf` observations a leaf, each split the best of random
        ones in that `share` of the parameters."""
        x32, n = np.ascontiguousarray(x, dtype=np.float32), len(y)
        column = np.ascontiguousarray(y[:, None], dtype=np.float64)
        members = []
        with sklearn.config_context(skip_parameter_validation=True, assume_finite=True):
            for state in rng.integers(0, 2**31, count):
                drawn = np.bincount(rng.integers(0, n, n), minlength=n).astype(np.float64) if bootstrap else None
                tree = ExtraTreeRegressor(min_samples_leaf=leaf, max_features=share, random_state=int(state))
                members.append(tree.fit(x32, column, sample_weight=drawn, check_input=False))
        return cls(tuple(members))

    def each(self, x: Floats) -> Floats:
        """What each tree predicts at `x` [M, d]. [count, M]"""
        x32 = np.ascontiguousarray(x, dtype=np.float32)
        with sklearn.config_context(skip_parameter_validation=True, assume_finite=True):
            return np.stack([tree.predict(x32, check_input=False) for tree in self.members])
