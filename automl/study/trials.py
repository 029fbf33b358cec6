"""The trials of a study that is being driven: how they begin, report, lose their worker, and end.

Each change is written to the ledger first and then to the history, at the same second of the study's time.
"""

import copy
import heapq
import math
import threading
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any, NoReturn

from automl.core import plugins
from automl.core.history import rank_key
from automl.core.live import edits
from automl.core.messages import Assignment, Measured, Odd, Parent, as_number
from automl.core.objectives.goals import Objectives
from automl.core.option_types import check_number
from automl.core.space import Config
from automl.core.stopper import CONTINUE, Kind, Stopper, Verdict, cut_by_budget
from automl.core.strategy import Heir, Strategy
from automl.core.trial import Failure, Plan, State, TrialRecord, origin_of
from automl.errors import SpecError
from automl.study import checkpoint, paths
from automl.study.budget import OUT_OF_BUDGET, Budget
from automl.study.endgame import Endgame
from automl.study.reader import Readable


class Retries:
    """Counts the lost attempts of each trial, and keeps the queue of those that are tried again.

    Args:
        limit: how many lost attempts of a trial are repeated.
        lost: {trial: attempts it has lost so far}.
        waiting: trials that were interrupted, in the order in which they are tried again.
    """

    def __init__(self, limit: int, lost: Mapping[int, int], waiting: Iterable[int]) -> None:
        self.limit = limit
        self.lost = dict(lost)
        self.waiting = deque(waiting)

    def allowed(self, trial: int) -> bool:
        """Whether the trial would be tried again if it lost its attempt now."""
        return self.lost.get(trial, 0) < self.limit

    def lose(self, trial: int) -> bool:
        """Count a lost attempt, and put the trial into the queue if it may be tried again.

        Returns:
            whether it may.
        """
        again = self.allowed(trial)
        self.lost[trial] = self.lost.get(trial, 0) + 1
        if again:
            self.waiting.append(trial)
        return again


