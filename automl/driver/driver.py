"""The driver: one loop between a study and an executor.

It answers workers (`Ready` with trials, `Reported` with verdicts), tells the study how trials ended, replaces workers
that died or hang, watches the clock and the signals, and keeps the screen informed. It knows no plugin by name.
"""

import math
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from automl.core.messages import (
    Assign,
    Assignment,
    Broken,
    Ended,
    Event,
    Lost,
    Outcome,
    Ready,
    Reported,
    Shutdown,
    Verdicts,
    WorkerStatus,
)
from automl.core.stopper import CONTINUE, Kind
from automl.core.trial import Failure, State, TrialRecord
from automl.driver.executor import Executor
from automl.driver.grouped import Grouped
from automl.driver.order import AtOnce, Lockstep, Order, TrialEvent
from automl.driver.screen import Blank, Screen
from automl.driver.signals import Interrupted, Stopping
from automl.driver.watchdog import Patience
from automl.errors import AutoMLError, EnvironmentProblem, SearchFailed
from automl.study.study import Study
from automl.study.winner import keep_best
from automl.worker.worker import Task

POLL_S = 0.25
WATCH_S = 5.0  # at most, between two looks for workers that hang (often, where there are few of them)
SHOW_S = 0.1  # between two looks of the screen at all workers
GRACE_S = 5.0
BREAKER = 5  # failures before any success that end a search
FAULTS = 2  # losses of its device in a row after which a worker is given up


@dataclass
class _Hand:
    """What the driver knows of one worker. Times are the study's clock."""

    trials: dict[int, Assignment] = field(default_factory=dict)
    waiting: Ready | None = None  # its Ready has not been answered yet
    note: str = ""
    heard: float = 0.0  # when it was last given something to do or answered
    begun: dict[int, float] = field(default_factory=dict)  # trial -> when it was handed out
    silent: set[int] = field(default_factory=set)  # trials that have not reported since
    stale: bool = False  # to be replaced by a fresh process as soon as it has nothing to do
    gone: bool = False  # given up
    told_slow: bool = False


