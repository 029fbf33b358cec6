"""The study: one search's state and its only way to change. It starts no process.

    ask     -> trials to run: interrupted ones first, then promoted ones, then new ones from the strategy
    report  -> a point of a trial's curve; answered with the stopper's verdict
    finish, stop, fail, tell -> a trial's end

Every change goes to the ledger and to the history; strategies and stoppers see the history alone.
"""

import difflib
import json
import math
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, Self, overload

from automl.core import plugins, seeds
from automl.core.history import History
from automl.core.messages import Assignment, Measured, Odd, as_number
from automl.core.space import Config, Space
from automl.core.stopper import CONTINUE, Kind, Stopper, Verdict
from automl.core.strategy import LoadedStrategy
from automl.core.trial import Failure, Metric, Plan, State, TrialRecord
from automl.errors import SpecError, did_you_mean
from automl.study.ledger import Ledger
from automl.study.reader import Readable, StudyView

Described = str | Mapping[str, Any] | object
OUT_OF_BUDGET = Verdict(Kind.STOP, "budget used up")


class Study(Readable):
    """One search. Made new, or opened again at an existing `path` (then it continues where it was).

    Args:
        space: a Space, or what `Space.of` takes.
        metric: its name (the direction of the usual names is known), `{"name": ..., "direction": ...}` or a Metric.
        strategy, stopper: a plugin's name, `{"name": ..., option: value}`, or the object.
        trials, steps, time_s: the budget, whichever is used up first; None: no such limit.
        horizon: steps of a full trial, where known.
        path: the study's folder; None keeps the ledger in memory.
        first: configs tried before the strategy is asked (after the space's defaults).
        defaults: whether the space's defaults are tried first of all.
        keep: whose saved model stays on disk: that of the best trial, or of every trial.
        pool: so many of the best trials keep their models beside the best one's, for an ensemble.
        seed_of: the seed a trial is trained with; the default depends on the study's seed and the trial's number.
        clock: seconds, for everything the study and its driver time; a simulation has its own.
        retries: further attempts of a trial whose worker was lost.
        deterministic: the driver observes results in an order that does not depend on timing (see `lockstep`).
        accept_changes: go on at `path` although space, metric or seed are others, where all known trials fit.

    Raises:
        SpecError: an option is wrong, or the study at `path` was made for another space, metric or seed.
        LedgerError: the ledger is locked, damaged or newer than this program.
    """

    def __init__(
        self,
        space: Space | Mapping[str, Any],
        *,
        metric: str | Mapping[str, str] | Metric,
        strategy: Described = "random",
        stopper: Described = "none",
        trials: int | None = None,
        steps: int | None = None,
        time_s: float | None = None,
        horizon: int | None = None,
        workers: int = 1,
        seed: int = 0,
        value: str = "last",
        path: str | Path | None = None,
        name: str | None = None,
        first: list[Config] | None = None,
        retries: int = 1,
        deterministic: bool = False,
        accept_changes: bool = False,
        defaults: bool = True,
        keep: Literal["best", "all"] = "best",
        pool: int = 0,
        seed_of: Callable[[TrialRecord], int] | None = None,
        facts: Mapping[str, Any] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.strategy: LoadedStrategy = plugins.make("strategies", strategy)
        self.stopper: Stopper = plugins.make("stoppers", stopper)
        self.path = Path(path) if path is not None else None
        self.name = name or (self.path.name if self.path else "study")
        self.retries = retries
        self.clock = clock
        self.deterministic = deterministic
        self.keep = keep
        self.pool = pool
        self.seed_of = seed_of or (lambda record: seeds.derive(seed, record.number, "trial"))
        self.notes = []
        self.on_end: Callable[[TrialRecord], None] = lambda record: None
        plan = Plan(trials, steps, time_s, horizon, workers)
        self.history = History(Space.of(space), seed=seed, metric=Metric.of(metric, value), plan=plan)
        self.ledger = Ledger.open(self.path) if self.path else Ledger.in_memory()
        self.facts = {
            "name": self.name,
            "space": self.space.to_json(),
            "metric": {"name": self.metric.name, "direction": self.metric.direction, "count": self.metric.count},
            "strategy": _told(strategy),
            "stopper": _told(stopper),
            "seed": seed,
            "plan": {"trials": trials, "steps": steps, "time_s": time_s, "horizon": horizon},
            "deterministic": deterministic,
            **(facts or {}),
        }
        try:
            self._open(first or [], accept_changes, defaults)
        except BaseException:
            self.ledger.close()
            raise

    def _open(self, first: list[Config], accept_changes: bool, defaults: bool) -> None:
        before = self.ledger.facts()
        changes = {fact: _difference(fact, before, self.facts) for fact in ("space", "metric", "seed")}
        changed = "\n".join(difference for difference in changes.values() if difference)
        if changed and not accept_changes:
            names = " and ".join(fact for fact, difference in changes.items() if difference)
            raise SpecError(f"{self.path}: this study was begun with another {names}:\n{changed}")
        self.ledger.replay(self.history)
        for record in self.history.trials if changed else ():
            if not self.space.contains(record.config):
                raise SpecError(f"{self.path}: trial {record.number} is outside of the new space: {record.config}")
        self.ledger.describe(**self.facts)
        if changed:
            self.notes.append(f"going on with what was changed:\n{changed}")
        self._losses = self.ledger.losses()
        self._added = sum(t.origin == "added" for t in self.history.trials)
        self._interrupted = deque(t.number for t in self.history.running)
        if "finalists" in before:
            self.facts["finalists"] = before["finalists"]
        default = self.space.default() if defaults else {}
        self._first = [("default", default)] if default else []
        self._first += [("user", self.space.canonical(config)) for config in first]
        self._exhausted = False
        self._elapsed_s = self.ledger.elapsed_s()
        self._opened = self.clock()

    def work_with(self, workers: int) -> None:
        """The driver has this many workers; now strategy and stopper may say what they are going to do."""
        self.history.plan = replace(self.plan, workers=workers)
        for plugin in (self.strategy, self.stopper):
            if note := plugin.note(self.history):
                self.notes.append(note)

    def ranked(self, n: int) -> list[TrialRecord]:
        """The best `n` of the trials that ran their full length, the best first."""
        return self.history.ranked(n, full=True)

    @property
    def last_kept(self) -> TrialRecord | None:
        """The worst of the trials whose models are kept; None where there is room for more."""
        if not self.pool:
            return self.best
        kept = self.ranked(self.pool)
        return kept[-1] if len(kept) == self.pool else None

    @classmethod
    def open(cls, path: str | Path) -> StudyView:
        """The study at `path` for reading, also while a search runs there."""
        return StudyView(Path(path))

    # -- ask ---------------------------------------------------------------------------------------------------------

    @overload
    def ask(self) -> Assignment | None: ...
    @overload
    def ask(self, n: int) -> list[Assignment]: ...
    def ask(self, n: int | None = None) -> Assignment | list[Assignment] | None:
        """The next trial to run, or None when budget or grid are used up; with `n`, a list of up to `n`."""
        asked = self._ask(1 if n is None else n)
        return asked if n is not None else next(iter(asked), None)

    def _ask(self, n: int) -> list[Assignment]:
        for number, reason in self.stopper.drop(self.history).items():
            self._end(number, State.STOPPED, reason=reason)
        asked = self.again(n)
        if not self.out_of_budget:
            for number in self.stopper.promote(self.history)[: n - len(asked)]:
                asked.append(self._again(number))
            room = self.stopper.room(self.history)
            missing = n - len(asked) if room is None else min(room, n - len(asked))
            if self.plan.trials is not None:
                missing = min(missing, self.plan.trials - self.started)
            asked += self._new(missing)
        self.ledger.commit()  # before a worker can leave a checkpoint of what was handed out
        return asked

    def again(self, n: int | None = None) -> list[Assignment]:
        """Up to `n` (None: all) of the trials that wait for another attempt, because their worker or driver died."""
        asked: list[Assignment] = []
        while self._interrupted and (n is None or len(asked) < n):
            number = self._interrupted.popleft()
            if self._no_steps_left:
                self._end(number, State.STOPPED, reason=OUT_OF_BUDGET.reason)
            else:
                asked.append(self._again(number))
        self.ledger.commit()
        return asked

    def _new(self, n: int) -> list[Assignment]:
        """Up to `n` new trials: configs given beforehand, then the strategy's."""
        new: list[Assignment] = []
        while len(new) < n and self.started < len(self._first):
            new.append(self._begin(*self._first[self.started]))
        missing = n - len(new)
        if missing > 0 and not self._exhausted:
            suggested = self.strategy.suggest(self.history, missing)
            self._exhausted = len(suggested) < missing
            new += [self._begin("", config, None if k else missing) for k, config in enumerate(suggested)]
        return new

    def _begin(self, origin: str, config: Config, asked: int | None = None) -> Assignment:
        at_s = self.elapsed_s
        self.ledger.begin(self.history.next_number, config, origin, at_s, asked)
        record = self.history.begin(config, origin=origin, at_s=at_s)
        return self._assignment(record)

    def _again(self, number: int) -> Assignment:
        return self._assignment(self.history.again(number, self.history.trials[number].attempt + 1))

    def _assignment(self, record: TrialRecord) -> Assignment:
        self.ledger.attempt(record.number, record.attempt, "", self.elapsed_s)
        alone = self._losses.get(record.number, 0) > 0
        return Assignment(record.number, record.config, record.attempt, self.seed_of(record), record.step, alone)

    # -- report ------------------------------------------------------------------------------------------------------

    def report(
        self,
        trial: int | Assignment,
        step: int,
        metrics: Mapping[str, object],
        *,
        attempt: int | None = None,
        horizon: int | None = None,
    ) -> Verdict:
        """A trial reached `step` with these metrics; the answer says whether it goes on.

        Steps begin at 1 (0: before any training; kept, but never judged). A step that is known already (a trial that
        goes on after a crash repeats some) changes nothing. Late reports of an earlier attempt, or of a trial that has
        ended, are dropped and answered with STOP, and so is what comes when the budget of steps is used up. A value
        that is not finite ends the trial as failed.

        Raises:
            SpecError: the metric is missing although no trial has ever reported it: it must be misnamed.
        """
        point = Measured(_number(trial), attempt or 0, step, metrics, horizon)
        return self.report_all([point])[point.trial]

    def report_all(self, points: Sequence[Measured]) -> dict[int, Verdict]:
        """`report` for trials that train side by side: all points are known before the first trial is judged.

        So lanes that arrive at a rung together are judged against each other, not each against those before it.
        """
        verdicts: dict[int, Verdict] = {}
        arrived: list[tuple[int, int, int | None]] = []
        for point in points:
            found = self._enter(point)
            if isinstance(found, Verdict):
                verdicts[point.trial] = found
            else:
                arrived.append((point.trial, point.step, found or self.plan.horizon))
        for number, step, horizon in arrived:
            verdicts[number] = self._judge(number, step, horizon)
        self.ledger.beat()
        return verdicts

    def _enter(self, point: Measured) -> Verdict | int | None:
        """Keep a point. A verdict where none is to be asked for, else the trial's horizon."""
        step, metrics = point.step, point.metrics
        record = self.history.trials[point.trial]
        if record.state is not State.RUNNING or point.attempt not in (0, record.attempt):
            return Verdict(Kind.STOP, "already ended")
        if record.curve and step <= record.step:
            return CONTINUE
        if self._no_steps_left and step > 0:
            self._end(record.number, State.STOPPED, reason=OUT_OF_BUDGET.reason)
            return OUT_OF_BUDGET
        values, failure = self._checked(metrics, step)
        if failure:
            self._end(record.number, State.FAILED, failure=failure)
            return Verdict(Kind.STOP, failure.message)
        value = values[self.metric.name]
        horizon = point.horizon or self.plan.horizon
        self.ledger.report(record.number, step, record.attempt, value, values, self.elapsed_s, horizon)
        self.history.point(record.number, step, self.metric.loss(value))
        return horizon

    def _judge(self, number: int, step: int, horizon: int | None) -> Verdict:
        if step < 1 or (horizon is not None and step >= horizon):
            return CONTINUE
        verdict = self.stopper.verdict(self.history, number)
        if verdict.kind is Kind.CONTINUE and self.spent:
            verdict = OUT_OF_BUDGET
        if verdict.kind is Kind.STOP:
            self._end(number, State.STOPPED, reason=verdict.reason)
        elif verdict.kind is Kind.PAUSE:
            self.ledger.pause(number, step, verdict.reason, self.elapsed_s)
            self.history.pause(number, verdict.reason)
        return verdict

    def _checked(self, metrics: Mapping[str, object], step: int) -> tuple[dict[str, float], Failure | None]:
        name = self.metric.name
        if name not in metrics:
            told = f"the task reported {', '.join(map(repr, metrics)) or 'nothing'}; the study ranks on {name!r}"
            told += did_you_mean(name, metrics)
            if not any(t.curve for t in self.history.trials):
                raise SpecError(told)
            return {}, Failure("metric", told, step)
        values: dict[str, float] = {}
        for key, value in metrics.items():
            number = as_number(value)
            if number is not None:
                values[str(key)] = number
        if name not in values:
            value = metrics[name]
            got = value.name if isinstance(value, Odd) else type(value).__name__
            return {}, Failure("metric", f"{name} must be a number, got {got}", step)
        if not math.isfinite(values[name]):
            return {}, Failure("nan", f"{name} is {values[name]} at step {step}", step)
        return {key: value for key, value in values.items() if math.isfinite(value)}, None

    # -- ends --------------------------------------------------------------------------------------------------------

    def tell(self, trial: int | Assignment, step: int | None = None, **metrics: object) -> TrialRecord:
        """A trial is done, with these last metrics (for programs that run trials themselves, after `ask`)."""
        record = self.history.trials[_number(trial)]
        at = (record.step + 1) if step is None else step
        self.report(record.number, at, metrics, horizon=at)
        return self.finish(record.number)

    def finish(self, trial: int | Assignment) -> TrialRecord:
        """A trial ran its full length. Without any report it has failed."""
        record = self.history.trials[_number(trial)]
        if record.state.ended:
            return record
        if record.loss is None:
            return self.fail(record.number, Failure("metric", f"ended without reporting {self.metric.name}"))
        full = self.plan.horizon
        early = f"finished early, at step {record.step} of {full}" if full and record.step < full else ""
        return self._end(record.number, State.DONE, reason=early)

    def fail(self, trial: int | Assignment, failure: Failure | Exception) -> TrialRecord:
        """A trial failed, for good."""
        record = self.history.trials[_number(trial)]
        if record.state.ended:
            return record
        if not isinstance(failure, Failure):
            failure = Failure("exception", f"{type(failure).__name__}: {failure}", record.step)
        return self._end(record.number, State.FAILED, failure=failure)

    def may_retry(self, trial: int) -> bool:
        """Whether the trial would get another attempt if it were lost now."""
        return self._losses.get(trial, 0) < self.retries

    def withdraw(self, trial: int) -> None:
        """The trial will not be trained (any further): the budget is used up."""
        if not self.history.trials[trial].state.ended:
            self._end(trial, State.STOPPED, reason=OUT_OF_BUDGET.reason)

    def runs(self, trial: int, attempt: int | None = None) -> bool:
        """Whether that attempt (None: any) is the one that counts: not over, not paused, no later one handed out."""
        record = self.history.trials[trial]
        return record.state is State.RUNNING and attempt in (None, record.attempt)

    def interrupted(self, trial: int, attempt: int | None = None) -> None:
        """The attempt ended through no fault of the trial or its worker; another one does not count as a retry."""
        if self.runs(trial, attempt):
            self._interrupted.append(trial)

    def lost(
        self, trial: int, reason: str, kind: str = "killed", traceback: str = "", attempt: int | None = None
    ) -> TrialRecord | None:
        """The attempt ended by no fault of the trial. It is tried again, `retries` times; then it has failed.

        `kind` and `traceback` are those of its Failure, should this have been its last attempt. A trial that was
        paused, or is in a later attempt already, has lost nothing.
        """
        record = self.history.trials[trial]
        if not self.runs(trial, attempt):
            return record
        may_retry = self.may_retry(trial)
        self._losses[trial] = self._losses.get(trial, 0) + 1
        if not may_retry:
            times = f" (attempt {record.attempt})" if record.attempt > 1 else ""
            return self.fail(trial, Failure(kind, f"{reason}{times}", record.step, traceback))
        self._interrupted.append(trial)
        return None

    def add(self, config: Config, **metrics: object) -> TrialRecord:
        """Record a result known from elsewhere; it informs the strategy and does not count against the budget."""
        asked = self._begin("added", self.space.canonical(config))
        self._added += 1
        return self.tell(asked, None, **metrics)

    def _end(self, number: int, state: State, *, reason: str = "", failure: Failure | None = None) -> TrialRecord:
        at_s = self.elapsed_s
        self.ledger.end(number, state, reason, failure, at_s)
        record = self.history.end(number, state, reason=reason, failure=failure, at_s=at_s)
        self.on_end(record)
        return record

    def close(self) -> None:
        """Paused trials end as stopped when none of them can go on any more; the ledger is flushed and given back."""
        if self._at_an_end:
            for record in self.history.paused:
                self._end(record.number, State.STOPPED, reason=record.reason)
        self.ledger.close()

    # -- what is known -----------------------------------------------------------------------------------------------

    @property
    def started(self) -> int:
        """Trials begun by this study (results added from elsewhere do not count)."""
        return len(self.history) - self._added

    @property
    def elapsed_s(self) -> float:
        """Seconds this study has been driven, over all its sessions."""
        return self._elapsed_s + self.clock() - self._opened

    @property
    def _no_steps_left(self) -> bool:
        return self.plan.steps is not None and self.history.steps_spent >= self.plan.steps

    @property
    def spent(self) -> bool:
        """Whether the budget of steps or time is used up."""
        return self._no_steps_left or (self.plan.time_s is not None and self.elapsed_s >= self.plan.time_s)

    @property
    def _at_an_end(self) -> bool:
        """Whether nothing runs, and nothing will."""
        if not self.history.paused or self.history.running or self.ledger.broken:
            return False
        all_begun = self._exhausted or (self.plan.trials is not None and self.started >= self.plan.trials)
        return self.spent or (all_begun and not self.stopper.promote(self.history))

    @property
    def out_of_budget(self) -> bool:
        """Whether no new trial may begin."""
        return self.spent or (
            self.plan.trials is not None and self.started >= self.plan.trials and not self.history.paused
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _difference(fact: str, before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """What is not the same in the fact `fact`, line by line; empty when it is, or was not known before."""
    if fact not in before or before[fact] == now[fact]:
        return ""
    a, b = (json.dumps(facts[fact], indent=1, sort_keys=True).splitlines() for facts in (before, now))
    lines = [line for line in difflib.unified_diff(a, b, n=0, lineterm="") if line[:2] not in ("--", "++", "@@")]
    return "\n".join(f"  {line}" for line in lines)


def _number(trial: int | Assignment) -> int:
    return trial if isinstance(trial, int) else trial.number


def _told(described: Described) -> Any:
    """How a plugin is written down: its name and options, never the object."""
    if isinstance(described, str):
        return {"name": described}
    return dict(described) if isinstance(described, Mapping) else {"name": type(described).__name__.lower()}
