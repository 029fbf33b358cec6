"""A population that trains side by side: at regular steps the worst are replaced by heirs of the best.

Jaderberg et al., "Population Based Training of Neural Networks" (2017), a generation at a time: all members pause at
the same step, the worst quarter ends, and the others go on once the strategy (`pbt`) has begun an heir for each place
that is free. A member that fails is replaced in the same way. A population that has reached its full length is
followed by another one, as long as the budget lasts.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from automl.core.history import History
from automl.core.stopper import CONTINUE, Kind, Stopper, Verdict
from automl.core.trial import Plan, TrialRecord
from automl.errors import SpecError

SIZES = (4, 32)
"""The smallest and the largest population that is chosen by the budget."""
USUAL = 16
"""The size without a budget of steps or trials."""


@dataclass(frozen=True)
class Population(Stopper):
    """Every `ready` steps all members pause; the worst `share` ends, and heirs of the best take their places.

    For the strategy `pbt`, which suggests these heirs. Needs the length of a full trial, and checkpoints.
    """

    size: int | None = None  # members at once; None: what the budget is enough for, 4 to 32
    ready: int | None = None  # steps between two comparisons; None: a tenth of a full trial
    share: float = 0.25  # of those that have reached the step, ends

    def __post_init__(self) -> None:
        if self.size is not None and self.size < 2:
            raise SpecError(f"population: size must be at least 2, got {self.size}")
        if self.ready is not None and self.ready < 1:
            raise SpecError(f"population: ready must be at least 1, got {self.ready}")
        if not 0 < self.share <= 0.5:
            raise SpecError(f"population: share must be above 0 and at most 0.5, got {self.share}")

    def every(self, plan: Plan) -> int:
        """Steps between two comparisons."""
        return self.ready or max(1, round((plan.horizon or 10) / 10))

    def members(self, plan: Plan) -> int:
        """How many trials train side by side."""
        if self.size is not None:
            return self.size
        sizes = []
        if plan.horizon is not None and plan.steps is not None:
            sizes.append(plan.steps / plan.horizon)
        if plan.horizon is not None and plan.trials is not None:
            generations = max(0, -(-plan.horizon // self.every(plan)) - 1)
            sizes.append(plan.trials / (1 + self.share * generations))
        return int(max(SIZES[0], min(SIZES[1], *sizes, *(sizes or (USUAL,)))))

    # -- decisions -----------------------------------------------------------------------------------------------------

    def verdict(self, history: History, trial: int) -> Verdict:
        step = history.trials[trial].step
        if history.plan.horizon is None or step % self.every(history.plan):
            return CONTINUE
        return Verdict(Kind.PAUSE, f"step {step}: compared with the others of its population")

    def promote(self, history: History) -> list[int]:
        step = self._compared_at(history)
        if step is None or self.room(history):
            return []
        ends = self._ends(history, step)
        going = [t.number for t in _waiting(history) if t.number not in ends]
        return sorted(going, key=lambda n: (history.standing(n), n))

    def drop(self, history: History) -> Mapping[int, str]:
        step = self._compared_at(history)
        if step is None:
            return {}
        order = _ranked(history, step)
        return {
            n: f"rank {order.index(n) + 1} of {len(order)} at step {step}: an heir of a better one takes its place"
            for n in self._ends(history, step)
        }

    def room(self, history: History) -> int | None:
        """Places of a first generation, or of members that have ended; none while members train to a comparison."""
        plan = history.plan
        if plan.horizon is None:
            return None
        alive, step = len(history.running) + len(history.paused), self._compared_at(history)
        if missing := self._missing(history):
            free = missing
        elif step is not None:
            free = self.members(plan) - alive + len(self._ends(history, step))
            if plan.steps is not None:
                orphans = len(history) > self.members(plan) and history.trials[-1].parent is None
                free = min(free, self._left(history, step) // (plan.horizon - (0 if orphans else step)))
        elif history.paused or any(t.parent or t.step >= self.every(plan) for t in history.running):
            free = 0
        else:
            free = self.members(plan) - alive
        most = free if plan.trials is None else min(free, plan.trials - len(history))
        return max(0, most)

    def note(self, history: History) -> str:
        if history.plan.horizon is None:
            return "population knows no full length of a trial: no trial is compared or replaced"
        size, every = self.members(history.plan), self.every(history.plan)
        return f"population: {size} trials train side by side and are compared every {every} steps"

    def summary(self, history: History) -> str:
        heirs = sum(t.parent is not None for t in history.trials)
        return f"{heirs} trials began with the weights of another one" if heirs else ""

    # -- who ends ------------------------------------------------------------------------------------------------------

    def _ends(self, history: History, step: int) -> set[int]:
        """Of those that wait at `step`: the worst share of all that have reached it, and whom no steps are left for."""
        order = _ranked(history, step)
        worst = set(order[len(order) - min(len(order) - 1, round(self.share * len(order))) :])
        waiting = sorted((t.number for t in _waiting(history)), key=order.index)
        ends = {n for n in waiting if n in worst}
        left, needed = self._left(history, step, ends), (history.plan.horizon or step) - step
        further = len(history.running) + len(history.paused) > len(waiting)
        while left < 0 and len(ends) < len(waiting) - (not further):
            ends.add(next(n for n in reversed(waiting) if n not in ends))
            left += needed
        return ends

    def _compared_at(self, history: History) -> int | None:
        """The step at which members wait for a comparison; None while others train to it, or where none waits."""
        waiting = _waiting(history)
        if not waiting or self._missing(history) or any(t.step < waiting[0].step for t in history.running):
            return None
        return waiting[0].step

    def _missing(self, history: History) -> int:
        """How many of the first population have not begun: before they have, none is compared."""
        added = sum(t.origin == "added" for t in history.trials)
        size, trials = self.members(history.plan), history.plan.trials
        begun = sum(t.parent is None for t in history.trials[: size + added]) - added
        return max(0, min(size, size if trials is None else trials - added) - begun)

    def _left(self, history: History, step: int, ends: set[int] | None = None) -> int:
        """Steps of the budget that are left when all members but `ends` (None: those of `_ends`) train to their end."""
        plan = history.plan
        if plan.steps is None or plan.horizon is None:
            return 0
        out = self._ends(history, step) if ends is None else ends
        alive = [t for t in (*history.running, *history.paused) if t.number not in out]
        return plan.steps - history.steps_spent - sum(plan.horizon - t.step for t in alive)


def _waiting(history: History) -> list[TrialRecord]:
    """The members that are paused at the lowest step at which any one is."""
    least = min((t.step for t in history.paused), default=0)
    return [t for t in history.paused if t.step == least]


def _ranked(history: History, step: int) -> list[int]:
    """All trials that have reported at `step`, the best first."""
    losses = history.losses_at(step)
    return sorted(losses, key=lambda n: (losses[n], n))
