"""The `Screen` protocol, to which the driver reports a search, and the two screens that draw nothing themselves."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from automl.core.messages import WorkerStatus
from automl.core.trial import TrialRecord
from automl.study.reader import Readable


class Screen(Protocol):
    """Shows a search. Called from the driver's thread; must return quickly and never raise."""

    def begin(self, study: Readable) -> None:
        """The search begins, or goes on."""
        ...

    def ended(self, study: Readable, record: TrialRecord) -> None:
        """Called once for each trial that has ended."""
        ...

    def tick(self, study: Readable, workers: Sequence[WorkerStatus]) -> None:
        """Called often; the screen decides when it draws."""
        ...

    def note(self, text: str) -> None:
        """Something that the user should know; called once for each."""
        ...

    def finish(self, study: Readable, outcome: str) -> None:
        """The search is over; `outcome` is "finished", "interrupted" or "failed"."""
        ...


class NullScreen:
    """A screen that shows nothing."""

    def begin(self, study: Readable) -> None: ...
    def ended(self, study: Readable, record: TrialRecord) -> None: ...
    def tick(self, study: Readable, workers: Sequence[WorkerStatus]) -> None: ...
    def note(self, text: str) -> None: ...
    def finish(self, study: Readable, outcome: str) -> None: ...


@dataclass
class DeferredScreen:
    """Passes everything on to `screen`, except the end of a search that has gone well: the finalists come after it."""

    screen: Screen
    outcome: str = ""  # what the driver ended with

    def begin(self, study: Readable) -> None:
        self.screen.begin(study)

    def ended(self, study: Readable, record: TrialRecord) -> None:
        self.screen.ended(study, record)

    def tick(self, study: Readable, workers: Sequence[WorkerStatus]) -> None:
        self.screen.tick(study, workers)

    def note(self, text: str) -> None:
        self.screen.note(text)

    def finish(self, study: Readable, outcome: str) -> None:
        self.outcome = outcome
        if outcome != "finished":
            self.screen.finish(study, outcome)
