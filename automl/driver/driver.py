"""The driver: one loop between a study and an executor.

It answers workers (`Ready` with trials, `Reported` with verdicts), tells the study how trials ended, watches the clock
and the signals, and keeps the screen informed. It knows no plugin by name.

A message passes through it like this:

    Executor.poll -> Driver.handle -> Driver._process -> Study.report_all     (and the answer: Executor.send)

`EventOrder` decides when an event is processed and which trials a worker gets, `Recovery` what is done about dead
workers and lost devices.
"""

import math
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial

from automl.core.messages import (
    Assign,
    Broken,
    Ended,
    Event,
    Lost,
    Opened,
    Outcome,
    Ready,
    Reported,
    Shutdown,
    Verdicts,
)
from automl.core.stopper import CONTINUE, Kind
from automl.core.trial import Failure, TrialRecord
from automl.driver.deadline import Deadline
from automl.driver.executor import Executor
from automl.driver.grouped import event_order
from automl.driver.inbox import Inbox
from automl.driver.order import TrialEvent
from automl.driver.recovery import Recovery, hopeless
from automl.driver.screen import NullScreen, Screen
from automl.driver.sharing.device_sharing import DeviceSharing
from automl.driver.signals import Interrupted, Stopping
from automl.driver.watchdog import Watchdog
from automl.driver.worker_table import WorkerTable
from automl.errors import AutoMLError, EnvironmentProblem
from automl.study.study import Study
from automl.study.winner import keep_best, keep_partial, model_wanted
from automl.worker.failures import spoils_process
from automl.worker.worker import Task

POLL_S = 0.25
CHECK_S = 5.0  # at most, between two checks for workers that hang (shorter where there are few of them)
SHOW_S = 0.1  # between two updates of the screen
GRACE_S = 5.0


