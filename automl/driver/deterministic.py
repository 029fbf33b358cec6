"""Order of events that does not depend on timing (`deterministic: true`).

Every trial has a virtual clock that advances by one with each report. The next event to be processed is that of the
trial whose clock is lowest (of equals, the trial with the lowest number), however long others have been waiting. New
trials begin at fixed points of that order. So a search with `width` workers gives the same suggestions, verdicts and
leaderboard each time, also after kills. The price is waiting: a worker that has reported goes on when all trials whose
clocks are behind have caught up.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

from automl.core.messages import Assignment, Ended, Outcome, Ready, Reported
from automl.core.trial import Failure, State
from automl.driver.order import EventOrder, TrialEvent
from automl.study.study import Study


@dataclass
class VirtualTimeOrder(EventOrder):
    """Processes events by virtual time. Its state is a function of the study's ledger."""

    study: Study
    width: int = 0  # trials that run at once
    clock: dict[int, int] = field(default_factory=dict)  # by running trial: virtual time of its last report
    final: dict[int, bool] = field(default_factory=dict)  # by running trial: whether that report was its last
    now: int = 0  # the latest report's virtual time
    arrived: dict[int, TrialEvent] = field(default_factory=dict)  # by trial: not processed yet
    out: deque[Assignment] = field(default_factory=deque)  # begun by the study, no worker has asked for it yet

    def begin(self, workers: int) -> int:
        known = self.study.ledger.facts().get("width")
        self.width = known or workers
        if not known:
            self.study.ledger.describe(width=self.width)
        self._restore()
        self.out.extend(self.study.again())
        for trial in list(self.clock):
            if self.study.history.trials[trial].state is not State.RUNNING:
                self._left(trial)
        self._fill()
        return self.width

    def _restore(self) -> None:
        """Restore the state in which the last driver left the study."""
        paused: set[int] = set()
        for _, kind, trial, what, _, _, more in self.study.ledger.in_order():
            if kind == "begun" or (kind == "again" and trial in paused):
                self._started(trial)
                paused.discard(trial)
            elif kind == "report" and trial in self.clock:
                self._advanced(trial, more is not None and what >= more)
            elif kind in ("pause", "end"):
                self._left(trial)
                if kind == "pause":
                    paused.add(trial)

    def take(self, event: TrialEvent) -> Iterator[TrialEvent]:
        if isinstance(event, Reported) and not event.points:  # only advice for the user
            yield event
            return
        trial = event.trial if isinstance(event, Ended) else event.points[0].trial
        if self._repeats(event):
            yield event
            return
        self.arrived[trial] = event
        while self.clock and (first := min(self.clock, key=self._due)) in self.arrived:
            event = self.arrived.pop(first)
            steps = len(self.study.history.trials[first].curve)
            yield event
            record = self.study.history.trials[first]
            if len(record.curve) > steps and isinstance(event, Reported):
                point = event.points[0]
                horizon = point.horizon or self.study.plan.horizon
                self._advanced(first, horizon is not None and point.step >= horizon)
            if record.state is not State.RUNNING:
                self._left(first)
            self._fill()

    def ask(self, ready: Ready) -> list[Assignment]:
        free = (one for one in self.out if not self.study.held(one.number))  # one that was paused is saved first
        if ready.busy or (assignment := next(free, None)) is None:
            return []
        self.out.remove(assignment)
        return [assignment]

    def lost(self, assignment: Assignment, reason: str, kind: str, log: str) -> Iterator[TrialEvent]:
        number = assignment.number
        if not self.study.runs(number, assignment.attempt):
            return
        if not self.study.may_retry(number):
            failure = Failure(kind, reason, self.study.history.trials[number].step, log)
            yield from self.take(Ended(-1, number, assignment.attempt, Outcome.FAILED, failure))
            return
        self.arrived.pop(number, None)
        self.study.lost(number, reason, kind, log)
        self.out.extendleft(self.study.again())

    def handed_back(self, trial: int, attempt: int) -> None:
        if self.study.runs(trial, attempt):
            self.arrived.pop(trial, None)
            self.study.interrupted(trial, attempt)
            self.out.extendleft(self.study.again())

    def waits(self, trial: int) -> bool:
        return trial in self.arrived

    def busy(self) -> bool:
        return bool(self.clock)

    def changed(self) -> None:
        for trial in [trial for trial in self.clock if self.study.history.trials[trial].state is not State.RUNNING]:
            self._left(trial)
        self._fill()

    def release(self) -> list[TrialEvent]:
        events, self.arrived = list(self.arrived.values()), {}
        return events

    def _repeats(self, event: TrialEvent) -> bool:
        """Whether processing the event changes nothing: it is known already, or its trial does not run."""
        if isinstance(event, Ended):
            return event.trial not in self.clock or event.outcome is Outcome.PAUSED
        point = event.points[0]
        record = self.study.history.trials[point.trial]
        known = bool(record.curve) and point.step <= record.step
        return known or record.attempt != point.attempt or point.trial not in self.clock

    def _due(self, trial: int) -> tuple[float, int]:
        """When the trial's next event happens: one later than its last report; at once, if that report was final."""
        return self.clock[trial] + (0 if self.final[trial] else 1), trial

    def _started(self, trial: int) -> None:
        """The trial begins at the present virtual time."""
        self.clock[trial], self.final[trial] = self.now, False

    def _advanced(self, trial: int, final: bool) -> None:
        """The trial's report has been processed."""
        self.clock[trial] += 1
        self.final[trial] = final
        self.now = max(self.now, self.clock[trial])

    def _left(self, trial: int) -> None:
        """The trial does not run any more."""
        self.clock.pop(trial, None)
        self.final.pop(trial, None)

    def _fill(self) -> None:
        """Begin trials until as many run as there are workers, if the study has so many."""
        while len(self.clock) < self.width and (assignment := self.study.ask()) is not None:
            self._started(assignment.number)
            self.out.append(assignment)