class Trials(Readable):
    """The part of a `Study` that changes single trials; the driver uses it beside `ask` and `report_all`."""

    pool: int  # how many of the best trials keep their models for an ensemble
    strategy: Strategy
    stopper: Stopper
    budget: Budget
    endgame: Endgame
    seed_of: Callable[[TrialRecord], int]  # the training seed of a trial
    on_end: Callable[[TrialRecord], None]  # called with each trial that has ended
    _retries: Retries
    _lock: threading.RLock  # held by every method that changes the study, so that threads may share it

    def work_with(self, workers: int) -> None:
        """Set the number of workers; then strategy and stopper may add notes about what they are going to do."""
        self.history.plan = replace(self.plan, workers=workers)
        notes = self.strategy.note(self.history), self.stopper.note(self.history)
        self.notes += filter(None, (*notes, plugins.unfit(self.strategy, self.stopper)))

    def keep_facts(self, facts: Mapping[str, Any]) -> None:
        """Keep what became known about the study while it runs: plain values, which replace those of their name."""
        with self._lock:
            new = {name: fact for name, fact in facts.items() if name not in self.facts or self.facts[name] != fact}
            if new:
                self.facts |= new
                self.ledger.describe(**new)

    def _begin(self, origin: str, config: Config, asked: int | None = None) -> Assignment:
        at_s = self.elapsed_s
        if isinstance(config, Heir):
            origin = origin_of(self._parent(config.of))
        self.ledger.begin(self.history.next_number, config, origin, at_s, asked)
        record = self.history.begin(config, origin=origin, at_s=at_s)
        if record.parent is not None and self.path is not None:
            ancestor, own = (paths.trial(self.path, n) for n in (record.parent[0], record.number))
            checkpoint.clear(own)  # a driver that was killed at this moment may have left some
            checkpoint.inherit(ancestor, own, record.parent[1])
        return self._assignment(record)

    def _parent(self, number: int) -> tuple[int, int]:
        """(trial, step) with whose state an heir of this trial begins.

        Raises:
            SpecError: there is no such trial, or it is not paused.
        """
        record = self.record_of(number)
        if record.state is not State.PAUSED:
            raise SpecError(f"an heir begins with the state of a paused trial; trial {number} is {record.state}")
        return number, record.step

    def _try_again(self, number: int) -> Assignment:
        return self._assignment(self.history.again(number, self.history.trials[number].attempt + 1))

    def _assignment(self, record: TrialRecord) -> Assignment:
        self.ledger.attempt(record.number, record.attempt, self.elapsed_s)
        alone = self._retries.lost.get(record.number, 0) > 0
        config = copy.deepcopy(record.config)  # the caller's own: the study keeps what was suggested
        seed = self.seed_of(record)
        parent = None
        if record.parent is not None:
            ancestor = self.history.trials[record.parent[0]]
            parent = Parent(*record.parent, copy.deepcopy(ancestor.config), self.seed_of(ancestor))
        return Assignment(
            record.number, config, record.attempt, seed, record.step, alone, self.plan.horizon, self.metric.name, parent
        )

    def _store(self, point: Measured) -> Verdict | None:
        """Write a point down. Returns a verdict if the stopper need not be asked."""
        record = self.history.trials[point.trial]
        if record.state is not State.RUNNING or point.attempt not in (0, record.attempt):
            return Verdict(Kind.STOP, "already ended")
        if point.step <= record.step and (record.curve or record.parent):
            return CONTINUE
        if self.budget.no_steps_left and point.step > 0:
            self.withdraw(record.number)
            return OUT_OF_BUDGET
        objectives = self.history.objectives
        values, failure = checked(objectives, point.metrics, point.step)
        missing = any(name not in point.metrics for name in objectives.names)
        if failure and missing and not any(t.curve for t in self.history.trials):
            raise SpecError(failure.message)  # the first report of all: the metric's name must be wrong
        if failure:
            self._end(record.number, State.FAILED, failure=failure)
            return Verdict(Kind.STOP, failure.message)
        value = values[self.metric.name]
        horizon = point.horizon or self.plan.horizon
        self.ledger.report(record.number, point.step, record.attempt, value, values, self.elapsed_s, horizon)
        self.history.point(record.number, point.step, self.metric.loss(value), objectives.vector(values))
        return None

    def attempt_over(self, trial: int, attempt: int, outcome: str, details: Mapping[str, Any]) -> None:
        """Write down how an attempt ended, and what it has cost, where that was measured (see `core.trial.Cost`)."""
        self.ledger.attempt_ended(trial, attempt, outcome, details)
        known = {name: details[name] for name in edits.COSTS if isinstance(details.get(name), int | float)}
        if "seconds" in known and 0 <= trial < len(self.history):
            fact = {"kind": "cost", "trial": trial, "attempt": attempt, "steps": 0, **known}
            self.ledger.edit(fact, "", "", self.elapsed_s)
            edits.apply(self.history, fact)

    def finish(self, trial: int | Assignment) -> TrialRecord:
        """A trial has run its full length. If it never reported, it has failed."""
        with self._lock:
            record = self.record_of(trial)
            if record.state.ended:
                return record
            if record.loss is None:
                return self.fail(record.number, Failure("metric", f"ended without reporting {self.metric.name}"))
            full = self.plan.horizon
            early = f"finished early, at step {record.step} of {full}" if full and record.step < full else ""
            return self._end(record.number, State.DONE, reason=early)

    def fail(self, trial: int | Assignment, failure: Failure | Exception) -> TrialRecord:
        """A trial has failed for good."""
        with self._lock:
            record = self.record_of(trial)
            if record.state.ended:
                return record
            if not isinstance(failure, Failure):
                failure = Failure("exception", f"{type(failure).__name__}: {failure}", record.step)
            return self._end(record.number, State.FAILED, failure=failure)

    def withdraw(self, trial: int) -> None:
        """Stop a trial because the budget is used up."""
        with self._lock:
            if not self.history.trials[trial].state.ended:
                self._end(trial, State.STOPPED, reason=OUT_OF_BUDGET.reason)

    def record_of(self, trial: int | Assignment) -> TrialRecord:
        """The record of a trial that is given as its number or as an assignment.

        Raises:
            SpecError: there is no such trial.
        """
        number = trial.number if isinstance(trial, Assignment) else trial
        known = len(self.history)
        if isinstance(number, bool) or not hasattr(type(number), "__index__"):
            raise SpecError(f"a trial is what ask() returned, or its number; got {trial!r}")
        if not 0 <= number < known:
            raise SpecError(f"no trial {number}: " + (f"trials are 0 to {known - 1}" if known else "none has begun"))
        return self.history.trials[number]

    def __reduce__(self) -> NoReturn:
        raise TypeError("a study stays in its process: give other processes trial.config, and tell their results here")

    def runs(self, trial: int, attempt: int | None = None) -> bool:
        """Whether that attempt (None: any) is the current one of a running trial."""
        record = self.history.trials[trial]
        return record.state is State.RUNNING and attempt in (None, record.attempt)

    def may_retry(self, trial: int) -> bool:
        """Whether the trial would be tried again if its worker died now."""
        return self._retries.allowed(trial)

    def interrupted(self, trial: int, attempt: int | None = None) -> None:
        """The attempt ended, and neither the trial nor its worker caused it: the next one does not count as a retry."""
        with self._lock:
            if self.runs(trial, attempt):
                self._retries.waiting.append(trial)

    def lost(
        self, trial: int, reason: str, kind: str = "killed", traceback: str = "", attempt: int | None = None
    ) -> TrialRecord | None:
        """The worker died during the attempt. The trial is tried again `retries` times; then it has failed.

        Args:
            trial: its number.
            reason: why the worker died.
            kind, traceback: those of the trial's Failure, if this was its last attempt.
            attempt: which one; None: the current one. If the trial was paused, or a later attempt of it runs, nothing
                was lost.

        Returns:
            the trial's record if it does not run any more; None if it is going to be tried again.
        """
        with self._lock:
            record = self.history.trials[trial]
            if not self.runs(trial, attempt):
                return record
            if self._retries.lose(trial):
                return None
            times = f" (attempt {record.attempt})" if record.attempt > 1 else ""
            return self.fail(trial, Failure(kind, f"{reason}{times}", record.step, traceback))

    def _end(self, number: int, state: State, *, reason: str = "", failure: Failure | None = None) -> TrialRecord:
        at_s = self.elapsed_s
        self.ledger.end(number, state, reason, failure, at_s)
        record = self.history.end(number, state, reason=reason, failure=failure, at_s=at_s)
        self.endgame.ended(number)
        self.on_end(record)
        return record

    # -- what is left ------------------------------------------------------------------------------------------------

    @property
    def started(self) -> int:
        """How many trials the study began; results added from elsewhere do not count."""
        return self.budget.started

    @property
    def trials_to_run(self) -> int | None:
        """How many trials may still be trained; None where their number is not limited."""
        if self.plan.trials is None:
            return None
        return max(self.plan.trials - self.started, 0) + len(self.history.running) + len(self.history.paused)

    @property
    def elapsed_s(self) -> float:
        """Seconds that this study has been driven, over all its sessions."""
        return self.budget.elapsed_s

    @property
    def spent(self) -> bool:
        """Whether the budget of steps or of time is used up."""
        return self.budget.spent

    @property
    def tight(self) -> bool:
        """Whether the rest of the budget is kept for one trial, so that no other one begins (see `Endgame`)."""
        return self.endgame.leader() is not None

    @property
    def out_of_budget(self) -> bool:
        """Whether no trial may begin or continue any more."""
        return self.spent or (self.budget.no_trials_left and not self.history.paused)

    def ranked(self, n: int) -> list[TrialRecord]:
        """The best `n` trials whose models count, the best first; see `Budget.members`."""
        if self.budget.pack:
            return heapq.nsmallest(n, (t for t in self.budget.members() if t.loss is not None), key=rank_key)
        return self.history.ranked(n, full=True)

    def in_pool(self, record: TrialRecord, last: TrialRecord | None) -> bool:
        """Whether a trial that has ended is one of the best of a pack; `last`: the worst trial whose model is kept."""
        return self.budget.pack and cut_by_budget(record) and (last is None or rank_key(record) <= rank_key(last))

    @property
    def last_kept(self) -> TrialRecord | None:
        """The worst of the trials whose models are kept; None while there is room for more."""
        if not self.pool:
            return self.best
        kept = self.ranked(self.pool)
        return kept[-1] if len(kept) == self.pool else None


