"""The small screens: final block only (`-q`), events for programs, a guard for the others."""

import contextlib
import json
import sys
import time
from collections.abc import Callable, Sequence
from typing import IO, TYPE_CHECKING, Any

from automl.core.messages import WorkerStatus
from automl.core.trial import TrialRecord
from automl.driver.screen import Screen
from automl.study.reader import Readable
from automl.view.screens.final import document, final

if TYPE_CHECKING:
    from rich.console import Console


def print_final(results: "Console | None", study: Readable, outcome: str) -> None:
    """The final block, unless there is nothing to say (the search failed before its first trial)."""
    if results is not None and len(study.history):
        results.print(final(study, outcome, min(results.width, 100)), markup=False, highlight=False, soft_wrap=True)


class QuietScreen:
    """Says nothing until the end; the final block goes to `results` (None: nowhere)."""

    def __init__(self, results: "Console | None" = None) -> None:
        self._results = results

    def begin(self, study: Readable) -> None:
        """Nothing to show."""

    def ended(self, study: Readable, record: TrialRecord) -> None:
        """Nothing to show."""

    def tick(self, study: Readable, workers: Sequence[WorkerStatus]) -> None:
        """Nothing to show."""

    def note(self, text: str) -> None:
        """Nothing to show."""

    def finish(self, study: Readable, outcome: str) -> None:
        print_final(self._results, study, outcome)


class GuardedScreen:
    """Keeps a search alive when its screen breaks (terminal gone, pipe closed, our error): told once, then silent."""

    def __init__(self, inner: Screen) -> None:
        self.inner = inner
        self.broken: Exception | None = None

    def begin(self, study: Readable) -> None:
        self._call(self.inner.begin, study)

    def ended(self, study: Readable, record: TrialRecord) -> None:
        self._call(self.inner.ended, study, record)

    def tick(self, study: Readable, workers: Sequence[WorkerStatus]) -> None:
        self._call(self.inner.tick, study, workers)

    def note(self, text: str) -> None:
        self._call(self.inner.note, text)

    def finish(self, study: Readable, outcome: str) -> None:
        self.broken, told = None, self.broken  # the final block is worth another try
        self._call(self.inner.finish, study, outcome)
        self.broken = self.broken or told

    def _call(self, method: Callable[..., None], *arguments: Any) -> None:
        if self.broken is not None:
            return
        try:
            method(*arguments)
        except Exception as error:
            self.broken = error
            with contextlib.suppress(OSError, ValueError):  # stderr may be what is gone
                print(
                    f"automl: the screen failed, the search goes on ({type(error).__name__}: {error})", file=sys.stderr
                )


class EventScreen:
    """Writes JSON Lines (`begin`, `ended`, `note`, `finish`) and passes everything on to another screen."""

    def __init__(self, inner: Screen, file: IO[str], *, clock: Callable[[], float] = time.time) -> None:
        self._inner, self._file, self._clock = inner, file, clock

    def begin(self, study: Readable) -> None:
        self._write("begin", study=study.name, known=len(study.history), metric=study.metric.name)
        self._inner.begin(study)

    def ended(self, study: Readable, record: TrialRecord) -> None:
        from automl.leaderboard.board import row

        made = row(record, study.metric)
        self._write("ended", **made.to_json(), curve=made.curve, attempt=record.attempt)
        self._inner.ended(study, record)

    def tick(self, study: Readable, workers: Sequence[WorkerStatus]) -> None:
        self._inner.tick(study, workers)

    def note(self, text: str) -> None:
        self._write("note", text=text)
        self._inner.note(text)

    def finish(self, study: Readable, outcome: str) -> None:
        self._write("finish", outcome=outcome, **document(study))
        self._inner.finish(study, outcome)

    def _write(self, event: str, **fields: Any) -> None:
        line = {"schema": 1, "event": event, "time": round(self._clock(), 3), **fields}
        self._file.write(json.dumps(line, ensure_ascii=False, allow_nan=False) + "\n")
        self._file.flush()
