"""In which order the driver observes what its workers say, and what it hands out.

`AtOnce` takes events as they come: fastest, but with several workers the order depends on timing, and so do verdicts
and suggestions of anything that learns from results.

`Lockstep` (`--deterministic`) takes them in an order that does not: every trial has a virtual clock that advances by
one with each report, and the next event to be observed is that of the trial whose clock is lowest (of equals, the one
with the lowest number), however long the others have been waiting. New trials begin at fixed points of that order.
So a search with `width` workers gives the same suggestions, verdicts and leaderboard each time, also after kills. It
costs waiting: a worker that has reported goes on when all trials behind it have caught up.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Protocol

from automl.core.messages import Assignment, Ended, Outcome, Ready, Reported
from automl.core.trial import Failure, State
from automl.study.study import Study

TrialEvent = Reported | Ended


class Order(Protocol):
    """Decides when events of trials are observed, and which trials a free worker gets."""

    def begin(self, workers: int) -> int:
        """Called once, before any event; returns how many workers are needed at least."""
        ...

    def take(self, event: TrialEvent) -> Iterator[TrialEvent]:
        """`event` has arrived: the events to be observed now, each before the next is asked for."""
        ...

    def ask(self, ready: Ready) -> list[Assignment]:
        """Trials for a worker that has free places."""
        ...

    def lost(self, assignment: Assignment, reason: str, kind: str, log: str) -> Iterator[TrialEvent]:
        """The trial's worker has died; events to be observed because of it."""
        ...

    def waits(self, trial: int) -> bool:
        """Whether the trial has spoken and waits for us."""
        ...

    def busy(self) -> bool:
        """Whether trials are out, though perhaps with no worker."""
        ...

    def release(self) -> list[TrialEvent]:
        """Events that were never observed and never will be: the search is about to be interrupted."""
        ...


@dataclass(frozen=True)
class AtOnce:
    """Everything is observed when it arrives."""

    study: Study

    def begin(self, workers: int) -> int:
        return 1

    def take(self, event: TrialEvent) -> Iterator[TrialEvent]:
        yield event

    def ask(self, ready: Ready) -> list[Assignment]:
        return self.study.ask(ready.lanes)

    def lost(self, assignment: Assignment, reason: str, kind: str, log: str) -> Iterator[TrialEvent]:
        self.study.lost(assignment.number, reason, kind, log, assignment.attempt)
        yield from ()

    def waits(self, trial: int) -> bool:
        return False

    def busy(self) -> bool:
        return False

    def release(self) -> list[TrialEvent]:
        return []


@dataclass
class Lockstep:
    """Observes events by virtual time. Its state is a function of the study's ledger."""

    study: Study
    width: int = 0
    clock: dict[int, int] = field(default_factory=dict)  # trial out: virtual time of its last report
    final: dict[int, bool] = field(default_factory=dict)  # whether that report was the trial's last
    now: int = 0  # the latest report's virtual time
    arrived: dict[int, TrialEvent] = field(default_factory=dict)  # not observed yet, by trial
    out: deque[Assignment] = field(default_factory=deque)  # handed out by the study, no worker has asked for it yet

    def begin(self, workers: int) -> int:
        known = self.study.ledger.facts().get("width")
        self.width = known or workers
        if not known:
            self.study.ledger.describe(width=self.width)
        self._remember()
        self.out.extend(self.study.again())
        for trial in list(self.clock):
            if self.study.history.trials[trial].state is not State.RUNNING:
                self._gone(trial)
        self._fill()
        return self.width

    def _remember(self) -> None:
        """The state in which the last driver left the study."""
        paused: set[int] = set()
        for _, kind, trial, what, _, _, more in self.study.ledger.in_order():
            if kind == "begun" or (kind == "again" and trial in paused):
                self._started(trial)
                paused.discard(trial)
            elif kind == "report" and trial in self.clock:
                self._advanced(trial, more is not None and what >= more)
            elif kind in ("pause", "end"):
                self._gone(trial)
                if kind == "pause":
                    paused.add(trial)

    def take(self, event: TrialEvent) -> Iterator[TrialEvent]:
        if isinstance(event, Reported) and not event.points:  # nothing but advice
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
                self._gone(first)
            self._fill()

    def ask(self, ready: Ready) -> list[Assignment]:
        return [self.out.popleft()] if self.out and not ready.busy else []

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

    def waits(self, trial: int) -> bool:
        return trial in self.arrived

    def busy(self) -> bool:
        return bool(self.clock)

    def release(self) -> list[TrialEvent]:
        events, self.arrived = list(self.arrived.values()), {}
        return events

    def _repeats(self, event: TrialEvent) -> bool:
        """Whether observing the event changes nothing: what is known already, or of a trial that is not out."""
        if isinstance(event, Ended):
            return event.trial not in self.clock or event.outcome is Outcome.PAUSED
        point = event.points[0]
        record = self.study.history.trials[point.trial]
        known = bool(record.curve) and point.step <= record.step
        return known or record.attempt != point.attempt or point.trial not in self.clock

    def _due(self, trial: int) -> tuple[float, int]:
        """When the trial's next event happens: one later than its last report, at once after its very last."""
        return self.clock[trial] + (0 if self.final[trial] else 1), trial

    def _started(self, trial: int) -> None:
        self.clock[trial], self.final[trial] = self.now, False

    def _advanced(self, trial: int, final: bool) -> None:
        self.clock[trial] += 1
        self.final[trial] = final
        self.now = max(self.now, self.clock[trial])

    def _gone(self, trial: int) -> None:
        self.clock.pop(trial, None)
        self.final.pop(trial, None)

    def _fill(self) -> None:
        """As many trials out as there are workers, if the study has so many."""
        while len(self.clock) < self.width and (assignment := self.study.ask()) is not None:
            self._started(assignment.number)
            self.out.append(assignment)
