"""The driver: one loop between a study and an executor.

It answers workers (`Ready` with trials, `Reported` with verdicts), tells the study how trials ended, replaces workers
that died, watches the clock and the signals, and keeps the screen informed. It knows no plugin by name.
"""

import signal
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FrameType
from typing import Protocol

from automl.errors import AutoMLError, SearchFailed
from automl.executors import Executor
from automl.messages import (
    Assign,
    Assignment,
    Broken,
    Ended,
    Event,
    Lost,
    Order,
    Outcome,
    Ready,
    Reported,
    Shutdown,
    Verdicts,
    WorkerStatus,
)
from automl.stopping import CONTINUE, Kind
from automl.study import Study
from automl.tasks import Task
from automl.trial import State, TrialRecord
from automl.winner import publish

POLL_S = 0.25
GRACE_S = 5.0
BREAKER = 5  # failures before any success that end a search


class Interrupted(AutoMLError):
    """The search was stopped by a signal; its state is saved. 130 for Ctrl-C, 143 for SIGTERM."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class Screen(Protocol):
    """Shows a search. Called from the driver's thread; must return quickly and never raise."""

    def begin(self, study: Study) -> None: ...

    def ended(self, study: Study, record: TrialRecord) -> None:
        """Once for each trial that ended."""
        ...

    def tick(self, study: Study, workers: Sequence[WorkerStatus]) -> None:
        """Often; the screen decides when it draws."""
        ...

    def note(self, text: str) -> None:
        """Something the user should know, once."""
        ...

    def finish(self, study: Study, outcome: str) -> None:
        """The search is over (or interrupted); `outcome` says how, in a few words."""
        ...


class Blank:
    """A screen that shows nothing."""

    def begin(self, study: Study) -> None: ...
    def ended(self, study: Study, record: TrialRecord) -> None: ...
    def tick(self, study: Study, workers: Sequence[WorkerStatus]) -> None: ...
    def note(self, text: str) -> None: ...
    def finish(self, study: Study, outcome: str) -> None: ...


@dataclass
class _Hand:
    """What the driver knows of one worker."""

    trials: dict[int, Assignment] = field(default_factory=dict)
    waiting: Ready | None = None  # its Ready has not been answered yet
    note: str = ""


