"""A screen for tests of searches."""

from automl.driver.screen import NullScreen
from automl.study.reader import Readable


class Notes(NullScreen):
    """Keeps what it is told: the notes, and how the search ended."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.outcome = ""

    def note(self, text: str) -> None:
        self.notes.append(text)

    def finish(self, study: Readable, outcome: str) -> None:
        self.outcome = outcome
