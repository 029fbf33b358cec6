"""Quasi-random search: a scrambled Sobol sequence, which covers the space more evenly than random draws.

Sobol (1967), scrambling by Owen (1995) as implemented in scipy. The point of a trial is a function of (study seed,
trial number), so the sequence goes on where it was left.
"""

from dataclasses import dataclass

from automl.core.history import History
from automl.core.space import Config
from automl.core.strategy import Strategy
from automl_strategies.surrogates.deduplication import Taken, fill
from automl_strategies.surrogates.initial_design import sobol


@dataclass(frozen=True)
class Sobol(Strategy):
    """Spread the trials evenly over the space; better than random with few trials, as good with many workers."""

    def suggest(self, history: History, n: int) -> list[Config]:
        return fill(history, n, (sobol(history, k) for k in range(n)), Taken(history))
