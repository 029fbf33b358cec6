"""The end of a budget: what is left of it goes to trials that can run their full length, so that there is a winner.

Many trials that train side by side may use up a budget before any of them has run its full length. So as long as no
trial has, the study compares what is left with what the trial that is furthest still needs. When that is hardly enough,
the budget is tight: no trial begins, that trial is not stopped, and of those that train beside it only as many go on as
leave it the time it needs.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from automl.core.history import History
from automl.core.messages import Measured
from automl.core.stopper import CONTINUE, OUT_OF_BUDGET, Kind, Verdict
from automl.core.trial import State, TrialRecord
from automl.study.budget import Budget

SAFETY = 0.9
"""So much of the time that is left is planned with."""
GAIN = 0.75
"""Half as many trials side by side need at least 0.5 and at most 0.5 ** GAIN of the time for a step: assumed until it
is measured."""
HOPE = 1.5
"""Where even alone a trial would need so many times what is left, the end of the budget is nothing special."""
SHORT = 0.25
"""The time seems short if as many steps as a full trial has, each as long as the start took, need this share of it."""
MOST_ROOM = 1000
"""So many trials are as good as any number."""
LEFT_FOR_OTHERS = Verdict(Kind.STOP, f"{OUT_OF_BUDGET.reason}: what is left is for trials that are further")


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast a trial trained: seconds for a step, beside how many others, itself included."""

    step_s: float
    lanes: int

    def at(self, lanes: int) -> float:
        """Seconds for a step where `lanes` trials train side by side."""
        share = lanes / self.lanes
        return self.step_s * (share**GAIN if share < 1 else share)


