"""What the driver does when a worker dies or hangs, when a device fails, and when a trial takes too long."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from automl.core.messages import PREEMPTED, Ended, Lost, Outcome
from automl.core.trial import Failure, State, TrialRecord
from automl.driver.executor import Executor
from automl.driver.order import EventOrder, TrialEvent
from automl.driver.screen import Screen
from automl.driver.signals import Stopping
from automl.driver.watchdog import Watchdog
from automl.driver.worker_table import WorkerState, WorkerTable
from automl.errors import AutoMLError, EnvironmentProblem, SearchFailed, SpecError
from automl.study.study import Study

DEVICE_LOSSES = 2  # failures of its device in a row after which a worker is given up
BREAKER = 5  # failed trials before any success that end a search


@dataclass(frozen=True)
class Recovery:
    """Finds out what went wrong around trials and puts it right, as far as that is possible.

    The methods are iterators of the events that are to be processed because of it, each before the next one is asked
    for.
    """

    study: Study
    executor: Executor
    workers: WorkerTable
    order: EventOrder
    watchdog: Watchdog
    screen: Screen
    stopping: Stopping
    _told: set[str] = field(default_factory=set, init=False)  # reasons of losses that the user has seen

    def worker_lost(self, event: Lost) -> Iterator[TrialEvent]:
        """A worker's process has died, or must be replaced: its trials get another attempt, if they have one left.

        Where the machine had been told that it would be taken away (`PREEMPTED`), they always do.
        """
        for number, assignment in self.workers.replaced(event.worker).trials.items():
            if event.kind == PREEMPTED:
                self.study.ledger.attempt_ended(number, assignment.attempt, "interrupted", {"reason": event.reason})
                self.order.handed_back(number, assignment.attempt)
                continue
            self.study.ledger.attempt_ended(number, assignment.attempt, "lost", {"reason": event.reason})
            yield from self.order.lost(assignment, event.reason, event.kind, self.executor.log(number))

    def leaves(self, worker: int) -> bool:
        """Whether the worker's machine will be taken away; if so, the worker is replaced once its trials are saved."""
        leaves = self.executor.leaving(worker)
        self.workers[worker].stale |= leaves
        return leaves

    def replace_worker(self, event: Lost) -> None:
        """Start another process in the place of one that was lost; if memory ran out, go on with one worker less.

        Raises:
            EnvironmentProblem: workers die again and again before they can work.
        """
        if self.workers[event.worker].given_up:
            return
        if event.kind == "oom" and self.workers.usable > 1:
            self.give_up(event.worker, "the system ran out of memory")
        else:
            if event.reason not in self._told:
                self._told.add(event.reason)
                self.screen.note(f"worker {event.worker} is replaced: {event.reason}")
            self.executor.restart(event.worker)

    def machine_failed(self, event: Ended, failure: Failure) -> Iterator[TrialEvent]:
        """An attempt ended because of the disk or the device; it does not count as a failure of the trial.

        A disk that cannot be written ends the search. A device costs one attempt, and its worker is replaced; one that
        fails again and again gets no more trials. It is never reset, as others may be using it.

        Raises:
            EnvironmentProblem: it was the disk, or the last device.
        """
        state = self.workers[event.worker]
        if (assignment := state.ended(event.trial)) is None:
            return
        outcome = "lost" if failure.kind == "device" else "interrupted"
        self.study.ledger.attempt_ended(event.trial, event.attempt, outcome, {"reason": failure.message})
        if failure.kind == "disk":
            raise EnvironmentProblem(f"the disk is full or cannot be written ({failure.message}); everything is saved")
        state.stale = True
        yield from self.order.lost(assignment, failure.message, failure.kind, failure.traceback)
        losses = self.workers.device_losses
        losses[event.worker] = losses.get(event.worker, 0) + 1
        if losses[event.worker] >= DEVICE_LOSSES:
            self.give_up(event.worker, f"{self.executor.device(event.worker)} fails: {failure.message}")

    def give_up(self, worker: int, reason: str) -> None:
        """The worker gets no more trials.

        Raises:
            EnvironmentProblem: it was the last one.
        """
        self.workers[worker].given_up = True
        self.workers[worker].waiting = None
        if not self.workers.usable:
            raise EnvironmentProblem(f"no worker is left: {reason}; everything is saved")
        self.screen.note(f"going on with one worker less: {reason}")

    def check_workers(self, now_s: float) -> Iterator[TrialEvent]:
        """Look for workers that hang and for trials that take too long; `now_s` is the study's clock."""
        suspended_s = self.watchdog.suspended_s(now_s)
        for worker, state in enumerate(self.workers):
            if suspended_s:
                state.shift(suspended_s)
            if not state.trials or any(map(self.order.waits, state.trials)):
                state.heard_s = now_s
                continue
            late = [trial for trial, begun in state.begun_s.items() if self.watchdog.too_long(now_s - begun)]
            silent_s = now_s - state.heard_s
            if late:
                yield from self._end_late(worker, late)
            elif self.watchdog.hangs(silent_s, starting=state.starting):
                self.executor.dump(worker)
                lost = Lost(worker, f"no report for {silent_s:.0f} s", "timeout")
                yield from self.worker_lost(lost)
                if not self.stopping:
                    self.executor.restart(worker)
            elif self.watchdog.is_slow(silent_s, starting=state.starting):
                self._note_slow(state)

    def _note_slow(self, state: WorkerState) -> None:
        if not state.slow_noted:
            state.slow_noted = True
            trials = ", ".join(map(str, state.trials))
            self.screen.note(f"trial {trials} is slow: a step takes more than four times the median")

    def _end_late(self, worker: int, late: Sequence[int]) -> Iterator[TrialEvent]:
        """Trials beyond the time limit have failed; the others of their worker begin again."""
        limit_s = self.watchdog.trial_timeout_s
        self.executor.dump(worker)
        for number, assignment in list(self.workers[worker].trials.items()):
            if number in late:
                self.study.ledger.attempt_ended(number, assignment.attempt, "timeout", {})
                step = self.study.history.trials[number].step
                failure = Failure("timeout", f"took longer than {limit_s:g} s", step, self.executor.log(number))
                yield from self.order.take(Ended(-1, number, assignment.attempt, Outcome.FAILED, failure))
            else:
                self.study.ledger.attempt_ended(number, assignment.attempt, "killed", {})
                self.study.interrupted(number, assignment.attempt)
        self.workers.replaced(worker)
        self.executor.restart(worker)


def hopeless(study: Study, record: TrialRecord) -> AutoMLError | None:
    """The error that ends the search if, with the end of `record`, nothing but failures have been seen so far.

    A task whose first trial ends without any report will not report in the next sixty either: that is enough.
    """
    counts, history = study.counts, study.history
    silent = record.failure is not None and record.failure.kind == "metric" and record.failure.step == 0
    if silent and record.failure and not any(t.curve for t in history.trials):
        return SpecError(record.failure.message)
    if record.failure and record.failure.kind == "nan" and any(t.curve for t in history.running):
        return None  # of many trials that train at once some diverge before any has ended
    if record.state is not State.FAILED or counts.failed < BREAKER or counts.done or counts.stopped:
        return None
    causes = Counter(t.failure.message for t in history.failed if t.failure)
    cause, times = causes.most_common(1)[0]
    return SearchFailed(
        f"{counts.failed} trials failed before any succeeded; the commonest cause ({times} of {counts.failed}): {cause}"
    )
