"""What a driver tells of a search, and to whom: the `Screen` protocol and its two members that draw nothing."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from automl.core.messages import WorkerStatus
from automl.core.trial import TrialRecord
from automl.study.reader import Readable


class Screen(Protocol):
    """Shows a search. Called from the driver's thread; must return quickly and never raise."""

    def begin(self, study: Readable) -> None: ...

    def ended(self, study: Readable, record: TrialRecord) -> None:
        """Once for each trial that ended."""
        ...

    def tick(self, study: Readable, workers: Sequence[WorkerStatus]) -> None:
        """Often; the screen decides when it draws."""
        ...

    def note(self, text: str) -> None:
        """Something the user should know, once."""
        ...

    def finish(self, study: Readable, outcome: str) -> None:
        """The search is over (or interrupted); `outcome` says how, in a few words."""
        ...


class Blank:
    """A screen that shows nothing."""

    def begin(self, study: Readable) -> None: ...
    def ended(self, study: Readable, record: TrialRecord) -> None: ...
    def tick(self, study: Readable, workers: Sequence[WorkerStatus]) -> None: ...
    def note(self, text: str) -> None: ...
    def finish(self, study: Readable, outcome: str) -> None: ...


@dataclass
class Held:
    """A screen whose last word is held back when the search has gone well: the finalists come after it."""

    screen: Screen
    outcome: str = ""

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
