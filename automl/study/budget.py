"""What a study may spend, and what it has spent."""

from collections.abc import Callable

from automl.core.history import History
from automl.core.stopper import Kind, Verdict
from automl.core.trial import Plan

OUT_OF_BUDGET = Verdict(Kind.STOP, "budget used up")


class Budget:
    """Compares what a study has spent with the limits in `history.plan`.

    Args:
        history: the study's trials.
        clock: seconds.
        elapsed_s: seconds that earlier sessions of the study took.
    """

    def __init__(self, history: History, clock: Callable[[], float], elapsed_s: float) -> None:
        self.history, self.clock = history, clock
        self.added = sum(t.origin == "added" for t in history.trials)  # results from elsewhere cost nothing
        self._earlier_s, self._opened_s = elapsed_s, clock()

    @property
    def plan(self) -> Plan:
        """The limits."""
        return self.history.plan

    @property
    def started(self) -> int:
        """Trials that the study began itself."""
        return len(self.history) - self.added

    @property
    def elapsed_s(self) -> float:
        """Seconds that the study has been driven, over all its sessions."""
        return self._earlier_s + self.clock() - self._opened_s

    @property
    def no_steps_left(self) -> bool:
        """Whether the budget of steps is used up."""
        return self.plan.steps is not None and self.history.steps_spent >= self.plan.steps

    @property
    def no_trials_left(self) -> bool:
        """Whether the budget of trials is used up."""
        return self.plan.trials is not None and self.started >= self.plan.trials

    @property
    def spent(self) -> bool:
        """Whether the budget of steps or of time is used up."""
        return self.no_steps_left or (self.plan.time_s is not None and self.elapsed_s >= self.plan.time_s)
