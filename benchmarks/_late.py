"""Simulated learning curves whose best trials are slow: in the end they are the best, after the first steps middling.

A table has 1,000 random configs of four numbers and curves of 50 steps. A larger model has a lower loss in the end and
learns more slowly; 40 % of the configs learn next to nothing, so that the ranks of all still correlate (Spearman .9
between the first two rungs). `smooth` has the same losses in the end, and no config is slower than another.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from _tables import HORIZON, Rows

from automl.core.space import Config, Float, Space, config_key

SLOWEST: Mapping[str, float] = {"smooth": 0.0, "late 130": 0.01, "late 250": 0.015, "late 460": 0.03}
"""{table: the time constant of the slowest configs, as a share of the training}; the names say where the ten best of
1,000 stand after the first step (the median rank)."""
LATE = tuple(SLOWEST)


@dataclass
class Late:
    """One table; see `_tables.Table`."""

    name: str
    space = Space.of({name: Float(0, 1) for name in ("rate", "size", "decay", "other")})

    @cached_property
    def points(self) -> np.ndarray:
        """Rows in the unit cube [1000, 4]."""
        return np.random.default_rng([0, 1]).random((1000, 4))

    @cached_property
    def curves(self) -> np.ndarray:
        """Losses after each step [1000, 50]."""
        rng = np.random.default_rng([0, 2])
        rate, size, decay, other = self.points.T
        best = rng.uniform(0.2, 0.8, 4)
        step = np.arange(1, HORIZON + 1) / HORIZON
        off = 1.2 * (rate / 0.6 - 0.5) ** 2 + 0.8 * (decay - best[2]) ** 2 + 0.2 * (other - best[3]) ** 2
        floor = 0.05 + 0.35 * np.minimum(off, 1) + 0.35 * (1 - size) ** 2
        slow = 0.02 + SLOWEST[self.name] * size**2
        learned = floor[:, None] + (1 - floor[:, None]) * np.exp(-step / slow[:, None])
        useless = (0.75 + 0.25 * rate + 0.1 * off)[:, None] - 0.05 * step
        losses = np.where((rate > 0.6)[:, None], useless, learned)
        found: np.ndarray = np.clip(losses + 0.01 * rng.normal(size=losses.shape), 0, 2)
        return found

    @cached_property
    def configs(self) -> list[Config]:
        return [self.space.decode(p) for p in self.points]

    @cached_property
    def row_of(self) -> dict[tuple[object, ...], int]:
        return {config_key(c): k for k, c in enumerate(self.configs)}

    def regret(self, row: int) -> float:
        final = self.curves[:, -1]
        return float((final[row] - final.min()) / (np.median(final) - final.min()))

    def objective(self) -> Rows:
        return Rows(self)
