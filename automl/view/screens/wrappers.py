"""Small screens: the final block only (`-q`), events for programs, and a guard that survives a broken screen."""

import contextlib
import json
import sys
import time
from collections.abc import Callable, Sequence
from typing import IO, TYPE_CHECKING, Any

from automl.core.messages import WorkerStatus
from automl.core.trial import TrialRecord
from automl.data.summary.facts import of_study
from automl.driver.screen import Screen
from automl.leaderboard.rows import row
from automl.study.reader import Readable
from automl.view.pages import data as pages
from automl.view.pages.final import document, print_final
from automl.view.screens.news import DataNews

if TYPE_CHECKING:
    from rich.console import Console


class QuietScreen:
    """A `Screen` that shows nothing until the end; the final block goes to `results` (None: nowhere)."""

    def __init__(self, results: "Console | None" = None) -> None:
        self._results = results

    def begin(self, study: Readable) -> None:
        """Shows nothing."""

    def ended(self, study: Readable, record: TrialRecord) -> None:
        """Shows nothing."""

    def tick(self, study: Readable, workers: Sequence[WorkerStatus]) -> None:
        """Shows nothing."""

    def note(self, text: str) -> None:
        """Shows nothing."""

    def finish(self, study: Readable, outcome: str) -> None:
        """Print the final block."""
        print_final(self._results, study, outcome)


class GuardedScreen:
    """Keeps a search alive when its screen fails (terminal gone, pipe closed, our bug): one message, then silence.

    Args:
        inner: the screen that everything is passed on to.
        stderr: where the message goes; None: the process's own.
    """

    def __init__(self, inner: Screen, stderr: IO[str] | None = None) -> None:
        self.inner = inner
        self.broken: Exception | None = None
        self._stderr = stderr

    def begin(self, study: Readable) -> None:
        """Pass on."""
        self._call(self.inner.begin, study)

    def ended(self, study: Readable, record: TrialRecord) -> None:
        """Pass on."""
        self._call(self.inner.ended, study, record)

    def tick(self, study: Readable, workers: Sequence[WorkerStatus]) -> None:
        """Pass on."""
        self._call(self.inner.tick, study, workers)

    def note(self, text: str) -> None:
        """Pass on."""
        self._call(self.inner.note, text)

    def finish(self, study: Readable, outcome: str) -> None:
        """Pass on, also after an earlier failure: the final block is worth another try."""
        self.broken, before = None, self.broken
        self._call(self.inner.finish, study, outcome)
        self.broken = self.broken or before

    def _call(self, method: Callable[..., None], *arguments: Any) -> None:
        if self.broken is not None:
            return
        try:
            method(*arguments)
        except Exception as error:
            self.broken = error
            message = f"automl: the screen failed, the search continues ({type(error).__name__}: {error})"
            with contextlib.suppress(OSError, ValueError):  # stderr itself may be gone
                print(message, file=self._stderr or sys.stderr)


class EventScreen:
    """Writes JSON Lines (`begin`, `ended`, `note`, `finish`) to `file` and passes everything on to another screen.

    Args:
        inner: the other screen.
        file: an open text file; every line is flushed.
        clock: seconds since the epoch.
    """

    def __init__(self, inner: Screen, file: IO[str], *, clock: Callable[[], float] = time.time) -> None:
        self._inner, self._file, self._clock = inner, file, clock
        self._news: DataNews | None = None

    def begin(self, study: Readable) -> None:
        """Write name, metric and the number of earlier trials."""
        self._news = DataNews(study)
        self._write("begin", study=study.name, known=len(study.history), metric=study.metric.name)
        self._inner.begin(study)

    def ended(self, study: Readable, record: TrialRecord) -> None:
        """Write a trial that ended, with its curve."""
        self._write_data(study)
        ended = row(record, study.metric)
        self._write("ended", **ended.to_json(), curve=ended.curve, attempt=record.attempt)
        self._inner.ended(study, record)

    def tick(self, study: Readable, workers: Sequence[WorkerStatus]) -> None:
        """Write what was decided about the data, once it is known."""
        self._write_data(study)
        self._inner.tick(study, workers)

    def note(self, text: str) -> None:
        """Write a note."""
        self._write("note", text=text)
        self._inner.note(text)

    def finish(self, study: Readable, outcome: str) -> None:
        """Write the result, as `--json` prints it."""
        self._write("finish", outcome=outcome, **document(study))
        self._inner.finish(study, outcome)

    def _write_data(self, study: Readable) -> None:
        if self._news is not None and self._news.lines(study):
            self._write("data", **(pages.document(of_study(study.facts), whole=False) or {}))

    def _write(self, event: str, **fields: Any) -> None:
        line = {"schema": 1, "event": event, "time": round(self._clock(), 3), **fields}
        self._file.write(json.dumps(line, ensure_ascii=False, allow_nan=False) + "\n")
        self._file.flush()