class Driver:
    """Drives `study` to the end of its budget, with workers of `executor` training `task`.

    Args:
        workers: how many; 0: as many as the executor finds devices or cores for.
        screen: shows the search; None: nothing does.
        keep_files: what is done with the files of a trial that has ended.
        trial_timeout_s: an attempt that takes longer has failed.
        fresh: a fresh process for every trial.
    """

    def __init__(
        self,
        study: Study,
        task: Task,
        executor: Executor,
        workers: int = 0,
        screen: Screen | None = None,
        keep_files: Callable[[Study, TrialRecord], None] = keep_best,
        *,
        trial_timeout_s: float | None = None,
        fresh: bool = False,
    ) -> None:
        self.study, self.task, self.executor, self.wanted = study, task, executor, workers
        self.screen: Screen = screen or NullScreen()
        self.keep_files, self.fresh = keep_files, fresh
        self.workers = WorkerTable()
        self.order = event_order(study, task)
        self.watchdog = Watchdog(trial_timeout_s)
        self.stopping = Stopping(study.clock)
        self.recovery = Recovery(study, executor, self.workers, self.order, self.watchdog, self.screen, self.stopping)
        self.sharing = DeviceSharing(study, executor, self.workers, self.order, self.screen, task.group)
        self.deadline = Deadline(study, executor, self.workers, self.screen)
        self.inbox = Inbox(study, self.workers, self.order, study.notes.append)
        self.error: AutoMLError | None = None  # ends the search
        study.on_end, study.held = self._trial_ended, self.workers.holds
        self._paused_all = False  # whether the signal to stop has been acted on
        self._nothing_left = False  # whether the study had no trial for the last worker that asked
        self._advised: set[str] = set()  # advice that the user has seen
        self._shown_s = self._checked_s = -math.inf  # when the screen was updated and the workers were checked

    # -- the loop ------------------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Run the search; returns when the budget is used up or the strategy has nothing more to suggest.

        Raises:
            Interrupted: SIGINT, SIGTERM or SIGUSR1; everything is saved.
            SearchFailed: `recovery.BREAKER` trials failed before any succeeded.
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
                        self._check_workers()
                        self._give_to_waiting()
                    if self.error:
                        raise self.error
                if self.stopping:
                    outcome = "interrupted"
                    raise self.stopping.interrupted()
                outcome = "finished"
                self.study.settle()
                if note := keep_partial(self.study):
                    self.screen.note(note)
                if summary := self.study.stopper.summary(self.study.history):
                    self.screen.note(summary)
        except KeyboardInterrupt:
            outcome = "interrupted"
            raise Interrupted("stopped at once; everything reported is saved", 130) from None
        except OSError as error:
            raise EnvironmentProblem(f"{error}; everything up to there is saved") from error
        finally:
            self.executor.stop(GRACE_S if outcome == "finished" and not self.deadline.cut else 0.5)
            self.screen.finish(self.study, outcome)

    def _begin(self) -> None:
        """Start the workers."""
        if self.study.deterministic:
            self.wanted = self.study.ledger.facts().get("width") or self.wanted
        threading.Thread(target=self.study.strategy.prepare, name="strategy").start()  # while workers start
        self.inbox.begin()
        count = self.executor.start(self.task, self._workers(), self.study.path)
        self.workers.include(count - 1)
        self.sharing.begin(count, fixed=bool(self.wanted) or self.watchdog.trial_timeout_s is not None)
        self.study.work_with(count)
        if (needed := self.order.begin(count)) > count:
            raise EnvironmentProblem(f"this deterministic search was begun with {needed} workers; there are {count}")
        self.screen.begin(self.study)
        self.inbox.speak(self.screen.note)

    def _workers(self) -> int:
        """How many workers to start: never more than there are trials to run; 0: the executor decides."""
        wanted, most = self.wanted or self.executor.usual(), self.study.trials_to_run
        if most is None or self.study.ledger.facts().get("width"):
            return wanted
        return min(wanted, max(most, 1))

    def _over(self) -> bool:
        """Whether no trial runs, and there is none to begin."""
        if self.stopping.over:
            return True
        if self.workers.any_training:
            return False
        if self.stopping or self.deadline.cut:
            return True
        return self._nothing_left and self.workers.any_waiting and not (self.order.busy() or self.study.paused)

    def _tick(self) -> None:
        """What is to be done often: act on a signal, save, show."""
        if self.stopping and not self._paused_all:
            self._pause_all()
        self.inbox.check()
        self.study.ledger.beat()
        now_s = time.monotonic()  # a screen lives in the real time, whatever the study's clock
        if now_s - self._shown_s >= SHOW_S:
            self._shown_s = now_s
            self.screen.tick(self.study, self.workers.statuses(self.executor.device))

    def _check_workers(self) -> None:
        now_s = self.study.clock()
        if now_s - self._checked_s >= max(POLL_S, min(CHECK_S, len(self.workers) / 1000)):
            self._checked_s = now_s
            for due in self.recovery.check_workers(now_s):
                self._process(due)
            self.deadline.check()
            if not (self.stopping or self.deadline.cut or self.error):
                self.sharing.check()

    # -- events --------------------------------------------------------------------------------------------------------

    def handle(self, event: Event) -> None:
        """Answer one event. An error of ours ends the search once the worker has its answer."""
        with self.stopping.untorn():
            try:
                for due in self._due(event):
                    self._process(due)
                self._tick()
            except (AutoMLError, OSError) as error:
                ours = error if isinstance(error, AutoMLError) else EnvironmentProblem(f"{error}; the rest is saved")
                self.error = self.error or ours
                if isinstance(event, Reported):
                    self._answer_all(event, Kind.STOP)
                elif isinstance(event, Ready):
                    self.executor.send(event.worker, Shutdown())

    def _due(self, event: Event) -> Iterator[TrialEvent]:
        """`event` has arrived: yields the events to be processed now, each before the next one is asked for."""
        self.workers.include(event.worker)
        match event:
            case Ready():
                if not self.sharing.holds(event):
                    self.workers.asks(event)
                    self.inbox.hold(self._tick)
                    self._give_trials(event.worker)
            case Broken() | Ended(failure=Failure(kind="oom" | "device")) if self.sharing.caused(event):
                pass
            case Ended(failure=Failure(kind="disk" | "device") as failure):
                yield from self.recovery.machine_failed(event, failure)
            case Reported() | Ended():
                if self._counts(event):
                    yield from self.order.take(event)
                    self._give_to_waiting()
            case Lost():
                yield from self.recovery.worker_lost(event)
                if not self.stopping and not self.error:
                    self.recovery.replace_worker(event)
                    self.sharing.lost(event)
            case Opened(facts=facts):
                self.study.keep_facts(facts)
            case Broken(error=error):
                self.error = error if isinstance(error, AutoMLError) else AutoMLError(str(error))

    def _counts(self, event: TrialEvent) -> bool:
        """Note what the event says about its worker; returns whether the event is to be processed."""
        state = self.workers[event.worker]
        too_late = bool(self.stopping) and self.study.deterministic  # what is processed now would depend on timing
        if isinstance(event, Ended):
            self.sharing.ended(event)
            state.stale = state.stale or bool(event.lasting)
            return state.ended(event.trial) is not None and not too_late
        first = any(point.trial in state.silent for point in event.points)
        starting = state.starting
        seconds = state.reported(event, self.study.clock())
        self.sharing.reported(event, seconds, first=first)
        self.watchdog.step(seconds, starting=starting)
        self.study.endgame.measured([point for point in event.points if point.trial in state.trials], seconds)
        self.workers.device_losses.pop(event.worker, None)
        for advice in event.advice:
            if advice not in self._advised:
                self._advised.add(advice)
                self.screen.note(advice)
        if too_late:
            self._answer_all(event, Kind.PAUSE)
        return not too_late

    def _process(self, event: TrialEvent) -> None:
        """Bring the event into the study; a report is answered with verdicts."""
        self.inbox.check()
        if isinstance(event, Ended):
            self._attempt_ended(event)
            return
        trials = self.workers[event.worker].trials
        ends = bool(self.stopping) or self.recovery.leaves(event.worker)
        verdicts = self.study.report_all([point for point in event.points if point.trial in trials])
        kinds: dict[int, Kind] = {}
        for point in event.points:
            kind = verdicts.get(point.trial, CONTINUE).kind if point.trial in trials else Kind.STOP
            kinds[point.trial] = Kind.PAUSE if ends and kind is Kind.CONTINUE else kind
        self._answer(event, kinds)

    def _attempt_ended(self, event: Ended) -> None:
        self.study.attempt_over(event.trial, event.attempt, event.outcome.value, event.details)
        if event.outcome is Outcome.FINISHED:
            self.study.finish(event.trial)
        elif event.outcome is Outcome.FAILED and event.failure:
            if event.worker >= 0 and spoils_process(event.failure):
                self.workers[event.worker].stale = True
            self.study.fail(event.trial, event.failure)
        elif event.outcome is Outcome.PAUSED and not self.stopping and self.recovery.leaves(event.worker):
            self.order.handed_back(event.trial, event.attempt)  # if the stopper has paused it, it stays so

    def _trial_ended(self, record: TrialRecord) -> None:
        """The study has ended a trial for good."""
        self.keep_files(self.study, record)
        self.screen.ended(self.study, record)
        self.error = self.error or hopeless(self.study, record)

    # -- answers -------------------------------------------------------------------------------------------------------

    def _give_trials(self, worker: int) -> None:
        """Answer a worker's Ready, if there is something to say."""
        state = self.workers[worker]
        ready = state.waiting
        if ready is None:
            return
        if state.given_up:
            state.waiting = None
            self.executor.send(worker, Shutdown())
            return
        stopping = bool(self.stopping or self.error)
        leaves = self.recovery.leaves(worker)
        if state.stale and not ready.busy and not stopping and self.executor.recycle(worker):
            self.workers.replaced(worker)
            return
        asked = [] if stopping or leaves else self.order.ask(ready)
        self._nothing_left = not asked and not leaves
        if not asked and not ready.busy and not stopping:
            return
        state.assign(asked, self.study.clock())
        state.stale = self.fresh
        for assignment in asked:
            device = self.executor.device(worker)
            self.study.ledger.attempt_assigned(assignment.number, assignment.attempt, device)
        self.executor.send(worker, Assign(tuple(asked)) if asked or not stopping else Shutdown())

    def _give_to_waiting(self) -> None:
        """Answer workers that wait, the longest first; if there is nothing for one, there is nothing for the others."""
        while (worker := self.workers.longest_waiting()) is not None:
            self._give_trials(worker)
            if self.workers[worker].waiting is not None:
                return

    def _answer(self, event: Reported, kinds: dict[int, Kind]) -> None:
        """Answer a report, with what each of its trials is to do."""
        last = self.study.last_kept
        wanted = frozenset(filter(partial(model_wanted, self.study, last=last), kinds))
        self.workers[event.worker].heard_s = self.study.clock()
        self.executor.send(event.worker, Verdicts(kinds, wanted))

    def _answer_all(self, event: Reported, kind: Kind) -> None:
        """Answer a report with the same for all of its trials."""
        self._answer(event, dict.fromkeys((point.trial for point in event.points), kind))

    def _pause_all(self) -> None:
        """Act on the first signal: not in its handler, which may have interrupted anything."""
        self._paused_all = self.inbox.closed = True
        for event in self.order.release():
            if isinstance(event, Reported):
                self._answer_all(event, Kind.PAUSE)
        self.screen.note(f"stopping: running {self.study.plan.unit}s finish, state is saved (again: stop now)")
