"""Bayesian optimization with a Gaussian process: suggest where the expected improvement is largest.

Jones et al., "Efficient Global Optimization" (1998), with the logarithm of expected improvement (Ament et al. 2023),
a batch by believing the model's own mean at what is pending (Ginsbourger et al. 2010), and failures as a
probability that a config can be trained at all.
"""

from dataclasses import dataclass

from automl.core.history import History
from automl.core.space import Config
from automl.core.strategy import Strategy
from automl.errors import SpecError
from automl_strategies.surrogates.acquisition import Acquisition
from automl_strategies.surrogates.deduplication import Taken, fill
from automl_strategies.surrogates.initial_design import sobol
from automl_strategies.surrogates.observations import evidence


@dataclass(frozen=True)
class Gp(Strategy):
    """Fit a Gaussian process to all results and suggest where most improvement is expected; for few, costly trials.

    Strongest on up to about 20 parameters and 300 trials, choices (one-hot) and conditions (a flag for each) included;
    learns from stopped trials too. A suggestion costs 0.05 to 0.7 s. On very uneven functions `tpe` is better: `auto`
    mixes both.
    """

    startup: int = 10  # quasi-random trials before the model is asked
    candidates: int = 768  # points the acquisition is looked at before it is climbed
    most: int = 400  # trials the model knows; beyond, the best and an even sample of the rest
    fitted: int = 400  # of these, how many its length scales and noise are fitted to
    climbs: int = 6  # starting points of the gradient ascent

    def __post_init__(self) -> None:
        if self.startup < 2 or self.candidates < 16 or min(self.most, self.fitted) < 16 or self.climbs < 0:
            raise SpecError("gp: needs startup >= 2, candidates >= 16, most >= 16, fitted >= 16, climbs >= 0")

    def suggest(self, history: History, n: int) -> list[Config]:
        if n == 0 or history.space.dim == 0:
            return [history.space.sample(history.rng(k)) for k in range(n)]
        found, taken = evidence(history), Taken(history)
        if len(found) < self.startup:
            return fill(history, n, (sobol(history, k) for k in range(n)), taken)
        return fill(history, n, Acquisition(self, found).proposals(history, n, taken), taken)
