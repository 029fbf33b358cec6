"""Progress without a terminal: a line per ended trial and a status line every minute, for logs and pipes."""

import time
from collections import deque
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from automl.core.messages import WorkerStatus
from automl.core.trial import State, TrialRecord
from automl.leaderboard import words
from automl.study.reader import Readable
from automl.view.pages.final import print_final
from automl.view.screens.news import DataNews
from automl.view.screens.tracker import Tracker, label

if TYPE_CHECKING:
    from rich.console import Console

STATUS_S = 60.0
BURST, BURST_S = 10, 10.0  # with more lines than that in that time, further trials are only counted
VERBS = {State.DONE: "done", State.STOPPED: "stop", State.FAILED: "fail"}


class PlainScreen:
    """A `Screen` of lines such as `02:14:39 done   t0003 val_acc=0.9412 at=27 31s lr=3.1e-4 BEST`.

    Args:
        progress: where the lines go.
        results: where the final block goes; None: nowhere.
        clock: seconds, from any zero.
        now: the time of day.
    """

    def __init__(
        self,
        progress: "Console",
        results: "Console | None",
        *,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = datetime.now,
    ) -> None:
        self._progress, self._results = progress, results
        self._clock, self._now = clock, now
        self._tracker: Tracker | None = None
        self._lines: deque[float] = deque(maxlen=BURST)
        self._not_listed = 0
        self._status_at = clock()
        self._kinds: set[str] = set()
        self._news: DataNews | None = None
        self._notes: deque[str] = deque()

    def begin(self, study: Readable) -> None:
        """The search begins or continues: print its name, limits and plugins."""
        self._tracker, self._news = Tracker.of(study), DataNews(study)
        self._status_at = self._clock()
        plan = study.plan
        limits = {"trials": plan.trials, f"{plan.unit}s": plan.steps}
        parts = [f"study={words.clean(study.name)}", *(f"{k}<={v}" for k, v in limits.items() if v)]
        parts += [f"time<={words.duration(plan.time_s)}"] if plan.time_s else []
        parts += [
            f"strategy={label(study, 'strategy')}",
            f"stopper={label(study, 'stopper')}",
            f"workers={plan.workers}",
        ]
        parts += [f"dir={words.clean(study.path)}"] if study.path is not None else []
        parts += [f"earlier_trials={len(study.history)}"] if len(study.history) else []
        self._print("start", " ".join(parts))

    def ended(self, study: Readable, record: TrialRecord) -> None:
        """Print a line for a trial that ended; in a burst only new best trials and new kinds of failures get one."""
        assert self._tracker is not None, "begin() comes first"
        self._print_data(study)
        best = self._tracker.add(record)
        now = self._clock()
        burst = len(self._lines) == BURST and now - self._lines[0] < BURST_S
        if burst and not best and not self._new_cause(record):
            self._not_listed += 1
            return
        self._lines.append(now)
        mark = " BEST" if best else ""
        if study.history.objectives.several:
            mark = " FRONT" if study.history.front_of(record.number) == 1 else ""
        self._print(VERBS[record.state], self._trial(study, record) + mark)

    def tick(self, study: Readable, workers: Sequence[WorkerStatus]) -> None:
        """Print notes, and every minute a status line."""
        self._print_notes()
        self._print_data(study)
        now = self._clock()
        if now - self._status_at < STATUS_S or self._tracker is None:
            return
        self._status_at = now
        s = self._tracker.snapshot(study, workers)
        c = s.counts
        best = f"{words.number(s.best.value)}({words.trial(s.best.trial)})" if s.best else "-"
        of = f"/{s.plan.trials}" if s.plan.trials else ""
        of += f" {s.stage}" if s.stage else ""
        left = words.span(*s.eta).replace(" ", "") if s.eta else "-"
        text = f"{c.ended}{of} done={c.done} stop={c.stopped} fail={c.failed} run={c.running} best={best} eta={left}"
        self._print("status", text + (f" not_listed={self._not_listed}" if self._not_listed else ""))
        self._not_listed = 0

    def note(self, text: str) -> None:
        """Keep a note for the next tick (a signal handler may call this while another line is printed)."""
        self._notes.append(text)

    def finish(self, study: Readable, outcome: str) -> None:
        """Print how the search ended, and the final block."""
        self._print_notes()
        c = study.counts
        not_listed = f" not_listed={self._not_listed}" if self._not_listed else ""
        ending = words.clean(outcome) or "finished"
        rest = "".join(f" {name}={n}" for name, n in (("paused", c.paused), ("unfinished", c.running)) if n)
        self._print("end", f"{ending} done={c.done} stop={c.stopped} fail={c.failed}{rest}{not_listed}")
        print_final(self._results, study, outcome)

    def _new_cause(self, record: TrialRecord) -> bool:
        """Whether a trial failed in a way that has not been printed yet."""
        return record.failure is not None and record.failure.kind not in self._kinds

    def _trial(self, study: Readable, record: TrialRecord) -> str:
        parts = [words.trial(record.number)]
        if record.loss is not None:
            parts.append(f"{words.clean(study.metric.name)}={words.number(study.metric.value(record.loss))}")
        if record.vector:
            more = study.history.objectives.values(record.vector)
            parts += [f"{words.clean(n)}={words.amount(v)}" for n, v in more.items() if n != study.metric.name]
        if record.step:
            parts.append(f"at={record.step}")
        if record.ended_s is not None:
            parts.append(words.duration(record.ended_s - record.started_s))
        if record.state is State.STOPPED:
            parts.append(words.clean(record.reason))
        elif record.failure is not None:
            self._kinds.add(record.failure.kind)
            parts.append(f"{record.failure.kind}: {words.clean(record.failure.message)}")
            parts += [words.clean(record.failure.traceback)] if record.failure.traceback else []
        else:
            parts.append(words.config(record.config, equals="=").replace("  ", " "))
        return " ".join(parts)

    def _print_data(self, study: Readable) -> None:
        for what, text in self._news.lines(study) if self._news else ():
            self._print("data", f"{what}: {text}")

    def _print_notes(self) -> None:
        while self._notes:
            self._print("note", words.clean(self._notes.popleft()))

    def _print(self, verb: str, text: str) -> None:
        line = f"{self._now():%H:%M:%S} {verb:<6} {text}"
        self._progress.print(line, markup=False, highlight=False, soft_wrap=True)
