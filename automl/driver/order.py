"""In which order events of trials are processed, and which trials a worker gets: the protocol, and order of arrival.

The order of arrival is the fastest. With several workers it depends on timing, and so do the verdicts and suggestions
of every plugin that learns from results; `deterministic.VirtualTimeOrder` does not depend on it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from automl.core.messages import Assignment, Ended, Ready, Reported
from automl.study.study import Study

TrialEvent = Reported | Ended


class EventOrder(Protocol):
    """Decides when events of trials are processed, and which trials a worker with free lanes gets."""

    def begin(self, workers: int) -> int:
        """Called once, before any event; returns how many workers are needed at least."""
        ...

    def take(self, event: TrialEvent) -> Iterator[TrialEvent]:
        """`event` has arrived: yields the events to be processed now, each before the next one is asked for."""
        ...

    def ask(self, ready: Ready) -> list[Assignment]:
        """Choose trials for a worker with free lanes; at most `ready.lanes` of them."""
        ...

    def lost(self, assignment: Assignment, reason: str, kind: str, log: str) -> Iterator[TrialEvent]:
        """The trial's worker has died: yields the events to be processed because of it."""
        ...

    def handed_back(self, trial: int, attempt: int) -> None:
        """The attempt ended because its machine is taken away: another one begins, and no retry is counted."""
        ...

    def waits(self, trial: int) -> bool:
        """Whether the trial has reported and waits for an answer."""
        ...

    def busy(self) -> bool:
        """Whether trials have been begun that no worker has yet, or has any more."""
        ...

    def changed(self) -> None:
        """A request has changed the study: there may be trials to begin."""
        return

    def release(self) -> list[TrialEvent]:
        """Events that were never processed and never will be, as the search is about to be interrupted."""
        ...


@dataclass(frozen=True)
class ArrivalOrder(EventOrder):
    """Every event is processed when it arrives."""

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

    def handed_back(self, trial: int, attempt: int) -> None:
        self.study.interrupted(trial, attempt)

    def waits(self, trial: int) -> bool:
        return False

    def busy(self) -> bool:
        return False

    def release(self) -> list[TrialEvent]:
        return []
