"""Population based training: heirs of the best members go on with changed hyperparameters."""

from dataclasses import dataclass

import numpy as np

from automl.core.history import History
from automl.core.parameters import Float, Int
from automl.core.space import Config
from automl.core.strategy import Heir, Strategy
from automl.core.trial import State, TrialRecord
from automl.errors import SpecError, did_you_mean


@dataclass(frozen=True)
class Pbt(Strategy):
    """Train a population; where a member ends, another one begins with the weights of one of the best.

    Jaderberg et al., "Population Based Training of Neural Networks" (2017): "exploit" by truncation selection and
    "explore" by perturbing or resampling. The stopper `population` says when, and which members end. What may change
    during training changes; everything else, such as the shape of the model, is the parent's.

    Args:
        perturb: by about so much of its range each hyperparameter moves up or down.
        resample: how likely it is drawn anew instead.
        best: the share of the members that can be parents.
        mutable: names of what may change; none: all ranges of decimal numbers, or else of whole numbers.

    Raises:
        SpecError: an option is out of its range, or a name is no hyperparameter of the space.

    Example:
        automl.search("space.yaml", strategy="pbt")  # its stopper is `population`
    """

    perturb: float = 0.1
    resample: float = 0.25
    best: float = 0.25
    mutable: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not (0 < self.perturb <= 1 and 0 <= self.resample <= 1 and 0 < self.best <= 1):
            raise SpecError("pbt: needs 0 < perturb <= 1, 0 <= resample <= 1 and 0 < best <= 1")

    def suggest(self, history: History, n: int) -> list[Config]:
        compared = history.count(State.STOPPED) or history.count(State.FAILED)  # else the first ones wait for the rest
        least = min((t.step for t in history.paused if compared), default=0)
        waiting = sorted((t for t in history.paused if t.step == least), key=lambda t: (history.score(t), t.number))
        if not waiting:
            from automl_strategies.surrogates.initial_design import sobol

            return [sobol(history, k) for k in range(n)]
        parents = waiting[: max(1, round(self.best * len(waiting)))]
        return [self._heir(history, parents, history.rng(k, "pbt")) for k in range(n)]

    def note(self, history: History) -> str:
        return f"pbt: {', '.join(self.names(history)) or 'nothing'} may change during training"

    def stopper(self) -> str:
        return "population"

    def names(self, history: History) -> list[str]:
        """What may change during training."""
        params = history.space.params
        for name in self.mutable:
            if name not in params:
                raise SpecError(f"pbt: mutable: {name!r} is no hyperparameter{did_you_mean(name, params)}")
        ranges = [[name for name, one in params.items() if isinstance(one, kind)] for kind in (Float, Int)]
        return list(self.mutable) or ranges[0] or ranges[1]

    def _heir(self, history: History, parents: list[TrialRecord], rng: np.random.Generator) -> Config:
        space, parent = history.space, parents[int(rng.integers(len(parents)))]
        point, names = space.encode(parent.config), list(space.params)
        for name in self.names(history):
            k = names.index(name)
            if name not in parent.config:
                continue
            moved = point[k] + self.perturb * rng.uniform(0.5, 1.5) * (1 if rng.random() < 0.5 else -1)
            point[k] = rng.random() if rng.random() < self.resample else min(1.0, max(0.0, float(moved)))
        changed = space.decode(point)
        return Heir({name: changed.get(name, value) for name, value in parent.config.items()}, of=parent.number)
