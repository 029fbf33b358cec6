"""Random search: every trial is drawn on its own, uniformly in the (transformed) space.

Bergstra & Bengio, "Random Search for Hyper-Parameter Optimization" (JMLR 2012).
"""

from dataclasses import dataclass

from automl.core.history import History
from automl.core.space import Config
from automl.core.strategy import Strategy


@dataclass(frozen=True)
class Random(Strategy):
    """Draw configs at random; the honest yardstick, and hard to beat with many workers and little time."""

    def suggest(self, history: History, n: int) -> list[Config]:
        return [history.space.sample(history.rng(k)) for k in range(n)]