class Driver:
    """Drives `study` to the end of its budget, with `workers` workers of `executor` training `task`."""

    def __init__(
        self, study: Study, task: Task, executor: Executor, workers: int = 0, screen: Screen | None = None
    ) -> None:
        self.study, self.task, self.executor, self.workers = study, task, executor, workers
        self.screen: Screen = screen or Blank()
        self.hands: list[_Hand] = []
        self.signal = 0  # the signal that asked us to stop
        self.error: AutoMLError | None = None
        study.on_end = self._ended

        self._nothing_left = False  # whether the study had nothing for the last worker that asked

    # -- the loop ------------------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Returns when the budget is used up or the strategy has nothing more to suggest.

        Raises:
            Interrupted: SIGINT or SIGTERM; everything is saved.
            SearchFailed: `BREAKER` trials failed before any succeeded.
            AutoMLError: the task cannot be opened, the ledger cannot be written, ...
        """
        outcome = "failed"
        try:
            with _signals(self._on_signal):
                self._begin()
                while not self._over():
                    self.executor.poll(self.handle, POLL_S)
                    self._tick()
                    self._feed_waiting()
                    if self.error:
                        raise self.error
                if self.signal:
                    outcome = "interrupted"
                    name = signal.Signals(self.signal).name
                    raise Interrupted(f"stopped by {name}; everything is saved", 128 + self.signal)
                outcome = "finished"
        except KeyboardInterrupt:
            outcome = "interrupted"
            raise Interrupted("stopped at once; everything reported is saved", 130) from None
        finally:
            self.executor.stop(GRACE_S if outcome == "finished" else 0.5)
            self.screen.finish(self.study, outcome)

    def _begin(self) -> None:
        count = self.executor.start(self.task, self.workers, self.study.path)
        self.hands = [_Hand() for _ in range(count)]
        self.study.work_with(count)
        self.screen.begin(self.study)
        for note in self.study.notes:
            self.screen.note(note)

    def _over(self) -> bool:
        """No trial is out, and there is none to hand out."""
        if any(hand.trials for hand in self.hands):
            return False
        if self.signal:
            return True
        idle = [hand.waiting is not None for hand in self.hands]
        return self._nothing_left and any(idle)

    def _tick(self) -> None:
        self.study.ledger.beat()
        status = [
            WorkerStatus(k, self.executor.device(k), tuple(hand.trials), hand.note) for k, hand in enumerate(self.hands)
        ]
        self.screen.tick(self.study, status)

    # -- events --------------------------------------------------------------------------------------------------------

    def handle(self, event: Event) -> None:
        """Answer one event. An error of ours ends the search once the worker has its answer."""
        try:
            self._dispatch(event)
        except AutoMLError as error:
            self.error = self.error or error
            if isinstance(event, Reported):
                self._send(event.worker, Verdicts({p.trial: Kind.STOP for p in event.points}))
            elif isinstance(event, Ready):
                self._send(event.worker, Shutdown())

    def _dispatch(self, event: Event) -> None:
        match event:
            case Ready():
                while event.worker >= len(self.hands):  # a machine has joined
                    self.hands.append(_Hand())
                self.hands[event.worker].waiting = event
                self._feed(event.worker)
            case Reported():
                self._reported(event)
            case Ended():
                self._trial_ended(event)
            case Lost():
                self._worker_lost(event)
            case Broken(error=error):
                self.error = error if isinstance(error, AutoMLError) else AutoMLError(str(error))
        self._tick()

    def _feed(self, worker: int) -> None:
        """Answer a worker's Ready, if there is something to say."""
        hand = self.hands[worker]
        ready = hand.waiting
        if ready is None:
            return
        stopping = bool(self.signal or self.error)
        asked = [] if stopping else self.study.ask(ready.lanes)
        self._nothing_left = not asked
        if not asked and not ready.busy and not stopping:
            return
        hand.waiting = None
        for assignment in asked:
            hand.trials[assignment.number] = assignment
            self.study.ledger.attempt(
                assignment.number, assignment.attempt, self.executor.device(worker), self.study.elapsed_s
            )
        self._send(worker, Assign(tuple(asked)) if asked or not stopping else Shutdown())

    def _feed_waiting(self) -> None:
        for worker, hand in enumerate(self.hands):
            if hand.waiting:
                self._feed(worker)

    def _reported(self, event: Reported) -> None:
        hand = self.hands[event.worker]
        hand.note = event.note
        kinds: dict[int, Kind] = {}
        leads = set()
        for point in event.points:
            verdict = CONTINUE
            if point.trial in hand.trials:
                verdict = self.study.report(
                    point.trial, point.step, point.metrics, attempt=point.attempt, horizon=point.horizon
                )
            kinds[point.trial] = Kind.STOP if point.trial not in hand.trials else verdict.kind
            if self.signal and verdict.kind is Kind.CONTINUE:
                kinds[point.trial] = Kind.PAUSE
            if self._leads(point.trial):
                leads.add(point.trial)
        self._send(event.worker, Verdicts(kinds, frozenset(leads)))

    def _leads(self, trial: int) -> bool:
        """Whether the trial would be first among the full ones if it ended now."""
        record, best = self.study.history.trials[trial], self.study.best
        if record.loss is None or record.state in (State.FAILED, State.STOPPED):
            return False
        return best is None or (record.loss, record.number) < (best.loss, best.number)

    def _trial_ended(self, event: Ended) -> None:
        if self.hands[event.worker].trials.pop(event.trial, None) is None:
            return
        self.study.ledger.attempt_ended(event.trial, event.attempt, event.outcome.value, event.details)
        if event.outcome is Outcome.FINISHED:
            self.study.finish(event.trial)
        elif event.outcome is Outcome.FAILED and event.failure:
            self.study.fail(event.trial, event.failure)

    def _worker_lost(self, event: Lost) -> None:
        hand = self.hands[event.worker]
        self.hands[event.worker] = _Hand()
        for number, assignment in hand.trials.items():
            self.study.ledger.attempt_ended(number, assignment.attempt, "lost", {"reason": event.reason})
            self.study.lost(number, event.reason)
        if not self.signal and not self.error:
            self.executor.restart(event.worker)

    def _ended(self, record: TrialRecord) -> None:
        publish(self.study, record)
        self.screen.ended(self.study, record)
        counts = self.study.counts
        if record.state is State.FAILED and counts.failed >= BREAKER and not counts.done and not counts.stopped:
            causes = Counter(t.failure.message for t in self.study.history.failed if t.failure)
            cause, times = causes.most_common(1)[0]
            what = f"{counts.failed} trials failed before any succeeded"
            self.error = self.error or SearchFailed(
                f"{what}; the commonest cause ({times} of {counts.failed}): {cause}"
            )

    def _send(self, worker: int, order: Order) -> None:
        self.executor.send(worker, order)

    def _on_signal(self, number: int) -> None:
        """The first signal lets running epochs finish; the second stops at once."""
        if self.signal:
            raise KeyboardInterrupt
        self.signal = number
        self.screen.note("stopping: running epochs finish, state is saved (again: stop now)")


@contextmanager
def _signals(act: Callable[[int], None]) -> Iterator[None]:
    """SIGINT and SIGTERM call `act` while inside; only possible in the main thread."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def handler(number: int, frame: FrameType | None) -> None:
        act(number)

    before = {number: signal.signal(number, handler) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old)
