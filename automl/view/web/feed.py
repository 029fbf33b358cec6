"""What the live page asks for: the rows that have changed since it last asked, and more about single trials."""

import math
import secrets
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from automl.core.trial import TrialRecord
from automl.errors import AutoMLError
from automl.leaderboard import words
from automl.leaderboard.rows import placed
from automl.study import paths
from automl.study.ledger.lock import is_driven
from automl.study.live.following import Followed
from automl.study.reader import answered
from automl.view.pages import trial
from automl.view.screens.tracker import Tracker, thin
from automl.view.web import head, logs

LEAST_S = 0.25
"""However many pages ask, the ledger is looked at no more often."""
SHARE = 0.05
"""What is costly is computed again so rarely that it takes no more than this share of the time."""
MOST_ROWS = 2000
"""Of one answer; the page asks again at once for the others."""
MOST_CURVES = 200
POINTS = 200
"""Of one curve."""
WAIT_S = 5.0


class Feed:
    """A study for pages, which ask in threads of their own.

    Args:
        path: the study's folder.
        by: who asks for changes, for the ledger and the screen of the search.
        clock: seconds.

    Raises:
        LedgerError: there is no study, or its ledger is damaged.
    """

    def __init__(self, path: Path, by: str = "page", clock: Callable[[], float] = time.monotonic) -> None:
        self.path, self.by = path, by
        self.study = Followed(path)
        self._clock = clock
        self._lock = threading.Lock()
        self._life = secrets.token_hex(4)  # pages that are open load everything again after a restart
        self._looked_s = -math.inf
        self._problem = ""
        self._begin()

    def _begin(self) -> None:
        """All is new to every page."""
        records = self.study.history.trials
        self._version = len(records)
        self._changed = {record.number: k for k, record in enumerate(records, 1)}  # in the order of the versions
        self._ended = {record.number for record in records if record.state.ended}
        self._tracker = Tracker.of(self.study)
        self._generation = self.study.generation
        self._about = head.about(self.study)
        self._now: dict[str, Any] = {}
        self._now_of: object = None
        self._finalists: Followed | None = None
        self._again_s = -math.inf

    def _look(self) -> None:
        """Read what is new, unless that was done just now."""
        now_s = self._clock()
        if now_s - self._looked_s < LEAST_S:
            return None
        self._looked_s = now_s
        try:
            changed = self.study.look()
            self._problem = ""
        except AutoMLError as error:
            self._problem = str(error)
            return None
        if self.study.generation != self._generation:
            return self._begin()
        return self._count(changed)

    def _count(self, changed: Sequence[TrialRecord]) -> None:
        for record in changed:
            self._changed.pop(record.number, None)
            self._version += 1
            self._changed[record.number] = self._version
        ended = [record for record in changed if record.state.ended and record.number not in self._ended]
        for record in sorted(ended, key=lambda record: record.order):
            self._ended.add(record.number)
            self._tracker.add(record)

    def _head(self) -> dict[str, Any]:
        """What the page shows above the rows; computed again where something has changed, but not too often."""
        driven = is_driven(self.path / paths.LOCK)
        of = (self.study.history.version, len(self.study.edits), driven, self.study.verdict is None, self._problem)
        now_s = self._clock()
        if of != self._now_of and now_s >= self._again_s:
            begun_s = time.perf_counter()
            version = self._now.get("version", 0) + 1
            self._now = {"version": version, **head.current_state(self.study, self._tracker, driven=driven)}
            self._now_of = of
            self._again_s = now_s + (time.perf_counter() - begun_s) * (1 / SHARE - 1)
        return {**self._now, "problem": self._problem, "stage": self._stage() if driven else ""}

    def _stage(self) -> str:
        """What runs after the trials of the search."""
        folder = self.path / paths.FINALISTS
        if not is_driven(folder / paths.LOCK):
            return ""
        try:
            if self._finalists is None:
                self._finalists = Followed(folder)
            self._finalists.look()
        except AutoMLError:  # it is about to begin
            return "finalists"
        return f"finalists: {words.plural(self._finalists.counts.ended, 'run')} ended"

    def state(self, generation: str = "", since: int = 0) -> dict[str, Any]:
        """What has changed.

        Args:
            generation, since: those of the last answer that the page has; nothing where it has none.

        Returns:
            `generation` and `since` for the next question, `more` (whether to ask at once), `rows`, `head`; and
            `about`, where the page has to load everything again.
        """
        with self._lock:
            self._look()
            now = f"{self._life}-{self._generation}"
            fresh = generation != now
            rows, since = self._rows(0 if fresh else since)
            found = {"generation": now, "since": since, "more": since < self._version, "rows": rows}
            found["head"] = self._head()
            return {**found, "about": self._about} if fresh else found

    def _rows(self, since: int) -> tuple[list[dict[str, Any]], int]:
        """Rows that have changed since a version, the earliest change first, and the version of the last of them."""
        numbers = []
        for number, version in reversed(self._changed.items()):
            if version <= since:
                break
            numbers.append(number)
        shown = numbers[::-1][:MOST_ROWS]
        history = self.study.history
        rows = [self._row(history.trials[number]) for number in shown]
        return rows, self._changed[shown[-1]] if shown else min(since, self._version)

    def _row(self, record: TrialRecord) -> dict[str, Any]:
        row = placed(record, self.study.history).to_json()
        del row["rank"], row["best"]  # of all trials, so the page finds them
        return {**row, "attempt": record.attempt, "origin": record.origin, "started_s": record.started_s}

    def curves(self, numbers: Sequence[int]) -> dict[str, Any]:
        """{trial: its curve as (step, value), thinned} of the trials `numbers`, at most a fixed number of them."""
        with self._lock:
            trials, metric = self.study.history.trials, self.study.metric
            known = [n for n in numbers[:MOST_CURVES] if 0 <= n < len(trials)]
            found = {n: thin(trials[n].curve, POINTS) for n in known}
            curves = {str(n): [(s, metric.value(loss)) for s, loss in curve] for n, curve in found.items()}
            return {"curves": curves}

    def trial(self, number: int) -> dict[str, Any] | None:
        """All that is known of a trial, and the end of what it printed; None where there is none of this number."""
        with self._lock:
            if not 0 <= number < len(self.study.history):
                return None
            found = trial.document(self.study, number)
            record = self.study.history.trials[number]
        found["text"] = logs.printed(self.path, number)
        found["traceback"] = logs.traceback(self.path, number, record.attempt) if record.failure else ""
        return found

    def edit(self, wanted: Mapping[str, Any]) -> list[str]:
        """Ask the search for a change, as `StudyView.edit` does.

        Raises:
            SpecError: something is wrong with it, or the search refused it.
            EnvironmentProblem: the study's folder cannot be written.
        """
        with self._lock:
            self._look()
            id, waits = self.study.request(self.by, wanted)
        try:
            return waits or answered(self.path, id, WAIT_S)
        finally:
            self._looked_s = self._again_s = -math.inf  # who has asked sees at once what has become of it