@dataclass
class Endgame:
    """Decides for one study. `paces`: of trials that have not ended; only a driver measures them."""

    history: History
    budget: Budget
    paces: dict[int, Pace] = field(default_factory=dict)
    latest: Pace | None = None  # what was measured last
    slowest_s: float = 0.0  # seconds of the slowest step so far

    def measured(self, points: Sequence[Measured], seconds: float) -> None:
        """Trials that train side by side have reported these points, `seconds` after the ones before."""
        for point in points:
            steps = point.step - self.history.trials[point.trial].step
            if steps > 0:
                self.paces[point.trial] = self.latest = Pace(seconds / steps, len(points))
                self.slowest_s = max(self.slowest_s, seconds / steps)

    def ended(self, trial: int) -> None:
        """Forget a trial."""
        self.paces.pop(trial, None)

    def leader(self) -> TrialRecord | None:
        """The trial for which the rest of the budget is kept; None while the budget is not tight."""
        if self.budget.pack or self.history.best is not None or not self._may_be_tight():
            return None
        going = [t for t in (*self.history.running, *self.history.paused) if t.curve]
        first = min(going, key=lambda t: (-t.step, self.history.score(t), t.number), default=None)
        if first is None or not self._needed(first):  # one that has reported its last step is as good as done
            return None
        return first if self._few_steps(first) or self._little_time(first) else None

    def room(self) -> float:
        """How many trials may begin so that, as far as is known, one can run its full length with the steps that are
        left, and they can in time.

        Of trials that share a worker, each makes the others slower. Before the speed is known, and where the time seems
        short, it is one trial for each worker that asks. Infinite as soon as a trial has run its full length.
        """
        horizon, left_s = self.history.plan.horizon, SAFETY * self.budget.left_s()
        if self.budget.pack or self.history.best is not None or horizon is None:
            return math.inf
        return min(
            self._room_in_steps(horizon), math.inf if math.isinf(left_s) else self._room_in_time(horizon, left_s)
        )

    def _room_in_steps(self, horizon: int) -> float:
        """So many trials that the one which needs least can still end: each takes a step before it can be stopped."""
        if self.history.plan.steps is None:
            return math.inf
        going = [*self.history.running, *self.history.paused]
        first = min(going, key=lambda t: (-t.step, t.state is not State.RUNNING), default=None)
        needed = horizon if first is None else self._needed(first)
        left = self.history.plan.steps - self.history.steps_spent
        if needed > left:
            return math.inf  # it cannot end in any case
        waits = first is not None and first.state is not State.RUNNING
        room = left - needed - self.history.count(State.RUNNING) + (not waits)
        return max(room, 0 if going else 1)

    def _room_in_time(self, horizon: int, left_s: float) -> float:
        if self.latest is None:  # an epoch of many rows takes about as long as to load them
            return 1 if self.budget.elapsed_s * horizon > SHORT * left_s else math.inf
        running = [self.paces[t.number].lanes for t in self.history.running if t.number in self.paces]
        beside = max(running, default=0)
        beside = 0 if beside == 1 else beside
        room = 0
        while room < MOST_ROOM and horizon * self.latest.at(beside + room + 1) <= left_s:
            room += 1
        return room if self.history.running else max(room, 1)

    def last_word(self, point: Measured, verdict: Verdict, together: Sequence[int]) -> Verdict:
        """What a trial does after a report, given what the stopper says.

        Args:
            point: the report, which is in the history.
            verdict: the stopper's.
            together: the trials that train side by side with it and have reported too.
        """
        if (leader := self.leader()) is not None:
            verdict = CONTINUE if point.trial in self._chosen(leader, together) else LEFT_FOR_OTHERS
        elif verdict.kind is Kind.STOP and self._is_last_hope(self.history.trials[point.trial]):
            verdict = CONTINUE
        if verdict.kind is Kind.CONTINUE and self._out_of_budget(point):
            return self.budget.verdict
        return verdict

    # -- what is left --------------------------------------------------------------------------------------------------

    def _needed(self, record: TrialRecord) -> int:
        """Steps to its full length."""
        return max((self.history.plan.horizon or record.step) - record.step, 0)

    def _may_be_tight(self) -> bool:
        """A quick look, which spares the others."""
        plan = self.history.plan
        if plan.horizon is None:
            return False
        left = math.inf if plan.steps is None else plan.steps - self.history.steps_spent
        return (
            left <= plan.horizon + self.history.count(State.RUNNING)
            or SAFETY * self.budget.left_s() < plan.horizon * self.slowest_s
        )

    def _few_steps(self, leader: TrialRecord) -> bool:
        """Whether the others would take steps that the leader needs: each of them reports once more at least."""
        if self.history.plan.steps is None:
            return False
        others = sum(t.number != leader.number for t in self.history.running)
        left = self.history.plan.steps - self.history.steps_spent
        waits = leader.state is not State.RUNNING  # then nothing may begin before it
        return self._needed(leader) <= left < self._needed(leader) + others + waits

    def _is_last_hope(self, record: TrialRecord) -> bool:
        """Whether a trial could run its full length with the steps that are left, and without it none could."""
        plan = self.history.plan
        if self.budget.pack or self.history.best is not None or plan.horizon is None or plan.steps is None:
            return False
        left = plan.steps - self.history.steps_spent
        others = [t for t in (*self.history.running, *self.history.paused) if t.number != record.number]
        more = plan.trials is None or self.budget.started < plan.trials
        least = min([self._needed(t) for t in others] + [plan.horizon] * more, default=math.inf)
        running = sum(t.state is State.RUNNING for t in others)
        return self._needed(record) <= left < least + running

    def _little_time(self, leader: TrialRecord) -> bool:
        """Whether the leader will hardly end in time, as fast as it was, but might if it trained alone."""
        pace, left_s = self.paces.get(leader.number), self.budget.left_s()
        if pace is None:
            return False
        needed = self._needed(leader)
        return needed * pace.step_s > SAFETY * left_s and needed * pace.at(1) < HOPE * left_s

    def _chosen(self, leader: TrialRecord, together: Sequence[int]) -> set[int]:
        """Which of the trials `together` go on: the leader, or the one that is furthest, and those it has time for."""
        trials = [self.history.trials[n] for n in together]
        ranked = sorted(trials, key=lambda t: (t.number != leader.number, -t.step, self.history.score(t)))
        pace = self.paces.get(ranked[0].number)
        if self._few_steps(leader):
            return {leader.number}
        if pace is None:
            return set(together)
        needed, left_s = self._needed(ranked[0]), SAFETY * self.budget.left_s()
        fit = sum(needed * pace.at(k) <= left_s for k in range(1, len(ranked) + 1))
        return {t.number for t in ranked[: max(fit, 1)]}

    # -- the end -------------------------------------------------------------------------------------------------------

    def _out_of_budget(self, point: Measured) -> bool:
        """Whether the trial must not go on: the budget is used up, or would be long before its next report.

        A trial that is going to end within the grace time goes on; so does one that has never said how long it is and
        may have ended with this report.
        """
        budget, pace = self.budget, self.paces.get(point.trial)
        step_s = pace.step_s if pace is not None else 0.0
        horizon = point.horizon or self.history.plan.horizon
        if budget.pack:
            return budget.spent or step_s > budget.left_s()
        until_s = budget.left_s() + budget.grace_s
        if not budget.spent:
            return step_s > until_s
        if horizon is None:
            record = self.history.trials[point.trial]
            longest = max((t.step for t in self.history.done), default=0)
            return budget.overdue or (len(record.curve) > 1 and point.step < (longest or point.step + 1))
        return budget.no_steps_left or pace is None or (horizon - point.step) * step_s > until_s
