"""What a study may spend, what it has spent, and how long trials that run may take beyond it."""

from collections.abc import Callable
from dataclasses import replace

from automl.core.history import History
from automl.core.stopper import OUT_OF_BUDGET as OUT_OF_BUDGET
from automl.core.stopper import Verdict, cut_by_budget
from automl.core.trial import Plan, TrialRecord

GRACE_SHARE = 0.1
"""Trials that run when the time ends may go on for this share of the time budget, to report once more."""
LEAST_GRACE_S, MOST_GRACE_S = 5.0, 60.0
"""Bounds of that grace time; the upper one holds as soon as a trial has run its full length."""
FINALISTS_SHARE = 1 / 3
"""At most this share of the time budget is kept for the finalists."""
LEAST_RUNS = 2
"""Time is kept for the finalists only if at least so many of their runs fit into it."""


class Budget:
    """Compares what a study has spent with the limits in `history.plan`.

    Args:
        history: the study's trials.
        clock: seconds.
        elapsed_s: seconds that earlier sessions of the study took.

    Attributes:
        added: results from elsewhere, which cost nothing.
        finalist_runs: runs of finalists that follow the search and share its time budget.
        pack: whether the models of the best trials together are the result, also of those that the budget ended. Then
            trials end with the time, without grace, and no time is kept so that one of them runs its full length.
        kept_s: returns the seconds of the time budget that are kept for what follows the search of a pack.
        concluded: why the search ends before its budget is used up; "" as long as it does not.
    """

    def __init__(self, history: History, clock: Callable[[], float], elapsed_s: float) -> None:
        self.history, self.clock = history, clock
        self.added = sum(t.origin == "added" for t in history.trials)
        self.finalist_runs = 0
        self.pack, self.concluded = False, ""
        self.kept_s: Callable[[], float] = lambda: 0.0
        self._earlier_s, self._opened_s = elapsed_s, clock()

    @property
    def plan(self) -> Plan:
        """The limits."""
        return self.history.plan

    def leave_out(self, seconds: float) -> None:
        """Do not count so many seconds that have just passed."""
        self._opened_s += seconds

    def count_from(self, begun_s: float) -> None:
        """Count the time from `begun_s` on the clock, if that was before the study was opened."""
        self._opened_s = min(self._opened_s, begun_s)

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
    def no_time_left(self) -> bool:
        """Whether the time of the search is used up, or what is left of it belongs to the finalists.

        Not before a trial has begun, however long it took to load the data: a search ends with a winner.
        """
        return self.left_s() <= 0 and self.started > 0

    @property
    def spent(self) -> bool:
        """Whether the budget of steps or of time is used up, or the search ends for another reason."""
        return self.no_steps_left or self.no_time_left or bool(self.concluded)

    @property
    def verdict(self) -> Verdict:
        """What a trial that must end is told."""
        return (
            replace(OUT_OF_BUDGET, reason=f"{OUT_OF_BUDGET.reason}: {self.concluded}")
            if self.concluded
            else OUT_OF_BUDGET
        )

    # -- time ----------------------------------------------------------------------------------------------------------

    def left_s(self, *, finalists: bool = False) -> float:
        """Seconds until the time budget ends; infinite without one.

        `finalists`: whether the time that is kept for the finalists, or for a pack's ensemble, counts too.
        """
        if self.plan.time_s is None:
            return float("inf")
        kept = 0.0 if finalists else self.kept_for_finalists_s() + self.kept_s()
        return self.plan.time_s - kept - self.elapsed_s

    @property
    def grace_s(self) -> float:
        """Seconds after the end of the time budget in which trials that run then may still report."""
        if self.plan.time_s is None:
            return float("inf")
        if not self.history.steps_spent or (self.pack and not self.members()):  # there would be no winner
            return max(self.plan.time_s, MOST_GRACE_S)
        grace_s = max(GRACE_SHARE * self.plan.time_s, LEAST_GRACE_S)
        return grace_s if self.history.best is None else min(grace_s, MOST_GRACE_S)

    def members(self) -> list[TrialRecord]:
        """Trials whose models count: those that ran their full length, of a pack also those that the budget ended."""
        cut = [t for t in self.history.stopped if t.loss is not None and cut_by_budget(t)] if self.pack else []
        return self.history.done + cut

    @property
    def until_overdue_s(self) -> float:
        """Seconds until the grace time ends too; of a pack without a model, not before a trial had time for one."""
        begun_s = next((t.started_s for t in self.history.running), None)
        if self.pack and begun_s is not None and not self.members():
            return max(self.left_s(), begun_s - self.elapsed_s) + self.grace_s
        return self.left_s() + self.grace_s

    @property
    def overdue(self) -> bool:
        """Whether the grace time has ended too."""
        return self.until_overdue_s < 0

    def full_trial_s(self) -> float | None:
        """Seconds of the whole search for each trial of full length, at the speed so far; None while unknown."""
        horizon = self.plan.horizon or max((t.step for t in self.history.done), default=0)
        steps = self.history.steps_spent
        return self.elapsed_s * horizon / steps if horizon and steps else None

    def kept_for_finalists_s(self) -> float:
        """Seconds of the time budget that are kept for the finalists; none before there is a trial of full length."""
        if not self.finalist_runs or self.plan.time_s is None or self.history.best is None:
            return 0.0
        trial_s, most_s = self.full_trial_s(), FINALISTS_SHARE * self.plan.time_s
        if trial_s is None or LEAST_RUNS * trial_s > most_s:
            return 0.0
        return min(self.finalist_runs * trial_s, most_s)
