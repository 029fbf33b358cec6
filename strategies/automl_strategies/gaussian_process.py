"""Bayesian optimization with a Gaussian process."""

from dataclasses import dataclass
from functools import partial

from automl.core.history import History
from automl.core.space import Config
from automl.core.strategy import Strategy
from automl.errors import SpecError
from automl_strategies.pareto.proposals import proposals
from automl_strategies.surrogates.acquisition import Acquisition
from automl_strategies.surrogates.deduplication import SeenConfigs, new_configs
from automl_strategies.surrogates.drawbacks.failures import enough
from automl_strategies.surrogates.initial_design import sobol
from automl_strategies.surrogates.observations import observations


@dataclass(frozen=True)
class Gp(Strategy):
    """Fit a Gaussian process and suggest where most improvement is expected; for few, costly trials.

    Jones et al., "Efficient Global Optimization of Expensive Black-Box Functions" (1998). Strongest with up to about
    20 parameters and 300 trials; choices (one-hot) and conditions (a flag for each) included. It learns from stopped
    trials too. A suggestion costs 0.05 to 0.7 s. On very uneven functions `tpe` is better; `auto` uses both in turn.
    With two objectives, by exact expected hypervolume improvement and by random weights (ParEGO) in turn; with more, by
    an estimate of that improvement; under limits, times the probability of keeping them.

    Args:
        startup: quasi-random trials before the model is used; at least 2.
        candidates: points at which the acquisition is computed before the best are climbed from; at least 16.
        most: trials that the model knows; of more, the best and an even sample of the others. At least 16.
        fitted: how many of these its length scales and noise are fitted to; at least 16.
        climbs: starting points of the gradient ascent.

    Raises:
        SpecError: an option is too small.

    Example:
        study = automl.Study({"x": automl.Float(0, 1)}, metric="loss", trials=30, strategy={"name": "gp", "startup": 5})
        while (trial := study.ask()) is not None:
            study.tell(trial, loss=(trial["x"] - 0.3) ** 2)
    """

    startup: int = 10
    candidates: int = 768
    most: int = 400
    fitted: int = 400
    climbs: int = 6

    def __post_init__(self) -> None:
        if self.startup < 2 or self.candidates < 16 or min(self.most, self.fitted) < 16 or self.climbs < 0:
            raise SpecError("gp: needs startup >= 2, candidates >= 16, most >= 16, fitted >= 16, climbs >= 0")

    def suggest(self, history: History, n: int) -> list[Config]:
        if n == 0 or history.space.dim == 0:
            return [history.space.sample(history.rng(k)) for k in range(n)]
        data, seen = observations(history), SeenConfigs(history)
        if not enough(data, self.startup):
            return new_configs(history, n, (sobol(history, k) for k in range(n)), seen)
        make = partial(Acquisition, candidates=self.candidates, most=self.most, fitted=self.fitted, climbs=self.climbs)
        if not history.objectives.plain and data.comparable:
            return new_configs(history, n, proposals(history, n, data, seen, make), seen)
        acquisition = make(data)
        return new_configs(history, n, acquisition.proposals(history, n, seen), seen)
