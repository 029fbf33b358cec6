"""Quasi-random search with a scrambled Sobol sequence."""

from dataclasses import dataclass

from automl.core.history import History
from automl.core.space import Config
from automl.core.strategy import Strategy
from automl_strategies.surrogates.deduplication import SeenConfigs, new_configs
from automl_strategies.surrogates.initial_design import sobol


@dataclass(frozen=True)
class Sobol(Strategy):
    """Spread the trials evenly over the space; better than random with few trials, as good with many workers.

    Sobol, "On the distribution of points in a cube" (1967), scrambled as by Owen (1995). It has no options. A study
    that continues goes on in the same sequence.

    Example:
        automl.search("space.yaml", strategy="sobol")
    """

    def suggest(self, history: History, n: int) -> list[Config]:
        return new_configs(history, n, (sobol(history, k) for k in range(n)), SeenConfigs(history))
