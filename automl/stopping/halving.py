"""Successive halving sized by the budget: brackets are made just large enough to spend the budget.

Karnin et al., "Almost optimal exploration in multi-armed bandits" (ICML 2013) for the elimination; the sizing, the
waves and the guard are our own. On real learning curves it needs about half of ASHA's budget and a quarter of
Hyperband's for the same regret (docs/measured/strategies.md).

A wave is one bracket. A later wave begins when the one before it has nothing more to do or leaves workers idle, so
that a strategy can learn from whole curves in between.

The best of the end may be middling after the first steps, and a few trials cannot show that they are: whoever is best
of eight or sixteen random trials is not one of the best. So one in five of the better half passes the first rung too.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from automl.core.history import History
from automl.core.stopper import Stopper, Verdict
from automl.core.trial import Plan
from automl.errors import SpecError
from automl.stopping.asha import Asha
from automl.stopping.brackets import Bracket, Bracketed
from automl.stopping.rungs import first_rung, geometric, rank_correlation, tapered

PILOTS = 8  # trials that pass an untested rung whatever they report, to measure how well it predicts; 16 in doubt
TRUSTED = 0.5  # at a rung whose rank correlation with the next is below this, no trial is cut


@dataclass(frozen=True)
class Halving(Bracketed):
    """Compare all trials of a wave at each rung, continue the best from their checkpoints, and use the whole budget.

    Many trials are cut at early, cheap rungs and few at late ones, unless `eta` asks for the same cut everywhere.
    Needs a budget of steps or trials and a full trial's length; without them it is ASHA by promotion. If a budget of
    trials leaves enough steps, one trial in five runs its full length, two to five of each wave: finalists are chosen
    among them.
    """

    eta: int | None = None  # one in eta continues at geometric rungs; None: 8, 3, 2, 2 at tapered ones
    waves: int = 2  # brackets, one after the other, that share the budget
    min_steps: int | None = None  # the first rung; None: one epoch or 2 % of a full trial
    survivors: float = 0.05  # share of the trials cut that continues to the next rung, as a control sample
    near_misses: float = 0.2  # the same for those cut at the first rung who are in the better half of all there
    guard: bool = True  # skip early rungs that do not predict later ones

    def __post_init__(self) -> None:
        if self.eta is not None and self.eta < 2:
            raise SpecError(f"halving: eta must be at least 2, got {self.eta}")
        if self.waves < 1:
            raise SpecError(f"halving: waves must be at least 1, got {self.waves}")
        if self.min_steps is not None and self.min_steps < 1:
            raise SpecError(f"halving: min_steps must be at least 1, got {self.min_steps}")
        for name in ("survivors", "near_misses"):
            if not 0 <= getattr(self, name) <= 1:
                raise SpecError(f"halving: {name} is a share between 0 and 1, got {getattr(self, name)}")

    def brackets(self, history: History) -> Sequence[Bracket]:
        return _brackets(self, history.plan, *self._tested(history))

    def pilots(self, history: History) -> tuple[int, int]:
        every, _ = self.ladder(history.plan)
        skipped, pilots = self._tested(history)
        return (pilots, every[skipped]) if pilots else (0, 0)

    def skipped(self, history: History) -> int:
        """At how many early rungs no trial is cut."""
        return self._tested(history)[0]

    def _tested(self, history: History) -> tuple[int, int]:
        """(rungs at which no trial is cut, trials that pass untested rungs), judged by those trials.

        Eight ranks are few: if they say that a rung misleads, eight more trials must confirm it.
        """
        every, _ = self.ladder(history.plan)
        if not self.guard or len(every) < 2:
            return 0, 0
        for k in range(len(every) - 1):
            for pilots in (PILOTS, 2 * PILOTS):
                awaited = any(not t.state.ended and t.step < every[k + 1] for t in history.trials[:pilots])
                if len(history) < pilots or awaited or not _misleads(history, every[k], every[k + 1], pilots):
                    return k, pilots
        return len(every) - 1, 0

    def verdict(self, history: History, trial: int) -> Verdict:
        asha = self._instead(history.plan)
        return super().verdict(history, trial) if asha is None else asha.verdict(history, trial)

    def promote(self, history: History) -> list[int]:
        asha = self._instead(history.plan)
        return super().promote(history) if asha is None else asha.promote(history)

    def drop(self, history: History) -> Mapping[int, str]:
        return super().drop(history) if self._instead(history.plan) is None else {}

    def room(self, history: History) -> int | None:
        return super().room(history) if self._instead(history.plan) is None else None

    def note(self, history: History) -> str:
        if (asha := self._instead(history.plan)) is not None:
            return f"halving has no budget of steps or trials to divide; ASHA by promotion instead: {asha}"
        return "successive halving: " + "; then ".join(str(b) for b in self.brackets(history))

    def summary(self, history: History) -> str:
        if self._instead(history.plan) is not None:
            return ""
        skipped = self.ladder(history.plan)[0][: self.skipped(history)]
        parts = [super().summary(history)] if super().summary(history) else []
        if skipped:
            parts.append(
                f"no trial was cut at step {', '.join(map(str, skipped))}: ranks there predict the next ones badly"
            )
        return "; ".join(parts)

    def ladder(self, plan: Plan) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """The rungs below the horizon, and by what number the trials are divided at each."""
        if plan.horizon is None:
            return (), ()
        first = first_rung(plan.horizon, self.min_steps)
        if self.eta is None:
            return tapered(plan.horizon, first)
        rungs = geometric(plan.horizon, self.eta, first)
        return rungs, (self.eta,) * len(rungs)

    def _instead(self, plan: Plan) -> Stopper | None:
        """The stopper that is used if there is no budget to divide; None if there is one."""
        if plan.horizon is not None and (plan.steps is not None or plan.trials is not None):
            return None
        first = self.min_steps or (1 if plan.horizon is None else first_rung(plan.horizon, None))
        return Asha(eta=self.eta or 3, min_steps=first, mode="promote")


def _misleads(history: History, rung: int, later: int, pilots: int) -> bool:
    """Whether the ranks of the first trials at `rung` do not predict those at `later`."""
    a, b = ({n: at[n] for n in range(pilots) if n in at} for at in (history.losses_at(rung), history.losses_at(later)))
    rho, both = rank_correlation(a, b)
    return both >= pilots - 2 and rho < TRUSTED


@lru_cache(maxsize=256)
def _brackets(halving: Halving, plan: Plan, skipped: int, pilots: int) -> tuple[Bracket, ...]:
    """Brackets that spend `plan` when no trial is cut at the first `skipped` rungs and `pilots` trials pass them."""
    assert plan.horizon is not None
    every, every_cut = halving.ladder(plan)
    rungs, cuts = every[skipped:], every_cut[skipped:]
    horizon = plan.horizon

    def bracket(trials: int, least: int = 1) -> Bracket:
        return Bracket.of(trials, cuts, rungs, horizon, least)

    def generous(trials: int, steps: float) -> Bracket:
        """If trials are the scarce part of the budget, several run their full length, as far as the steps allow."""
        least = 1 if plan.trials is None else min(5, max(2, trials // 5))
        return next((b for n in range(least, 1, -1) if cost(b := bracket(trials, n)) <= steps), bracket(trials))

    def cost(b: Bracket) -> float:
        extra = b.control_cost(halving.survivors, halving.near_misses)
        return b.cost + 1.3 * extra  # the sample varies; the last full trial must not be cut short

    def largest(steps: float, trials: float) -> int:
        """The most trials of one bracket, at least one."""
        low, high = 1, 1 + int(min(trials, 2**40 if math.isinf(steps) else max(steps, 1) / (rungs or (horizon,))[0]))
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if middle <= trials and cost(bracket(middle)) <= steps else (low, middle)
        return low

    steps = math.inf if plan.steps is None else float(plan.steps)
    if len(rungs) > 1:
        steps -= pilots * (rungs[1] - every[0])
    trials = math.inf if plan.trials is None else float(plan.trials)
    waves = halving.waves
    while waves > 1 and 2 * largest(steps / waves, trials / waves) < math.prod(cuts):
        waves -= 1  # too small for all rungs: better fewer and larger waves
    made: list[Bracket] = []
    for left in range(waves, 0, -1):
        made.append(generous(largest(steps / left, trials / left), steps / left))
        steps -= cost(made[-1])
        trials -= made[-1].sizes[0]
    return tuple(made)
