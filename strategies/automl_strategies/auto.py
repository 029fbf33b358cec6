"""The default strategy: it chooses a method by the space, the budget, the number of workers and the results."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from automl.core.history import History
from automl.core.space import Config
from automl.core.strategy import Strategy
from automl.core.trial import State
from automl_strategies.grid_search import Grid
from automl_strategies.random_search import Random
from automl_strategies.surrogates.deduplication import SeenConfigs, new_configs
from automl_strategies.surrogates.unit_cube import UnitCube

GP_DIMENSIONS = 100
"""With more active parameters, a Gaussian process has too many length scales to learn."""
GP_TRIALS = 250
"""After more trials, and in searches of many more, the Gaussian process plans ahead: it costs milliseconds then."""
GP_FIRST = 100
"""Trials before it plans ahead in a search of more than `GP_TRIALS`."""
GP_WORKERS = 32
"""With so many workers, a suggestion must cost milliseconds to keep them busy."""
STARTUP = 10
"""Trials that must have ended before a model is used."""
COMPARED_DIMENSIONS = 20
"""Where trials are stopped early, a forest takes over with more active parameters."""
COMPARED = (12, 24)
"""Trials that must have been compared at rungs before a model is used: three for each parameter, within these."""


@dataclass(frozen=True)
class Auto(Strategy):
    """Choose among grid, Sobol, Gaussian process, forest and TPE, and say which; the default.

    No method is best everywhere (Benjamins et al., "CARP-S", 2025). These rules follow from the measurements in
    docs/measured/strategies.md:

    - a small finite space: all of it, as a grid;
    - up to 250 trials and 31 workers: `gp`, with every fourth suggestion from `tpe`; with more of either `quick_gp`,
      the same model planned ahead, in the place of `gp` (of a budget of more trials from the 100th on);
    - more than 100 active parameters: `tpe`;
    - trials are stopped early: quasi-random until 12 to 24 trials were compared (three for each parameter), then
      three quarters `quick_gp` (`forest` with more than 20 active parameters) and one quarter random.

    It has no options.

    Example:
        automl.search("space.yaml", strategy="auto")
    """

    def suggest(self, history: History, n: int) -> list[Config]:
        if (grid := _small(history)) is not None:
            return grid.suggest(history, n)
        seen = SeenConfigs(history)
        models = self._models(history)
        turns = [models[(history.next_number + k) % len(models)] for k in range(n)]
        answers = {m: iter(m.suggest(history, turns.count(m))) for m in dict.fromkeys(turns) if m is not None}
        from automl_strategies.surrogates.initial_design import sobol

        proposals = (sobol(history, k) if m is None else next(answers[m]) for k, m in enumerate(turns))
        return new_configs(history, n, proposals, seen)

    def prepare(self) -> None:
        """Import what the first suggestions need."""
        from automl_strategies import quick_gp  # noqa: F401

    def note(self, history: History) -> str:
        if (grid := _small(history)) is not None:
            return f"auto: {grid.note(history)}"
        space = history.space
        what = f"{space.dim} parameter{'s' if space.dim != 1 else ''}" + (", conditional" if space.conditional else "")
        names = "gp, every fourth from tpe" if _learnable(history, GP_DIMENSIONS) else "tpe"
        stopped = "under early stopping a quarter stays random"
        return f"auto: {what}: quasi-random first, then {names}; {stopped}{_hurried(history)}"

    def _models(self, history: History) -> "tuple[Strategy | None, ...]":
        """The strategies that make the next suggestions in turn; None stands for quasi-random."""
        known = sum(history.count(state) for state in (State.DONE, State.STOPPED, State.PAUSED))
        if known < STARTUP and not _enough(history):
            return (None,)
        if _compared_at_rungs(history):
            model = _quick_gp() if _learnable(history, COMPARED_DIMENSIONS) else _forest()
            least, most = COMPARED
            return (None,) if known < min(most, max(least, 3 * history.space.dim)) else (model, model, model, _random())
        if not _learnable(history, GP_DIMENSIONS):
            return (_tpe(),)
        gp = _gp() if _affordable(history) else _quick_gp()
        return (gp, gp, gp, _tpe())


def _hurried(history: History) -> str:
    """What is said where time is all that limits the search."""
    plan = history.plan
    only = plan.time_s is not None and plan.trials is None and plan.steps is None
    return "; time is the budget, so configs that train fast come first" if only else ""


def _small(history: History) -> Grid | None:
    """The grid of the whole space, if the budget of trials suffices for (nearly) all of it."""
    trials = history.plan.trials
    cells = UnitCube(history.space).cells
    largest = int(cells.max()) if len(cells) and cells.max() < 1000 else 0
    if trials is None or not largest:
        return None
    grid = Grid(max(2, largest))
    return grid if grid.size(history.space) <= 1.2 * trials else None


def _enough(history: History) -> bool:
    """Whether a model can begin before `STARTUP` trials have a loss, because others fail by their configs."""
    if not history.count(State.FAILED):
        return False
    from automl_strategies.surrogates.drawbacks.failures import enough
    from automl_strategies.surrogates.observations import observations

    return enough(observations(history), STARTUP)


def _affordable(history: History) -> bool:
    """Whether a Gaussian process may be fitted for each suggestion: for few trials, and workers that wait for it."""
    long = (history.plan.trials or 0) > GP_TRIALS
    return len(history) <= (GP_FIRST if long else GP_TRIALS) and history.plan.workers < GP_WORKERS


def _learnable(history: History, most: int) -> bool:
    """Whether there are few enough parameters: on average, at most `most` are active in a config."""
    if history.space.dim <= most:
        return True
    cube = UnitCube(history.space)
    points = cube.random(np.random.default_rng(0), 256)
    return float(cube.active(points).sum(axis=1).mean()) <= most


def _compared_at_rungs(history: History) -> bool:
    """Whether the stopper has ended or paused any trial."""
    return history.count(State.PAUSED) + history.count(State.STOPPED) > 0


@lru_cache(maxsize=1)
def _gp() -> Strategy:
    from automl_strategies.gaussian_process import Gp

    return Gp()


@lru_cache(maxsize=1)
def _quick_gp() -> Strategy:
    from automl_strategies.quick_gp import QuickGp

    return QuickGp(random_share=0.0)  # a quarter is random already


@lru_cache(maxsize=1)
def _random() -> Strategy:
    """Not Sobol: every fourth point of its sequence lies in the same quarter of the first parameter's range."""
    return Random()


@lru_cache(maxsize=1)
def _forest() -> Strategy:
    from automl_strategies.forest import Forest

    return Forest()


@lru_cache(maxsize=1)
def _tpe() -> Strategy:
    from automl_strategies.tpe import Tpe

    return Tpe()
