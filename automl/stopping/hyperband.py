"""Hyperband: brackets that differ in how early they start to compare.

Li et al., "Hyperband: A Novel Bandit-Based Approach to Hyperparameter Optimization" (JMLR 2018), algorithm 1, with
trials continued from their checkpoints.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from automl.core.history import History
from automl.errors import SpecError
from automl.stopping.brackets import Bracket, Bracketed
from automl.stopping.rungs import first_rung, geometric


@dataclass(frozen=True)
class Hyperband(Bracketed):
    """Brackets from many short trials to few full ones, in turns; safe if early ranks mislead, but expensive.

    On real learning curves it needed about four times the budget of `halving` for the same result.
    """

    eta: int = 3  # one in eta continues
    min_steps: int | None = None  # the first rung; None: one epoch or 2 % of a full trial
    survivors: float = 0.0  # share of the trials cut that continues to the next rung, as a control sample

    def __post_init__(self) -> None:
        if self.eta < 2:
            raise SpecError(f"hyperband: eta must be at least 2, got {self.eta}")
        if self.min_steps is not None and self.min_steps < 1:
            raise SpecError(f"hyperband: min_steps must be at least 1, got {self.min_steps}")

    def brackets(self, history: History) -> Sequence[Bracket]:
        plan = history.plan
        if plan.horizon is None:
            return [Bracket((2**62,), (2**62,))]  # nothing to compare at: one endless bracket without rungs
        rungs = geometric(plan.horizon, self.eta, first_rung(plan.horizon, self.min_steps))
        most = len(rungs)
        wanted = len(history) + plan.workers + 1 if plan.trials is None else plan.trials
        made: list[Bracket] = []
        while wanted > 0:
            s = most - len(made) % (most + 1)  # how many rungs this bracket compares at
            size = math.ceil((most + 1) / (s + 1) * self.eta**s)
            size = size if plan.trials is None else min(size, wanted)
            made.append(Bracket.of(size, (self.eta,) * s, rungs[most - s :], plan.horizon))
            wanted -= size
        return made

    def note(self, history: History) -> str:
        if history.plan.horizon is None:
            return "hyperband knows no horizon: trials are not compared"
        return "hyperband, in turn: " + "; ".join(str(b) for b in self.brackets(history)[:5])