class Driver:
    """Drives `study` to the end of its budget, with `workers` workers of `executor` training `task`.

    Args:
        publish: what is done with the files of a trial that ended.
        trial_timeout_s: an attempt that takes longer fails.
        fresh: a fresh process for every trial.
    """

    def __init__(
        self,
        study: Study,
        task: Task,
        executor: Executor,
        workers: int = 0,
        screen: Screen | None = None,
        publish: Callable[[Study, TrialRecord], None] = keep_best,
        *,
        trial_timeout_s: float | None = None,
        fresh: bool = False,
    ) -> None:
        self.study, self.task, self.executor, self.workers = study, task, executor, workers
        self.publish, self.fresh = publish, fresh
        self.screen: Screen = screen or Blank()
        self.order = self._order()
        self.patience = Patience(trial_timeout_s)
        self.hands: list[_Hand] = []
        self.faults: Counter[int] = Counter()  # losses of its device in a row, by worker
        self.stopping = Stopping(study.clock)
        self.error: AutoMLError | None = None
        study.on_end = self._ended

        self._heeded = False  # whether the signal to stop has been acted on
        self._nothing_left = False  # whether the study had nothing for the last worker that asked
        self._waiting: dict[int, None] = {}  # workers that may wait for trials, in the order they asked
        self._advised: set[str] = set()
        self._shown = self._watched = -math.inf  # when the screen and the workers were last looked after

    def _order(self) -> Order:
        if self.study.deterministic:
            return Lockstep(self.study)
        group = getattr(self.task, "group", None)
        return Grouped(self.study, group) if group else AtOnce(self.study)

    # -- the loop ------------------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Returns when the budget is used up or the strategy has nothing more to suggest.

        Raises:
            Interrupted: SIGINT, SIGTERM or SIGUSR1; everything is saved.
            SearchFailed: `BREAKER` trials failed before any succeeded.
            EnvironmentProblem: the disk is full, no worker is left; everything up to there is saved.
            AutoMLError: the task cannot be opened, the ledger cannot be written, ...
        """
        outcome = "failed"
        try:
            with self.stopping.listening():
                self._begin()
                while not self._over():
                    self.executor.poll(self.handle, POLL_S)
                    with self.stopping.untorn():
                        self._tick()
                        self._watch()
                        self._feed_waiting()
                    if self.error:
                        raise self.error
                if self.stopping:
                    outcome = "interrupted"
                    raise self.stopping.interrupted()
                outcome = "finished"
                if summary := self.study.stopper.summary(self.study.history):
                    self.screen.note(summary)
        except KeyboardInterrupt:
            outcome = "interrupted"
            raise Interrupted("stopped at once; everything reported is saved", 130) from None
        except OSError as error:
            raise EnvironmentProblem(f"{error}; everything up to there is saved") from error
        finally:
            self.executor.stop(GRACE_S if outcome == "finished" else 0.5)
            self.screen.finish(self.study, outcome)

    def _begin(self) -> None:
        if self.study.deterministic:
            self.workers = self.study.ledger.facts().get("width") or self.workers
        if prepare := getattr(self.study.strategy, "prepare", None):
            threading.Thread(target=prepare, name="strategy").start()  # while workers start
        count = self.executor.start(self.task, self.workers, self.study.path)
        self.hands = [_Hand() for _ in range(count)]
        self.study.work_with(count)
        if (needed := self.order.begin(count)) > count:
            raise EnvironmentProblem(f"this deterministic search was begun with {needed} workers; there are {count}")
        self.screen.begin(self.study)
        for note in self.study.notes:
            self.screen.note(note)

    def _over(self) -> bool:
        """No trial is out, and there is none to hand out."""
        if self.stopping.over:
            return True
        if any(hand.trials for hand in self.hands):
            return False
        if self.stopping:
            return True
        idle = [hand.waiting is not None for hand in self.hands]
        return self._nothing_left and any(idle) and not self.order.busy()

    def _tick(self) -> None:
        if self.stopping and not self._heeded:
            self._heed()
        self.study.ledger.beat()
        now = time.monotonic()  # a screen lives in the real time, whatever the study's clock
        if now - self._shown < SHOW_S:
            return
        self._shown = now
        status = [
            WorkerStatus(k, self.executor.device(k), tuple(hand.trials), hand.note) for k, hand in enumerate(self.hands)
        ]
        self.screen.tick(self.study, status)

    # -- events --------------------------------------------------------------------------------------------------------

    def handle(self, event: Event) -> None:
        """Answer one event. An error of ours ends the search once the worker has its answer."""
        with self.stopping.untorn():
            try:
                self._dispatch(event)
            except (AutoMLError, OSError) as error:
                ours = error if isinstance(error, AutoMLError) else EnvironmentProblem(f"{error}; the rest is saved")
                self.error = self.error or ours
                if isinstance(event, Reported):
                    self._answer(event, dict.fromkeys((p.trial for p in event.points), Kind.STOP))
                elif isinstance(event, Ready):
                    self.executor.send(event.worker, Shutdown())

    def _dispatch(self, event: Event) -> None:
        while event.worker >= len(self.hands):  # a machine has joined; its worker may even be lost before it is ready
            self.hands.append(_Hand())
        match event:
            case Ready():
                self.hands[event.worker].waiting = event
                self._waiting[event.worker] = None
                self._feed(event.worker)
            case Ended() if event.failure and event.failure.kind in ("disk", "device"):
                self._machine_failed(event, event.failure)
            case Reported() | Ended():
                if self._heard(event):
                    for due in self.order.take(event):
                        self._observe(due)
                    self._feed_waiting()
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
        stopping = bool(self.stopping or self.error)
        if hand.stale and not ready.busy and not stopping and self.executor.recycle(worker):
            self.hands[worker] = _Hand()
            return
        asked = [] if stopping else self.order.ask(ready)
        self._nothing_left = not asked
        if not asked and not ready.busy and not stopping:
            return
        hand.waiting, hand.heard, hand.stale = None, self.study.clock(), self.fresh
        for assignment in asked:
            hand.told_slow = False  # once is enough for the trials of a worker
            hand.trials[assignment.number] = assignment
            hand.begun[assignment.number] = hand.heard
            hand.silent.add(assignment.number)
            device = self.executor.device(worker)
            self.study.ledger.attempt(assignment.number, assignment.attempt, device, self.study.elapsed_s)
        self.executor.send(worker, Assign(tuple(asked)) if asked or not stopping else Shutdown())

    def _feed_waiting(self) -> None:
        """Answer those who wait, the longest first; where there is nothing for one, there is nothing for the others."""
        while self._waiting:
            worker = next(iter(self._waiting))
            self._feed(worker)
            if self.hands[worker].waiting is not None:
                return
            self._waiting.pop(worker)

    def _heard(self, event: TrialEvent) -> bool:
        """Keep what a message says of its worker; returns whether it is to be observed."""
        hand = self.hands[event.worker]
        if isinstance(event, Ended):
            hand.begun.pop(event.trial, None)
            hand.silent.discard(event.trial)
            known = hand.trials.pop(event.trial, None) is not None
            return known and not (self.stopping and self.study.deterministic)
        now = self.study.clock()
        self.patience.step(now - hand.heard)
        hand.note, hand.heard = event.note, now
        hand.silent.difference_update(point.trial for point in event.points)
        hand.begun.update(dict.fromkeys(hand.silent, now))  # they wait in the worker for their turn
        for advice in event.advice:
            if advice not in self._advised:
                self._advised.add(advice)
                self.screen.note(advice)
        self.faults[event.worker] = 0
        if self.stopping and self.study.deterministic:  # what is observed now would depend on timing
            self._answer(event, dict.fromkeys((p.trial for p in event.points), Kind.PAUSE))
            return False
        return True

    def _observe(self, event: TrialEvent) -> None:
        if isinstance(event, Ended):
            self._trial_ended(event)
        else:
            self._reported(event)

    def _reported(self, event: Reported) -> None:
        hand = self.hands[event.worker]
        kinds: dict[int, Kind] = {}
        verdicts = self.study.report_all([point for point in event.points if point.trial in hand.trials])
        for point in event.points:
            verdict = verdicts.get(point.trial, CONTINUE)
            kinds[point.trial] = Kind.STOP if point.trial not in hand.trials else verdict.kind
            if self.stopping and verdict.kind is Kind.CONTINUE:
                kinds[point.trial] = Kind.PAUSE
        self._answer(event, kinds)

    def _answer(self, event: Reported, kinds: dict[int, Kind]) -> None:
        last = self.study.last_kept
        leads = frozenset(trial for trial in kinds if self._leads(trial, last))
        self.hands[event.worker].heard = self.study.clock()
        self.executor.send(event.worker, Verdicts(kinds, leads))

    def _leads(self, trial: int, last: TrialRecord | None) -> bool:
        """Whether the trial would be among those whose model is kept if it ended now; `last`: the worst of these."""
        record = self.study.history.trials[trial]
        if record.loss is None or record.state in (State.FAILED, State.STOPPED):
            return False
        return last is None or (record.loss, record.number) < (last.loss, last.number)

    def _trial_ended(self, event: Ended) -> None:
        self.study.ledger.attempt_ended(event.trial, event.attempt, event.outcome.value, event.details)
        if event.outcome is Outcome.FINISHED:
            self.study.finish(event.trial)
        elif event.outcome is Outcome.FAILED and event.failure:
            self._stale(event.worker, event.failure)
            self.study.fail(event.trial, event.failure)

    def _stale(self, worker: int, failure: Failure) -> None:
        """After some failures a process is not to be trusted with another trial."""
        if worker >= 0 and (failure.kind == "oom" or "CUDA error" in failure.message):
            self.hands[worker].stale = True

    # -- losses --------------------------------------------------------------------------------------------------------

    def _machine_failed(self, event: Ended, failure: Failure) -> None:
        """An attempt ended through no fault of its trial: the disk ends the search, a device costs one attempt.

        A device that fails again and again is used no more; it is never reset, others may be using it.
        """
        hand = self.hands[event.worker]
        hand.begun.pop(event.trial, None)
        if (assignment := hand.trials.pop(event.trial, None)) is None:
            return
        outcome = "lost" if failure.kind == "device" else "interrupted"
        self.study.ledger.attempt_ended(event.trial, event.attempt, outcome, {"reason": failure.message})
        if failure.kind == "disk":
            raise EnvironmentProblem(f"the disk is full or cannot be written ({failure.message}); everything is saved")
        hand.stale = True
        for due in self.order.lost(assignment, failure.message, failure.kind, failure.traceback):
            self._observe(due)
        self.faults[event.worker] += 1
        if self.faults[event.worker] >= FAULTS:
            self._give_up(event.worker, f"{self.executor.device(event.worker)} fails: {failure.message}")

    def _worker_lost(self, event: Lost) -> None:
        hand = self.hands[event.worker]
        self.hands[event.worker] = _Hand()
        for number, assignment in hand.trials.items():
            self.study.ledger.attempt_ended(number, assignment.attempt, "lost", {"reason": event.reason})
            for due in self.order.lost(assignment, event.reason, event.kind, self.executor.log(number)):
                self._observe(due)
        if self.stopping or self.error:
            return
        others = sum(not hand.gone for hand in self.hands) - 1
        if event.kind == "oom" and others:
            self._give_up(event.worker, "the system ran out of memory")
        else:
            self.executor.restart(event.worker)

    def _give_up(self, worker: int, reason: str) -> None:
        self.hands[worker].gone = True
        self.hands[worker].waiting = None
        if all(hand.gone for hand in self.hands):
            raise EnvironmentProblem(f"no worker is left: {reason}; everything is saved")
        self.screen.note(f"going on with one worker less: {reason}")

    def _watch(self) -> None:
        """Look for workers that hang and trials that take too long."""
        now = self.study.clock()
        if now - self._watched < max(POLL_S, min(WATCH_S, len(self.hands) / 1000)):
            return
        self._watched = now
        slept = self.patience.asleep(now)
        for worker, hand in enumerate(self.hands):
            if slept:
                hand.heard += slept
                hand.begun = {trial: begun + slept for trial, begun in hand.begun.items()}
            if not hand.trials or any(map(self.order.waits, hand.trials)):
                hand.heard = now
                continue
            late = [t for t, begun in hand.begun.items() if self.patience.took_too_long(now - begun)]
            if late:
                self._too_late(worker, late)
            elif self.patience.silent_too_long(now - hand.heard):
                self._kill(worker, f"no report for {now - hand.heard:.0f} s")
            elif self.patience.slow(now - hand.heard) and not hand.told_slow:
                hand.told_slow = True
                trials = ", ".join(map(str, hand.trials))
                self.screen.note(f"trial {trials} is slow: a step takes more than four times the median")

    def _too_late(self, worker: int, late: Sequence[int]) -> None:
        """Trials beyond `trial_timeout` have failed; others of their worker begin again."""
        limit = self.patience.trial_timeout_s
        hand = self.hands[worker]
        self.executor.dump(worker)
        for number, assignment in list(hand.trials.items()):
            if number in late:
                self.study.ledger.attempt_ended(number, assignment.attempt, "timeout", {})
                step = self.study.history.trials[number].step
                failure = Failure("timeout", f"took longer than {limit:g} s", step, self.executor.log(number))
                event = Ended(-1, number, assignment.attempt, Outcome.FAILED, failure)
                for due in self.order.take(event):
                    self._observe(due)
            else:
                self.study.ledger.attempt_ended(number, assignment.attempt, "killed", {})
                self.study.interrupted(number, assignment.attempt)
        self.hands[worker] = _Hand()
        self.executor.restart(worker)

    def _kill(self, worker: int, reason: str) -> None:
        self.executor.dump(worker)
        self._worker_lost(Lost(worker, reason, "timeout"))

    # -- ends ----------------------------------------------------------------------------------------------------------

    def _ended(self, record: TrialRecord) -> None:
        self.publish(self.study, record)
        self.screen.ended(self.study, record)
        counts = self.study.counts
        if record.failure and record.failure.kind == "nan" and any(t.curve for t in self.study.history.running):
            return  # of many trials that train side by side some diverge before any has ended
        if record.state is State.FAILED and counts.failed >= BREAKER and not counts.done and not counts.stopped:
            causes = Counter(t.failure.message for t in self.study.history.failed if t.failure)
            cause, times = causes.most_common(1)[0]
            what = f"{counts.failed} trials failed before any succeeded"
            self.error = self.error or SearchFailed(
                f"{what}; the commonest cause ({times} of {counts.failed}): {cause}"
            )

    def _heed(self) -> None:
        """Act on the first signal; not in its handler, which may have interrupted anything."""
        self._heeded = True
        for event in self.order.release():
            if isinstance(event, Reported):
                self._answer(event, dict.fromkeys((p.trial for p in event.points), Kind.PAUSE))
        self.screen.note("stopping: running epochs finish, state is saved (again: stop now)")
