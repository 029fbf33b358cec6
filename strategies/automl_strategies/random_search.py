"""Random search."""

from dataclasses import dataclass

from automl.core.history import History
from automl.core.space import Config
from automl.core.strategy import Strategy


@dataclass(frozen=True)
class Random(Strategy):
    """Draw configs at random; the baseline for other strategies, and hard to beat with many workers and little time.

    Bergstra & Bengio, "Random Search for Hyper-Parameter Optimization" (JMLR 2012). Each config is drawn independently
    and uniformly: in the logarithm of a `log` range, among the values of a choice. It has no options.

    Example:
        automl.search("space.yaml", strategy="random")
    """

    def suggest(self, history: History, n: int) -> list[Config]:
        return [history.space.sample(history.rng(k)) for k in range(n)]
