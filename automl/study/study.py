"""The study: the state of one search, and the only way to change it. It starts no process.

    ask     -> trials to run: interrupted ones first, then those that the stopper continues, then new ones
    report  -> a point of a trial's curve; the answer is the stopper's verdict
    finish, fail, tell -> a trial's end

Every change goes to the ledger and to the history; strategies and stoppers see the history alone.
"""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Self, overload

from automl.core import plugins, seeds
from automl.core.history import History
from automl.core.messages import Assignment, Measured, Step, with_step
from automl.core.objectives.goals import MetricSpec, Objectives, example_of
from automl.core.plugins import Described
from automl.core.space import Config, Space
from automl.core.stopper import CONTINUE, Kind, Stopper, Verdict
from automl.core.strategy import Strategy
from automl.core.trial import State, TrialRecord
from automl.errors import SpecError
from automl.study.budget import Budget
from automl.study.endgame import Endgame
from automl.study.facts import KEPT, changes, check_members, compare_at_equal_steps, described
from automl.study.ledger.ledger import Ledger
from automl.study.live.editing import Edited
from automl.study.live.warm import Given
from automl.study.reader import StudyView
from automl.study.trials import Retries, checked, plan_of


class Study(Edited):
    """One search: a new one, or one that continues where it was, if there is a study at `path`.

    Args:
        space: a Space, or what `Space.of` takes.
        metric: its name (the direction of usual names is known), `{"name": ..., "direction": ...}` or a Metric; a list
            of these and of limits `{"name": ..., "at_most": 5}`; or Objectives.
        strategy, stopper: a plugin's name, `{"name": ..., option: value}`, or the object.
        trials, steps, time_s: the budget; the search ends when the first of them is used up. None: no such limit.
        horizon, unit: steps of a full trial, where known, and what one is called: "epoch" or "step".
        workers: how many trials run at once, as far as strategies and stoppers need to know.
        seed: from which all random numbers are derived.
        value: which report counts as the value of a trial: "last" or "best".
        path, name: the study's folder (None keeps all in memory), and what screens show (None: the folder's name).
        first: configs to try before the strategy is asked (but after the defaults).
        warm: folders of earlier studies, or `{"study": folder, "seeds": 3}`: tried next are their best configs.
        retries: how often a trial is tried again after its worker died.
        deterministic: the driver processes reports in an order that does not depend on timing.
        accept_changes: continue at `path` although space, metric or seed have changed, if all known trials fit.
        defaults: whether the default config of the space is tried first of all.
        keep, pool: the best trial's saved model stays on disk, or all do; and those of so many for an ensemble.
        seed_of: the training seed of a trial; None: it is derived from the study's seed and the trial's number.
        facts: more about the study, as plain values, to be stored in the ledger.
        clock: seconds, for everything that the study and its driver time; a simulation has a clock of its own.

    Raises:
        SpecError: an option is wrong, or the study at `path` was begun with another space, metric or seed.
        LedgerError: the ledger is locked, damaged or newer than this program.

    Example:
        study = automl.Study({"x": automl.Float(0, 1)}, metric="loss", trials=20, strategy="tpe")
        while (trial := study.ask()) is not None:
            study.tell(trial, loss=(trial["x"] - 0.3) ** 2)
        print(study.best, study.leaderboard())
    """

    def __init__(
        self,
        space: Space | Mapping[str, Any],
        *,
        metric: MetricSpec,
        strategy: Described = "auto",
        stopper: Described = "none",
        trials: int | None = None,
        steps: int | None = None,
        time_s: float | None = None,
        horizon: int | None = None,
        workers: int = 1,
        unit: str = "epoch",
        seed: int = 0,
        value: str = "last",
        path: str | Path | None = None,
        name: str | None = None,
        first: list[Config] | None = None,
        warm: Given | Sequence[Given] = (),
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
        plan = plan_of(trials, steps, time_s, horizon, workers, seed, unit)
        seed = int(seed or 0)
        self.strategy: Strategy = plugins.make("strategies", strategy)
        self.stopper: Stopper = plugins.make("stoppers", stopper)
        self.path = Path(path) if path is not None else None
        self.name = name or (self.path.name if self.path else "study")
        self.retries, self.deterministic, self.keep, self.pool = retries, deterministic, keep, pool
        self.seed_of = seed_of or (lambda record: seeds.derive(seed, record.number, "trial"))
        self.clock, self._lock = clock, threading.RLock()
        self.notes = []
        self.on_end: Callable[[TrialRecord], None] = lambda record: None
        self.history = History(Space.of(space), seed=seed, metric=Objectives.of(metric, value), plan=plan)
        self.facts = {**described(self, strategy, stopper, deterministic=deterministic), **(facts or {})}
        self.ledger = Ledger.open(self.path) if self.path else Ledger.in_memory()
        try:
            self._load(accept_changes)
            self._given = self._given_configs(first or [], defaults)
            self._warm_up(warm)
        except BaseException:
            self.ledger.close()
            raise

    def _load(self, accept_changes: bool) -> None:
        """Read what the ledger has of earlier sessions, and write down what this one is."""
        before = self.ledger.facts()
        changed = changes(self.path, before, self.facts, accept=accept_changes)
        compare_at_equal_steps(self, before)
        self.ledger.replay(self.history)
        if changed:
            check_members(self.path, self.history)
            self.notes.append(f"going on with what was changed:\n{changed}")
        self.ledger.describe(**self.facts)
        self.facts |= {name: before[name] for name in KEPT if name in before}
        self._retries = Retries(self.retries, self.ledger.losses(), [t.number for t in self.history.running])
        self.budget = Budget(self.history, self.clock, self.ledger.elapsed_s())
        self.endgame = Endgame(self.history, self.budget)
        self._exhausted = False  # whether the strategy has nothing more to suggest
        self._go_on()

    def _given_configs(self, first: list[Config], defaults: bool) -> list[tuple[str, Config]]:
        """(origin, config) of what is tried before the strategy is asked."""
        default = self.space.default() if defaults else None
        given = [("default", default)] if default else []
        return given + [("user", self.space.canonical(config)) for config in first]

    @classmethod
    def open(cls, path: str | Path) -> StudyView:
        """The study at `path` for reading, also while a search runs there.

        Raises:
            LedgerError: there is no study at `path`, or its ledger is damaged.

        Example:
            print(automl.Study.open("studies/digits").leaderboard())
        """
        return StudyView(Path(path))

    # -- ask ---------------------------------------------------------------------------------------------------------

    @overload
    def ask(self) -> Assignment | None: ...
    @overload
    def ask(self, n: int) -> list[Assignment]: ...
    def ask(self, n: int | None = None) -> Assignment | list[Assignment] | None:
        """The next trial to run, or None when the budget or the strategy's configs are used up.

        With `n`: a list of up to `n` trials.
        """
        with self._lock:
            assignments = self._ask(1 if n is None else n)
        return assignments if n is not None else next(iter(assignments), None)

    def _ask(self, n: int) -> list[Assignment]:
        if self.paused:
            return []
        for number, reason in self._dropped().items():
            self._end(number, State.STOPPED, reason=reason)
        assignments = self.again(n)
        leader = self.endgame.leader()
        if not self.out_of_budget and leader is not None:
            if leader.number in self._free([leader.number]) and n > len(assignments):
                assignments.append(self._try_again(leader.number))
        elif not self.out_of_budget:
            n = int(min(n, len(assignments) + self.endgame.room()))
            assignments += map(self._try_again, self._free(self._promoted())[: n - len(assignments)])
            room = self.stopper.room(self.history)
            trials = None if self.plan.trials is None else self.plan.trials - self.started
            missing = min(most for most in (n - len(assignments), room, trials) if most is not None)
            if new := self._new(missing):  # perhaps heirs, for which those that are paused have waited
                assignments += new
                assignments += map(self._try_again, self._free(self._promoted())[: n - len(assignments)])
        self.ledger.commit()  # before a worker can leave a checkpoint of what was handed out
        return assignments

    def again(self, n: int | None = None) -> list[Assignment]:
        """Up to `n` (None: all) of the trials that wait for another attempt because their worker or driver died."""
        assignments: list[Assignment] = []
        with self._lock:
            while self._retries.waiting and (n is None or len(assignments) < n):
                number = self._retries.waiting.popleft()
                if self.budget.no_steps_left:
                    self.withdraw(number)
                else:
                    assignments.append(self._try_again(number))
            self.ledger.commit()
        return assignments

    # -- report ------------------------------------------------------------------------------------------------------

    def report(
        self,
        trial: int | Assignment,
        step: Step,
        metrics: Mapping[str, object] | None = None,
        *,
        attempt: int | None = None,
        horizon: int | None = None,
        **values: object,
    ) -> Verdict:
        """A trial has reached `step` with these metrics: `report(trial, 3, loss=0.2)`, or a dict of them.

        Args:
            trial: the trial, or its number.
            step: 1, 2, ...; 0 is for a value before any training, which is kept but never judged. A step that is
                known already changes nothing: a trial that continues after a crash repeats some.
            metrics, values: {name: number}; the study's metric must be among them and finite, or the trial has failed.
                In the place of the step they may hold it.
            attempt: of the trial; reports of an earlier one are dropped. None: the current one.
            horizon: the trial's last step, where known.

        Returns:
            whether the trial goes on; STOP also for a trial that has ended, and when the budget of steps is used up.

        Raises:
            SpecError: there is no such trial; `step` is no whole number; or the metric is missing, and no trial has
                ever reported it: its name must be wrong.
        """
        record = self.record_of(trial)
        at, named = with_step(record.step, step, {**(metrics or {}), **values})
        point = Measured(record.number, attempt or 0, at, named, horizon)
        return self.report_all([point])[point.trial]

    def report_all(self, points: Sequence[Measured]) -> dict[int, Verdict]:
        """`report` for trials that train side by side; all points are stored before the first trial is judged.

        So trials that reach a rung together are compared with each other, not only with those before them.
        """
        verdicts: dict[int, Verdict] = {}
        to_judge: list[Measured] = []
        with self._lock:
            for point in points:
                verdict = self._store(point)
                verdicts[point.trial] = verdict or CONTINUE
                if verdict is None:
                    to_judge.append(point)
            for point in to_judge:
                horizon = point.horizon or self.plan.horizon
                if point.step >= 1 and (horizon is None or point.step < horizon):
                    verdict = self._decided(point, [one.trial for one in to_judge])
                    verdicts[point.trial] = self._obeyed(point, verdict)
            self.ledger.beat()
        return verdicts

    def _obeyed(self, point: Measured, verdict: Verdict) -> Verdict:
        """Do what was decided; returns what the trial has to do."""
        if verdict.kind is Kind.STOP:
            self._end(point.trial, State.STOPPED, reason=verdict.reason)
        elif verdict.kind is Kind.PAUSE:
            self.ledger.pause(point.trial, point.step, verdict.reason, self.elapsed_s)
            self.history.pause(point.trial, verdict.reason)
        return verdict

    # -- ends --------------------------------------------------------------------------------------------------------

    def tell(self, trial: int | Assignment, step: Step | None = None, **metrics: object) -> TrialRecord:
        """A trial is done with these metrics: for programs that run the trials themselves, after `ask`.

        Args:
            trial: the trial, or its number.
            step: its last step; None: one more than it has reported. A mapping here is taken as `metrics`.
            metrics: name=number; the study's metric must be among them, unless the trial has reported it before.

        Returns:
            the trial as it ended; one that was stopped by an earlier report stays so.

        Raises:
            SpecError: there is no such trial, it has ended before, the metric is missing or no number, or `step` is
                no whole number. Nothing was stored then.

        Example:
            study.tell(trial, val_loss=0.31)
        """
        with self._lock:
            record = self.record_of(trial)
            if record.state in (State.DONE, State.FAILED):
                raise SpecError(f"trial {record.number} has ended already ({record.state}): tell each trial once")
            example = f"write tell(trial, {example_of(self.history.objectives)})"
            try:
                at, metrics = with_step(record.step, record.step + 1 if step is None else step, metrics)
            except SpecError as error:
                raise SpecError(f"{error}; metrics are given by name: {example}") from None
            if record.state is State.STOPPED or (not metrics and record.loss is not None):
                return self.finish(record.number)
            _, failure = checked(self.history.objectives, metrics, at)
            if failure and failure.kind == "metric":
                raise SpecError(f"{failure.message}; {example}")
            self.report(record.number, at, metrics, horizon=at)
            return self.finish(record.number)

    def add(self, config: Config, **metrics: object) -> TrialRecord:
        """Add a result from elsewhere: the strategy learns from it, and it does not count against the budget.

        Raises:
            SpecError: `config` is not a point of the space.

        Example:
            study.add({"lr": 0.01, "width": 64}, val_loss=0.31)
        """
        with self._lock:
            _, failure = checked(self.history.objectives, metrics, 1)
            if failure and failure.kind == "metric":
                raise SpecError(f"{failure.message}; write add(config, {example_of(self.history.objectives)})")
            assignment = self._begin("added", self.space.canonical(config))
            self.budget.added += 1
            return self.tell(assignment, None, **metrics)

    def close(self) -> None:
        """Close the ledger and give the lock back; trials that stay paused end as stopped if none can continue."""
        with self._lock:
            self.settle()
            self.ledger.close()

    def settle(self) -> None:
        """Trials that stay paused end as stopped, if none can continue."""
        with self._lock:
            for record in self.history.paused if self._nothing_follows() else ():
                self._end(record.number, State.STOPPED, reason=record.reason)

    def _nothing_follows(self) -> bool:
        """Whether trials are paused, and no trial runs or will run."""
        if not self.history.paused or self.history.running or self.ledger.broken:
            return False
        all_begun = self._exhausted or self.budget.no_trials_left
        return self.spent or (all_begun and not self._promoted())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