def plan_of(
    trials: int | None, steps: int | None, time_s: float | None, horizon: int | None, workers: int, seed: int,
    unit: str,
) -> Plan:  # fmt: skip
    """The plan of a study.

    Raises:
        SpecError: an option is no number, or too small.
    """
    for name, number in (("trials", trials), ("steps", steps), ("workers", workers)):
        check_number(name, number)
    check_number("time_s", time_s, whole=False)
    check_number("horizon", horizon, least=1)
    check_number("seed", seed, least=-math.inf)
    trials, steps, horizon = (None if n is None else int(n) for n in (trials, steps, horizon))  # numpy's numbers, too
    return Plan(trials, steps, None if time_s is None else float(time_s), horizon, int(workers), unit)


def checked(
    objectives: Objectives, metrics: Mapping[str, object], step: int
) -> tuple[dict[str, float], Failure | None]:
    """The numbers of a report, or why the trial has failed with it.

    Args:
        objectives: what the study ranks on, and limits; all must be among `metrics`, and finite.
        metrics: what was reported; other values that are no finite numbers are dropped.
        step: when.

    Returns:
        {name: number} and None; or an empty dict and the failure.
    """
    numbers = {str(key): number for key, value in metrics.items() if (number := as_number(value)) is not None}
    for name in objectives.names:
        if name not in metrics:
            reported = ", ".join(map(repr, metrics)) or "nothing"
            return {}, Failure("metric", f"the study ranks on {name!r}, which is missing; reported: {reported}", step)
        if name not in numbers:
            value = metrics[name]
            kind = value.name if isinstance(value, Odd) else type(value).__name__
            return {}, Failure("metric", f"{name} must be a number, got {kind}", step)
        if not math.isfinite(numbers[name]):
            return {}, Failure("nan", f"{name} is {numbers[name]} at step {step}", step)
    return {key: number for key, number in numbers.items() if math.isfinite(number)}, None
