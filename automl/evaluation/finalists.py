"""After the search: the best trials again on fresh seeds, a winner by their mean, and one evaluation on the test rows.

The best value of a search is too good: it is the luckiest of many. So the best `top` configs are trained again with
`seeds` new seeds, the same ones for all (a study of its own in `studies/NAME/finalists`, so it survives kills like any
other). The winner is the config with the best mean. Only then is the winner's model evaluated on the test rows, once;
the ledger says so before it happens, and a resumed study does not evaluate it again.

With a target fidelity the search has trained small models, and here the same configs are trained at full size.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from automl.core import seeds
from automl.core.trial import TrialRecord
from automl.driver.driver import Driver
from automl.driver.executor import Executor
from automl.driver.screen import NullScreen, Screen
from automl.errors import SearchFailed
from automl.evaluation import ensemble_selection, verdict
from automl.evaluation.candidates import (
    Finalist,
    FinalistOptions,
    candidates,
    ranked,
    saved_model,
    seeds_done,
)
from automl.evaluation.holdout import Holdout, bare
from automl.evaluation.progress import FinalistScreen
from automl.evaluation.refit import refit
from automl.evaluation.schedules import Parts, Repeat, beginnings, key
from automl.study import paths, winner
from automl.study.study import Study
from automl.tasks.builtin import BuiltinTask
from automl.worker.worker import Task


def run(
    study: Study,
    task: Task,
    executor: Callable[[], Executor],
    workers: int,
    options: FinalistOptions,
    screen: Screen | None = None,
) -> None:
    """Train the finalists, choose the winner, evaluate it on the test rows, and put it into `best/`.

    The result is kept as the study's `verdict`. A study without a full-length trial, or whose finalists all fail, gets
    none; then the search's best trial stays the winner.

    Args:
        study: the search, which has ended.
        task: what it trained.
        executor: makes an executor.
        workers: how many; 0: as many as the executor finds right.
        options: how many finalists and seeds, refit, ensemble, target fidelity.
        screen: where progress is shown.

    Raises:
        Interrupted: by a signal; the next session goes on here.
    """
    if trials := candidates(study.history, options.top):
        _Finals(study, task, executor, workers, options, screen or NullScreen()).run(trials)


@dataclass(frozen=True)
class _Finals:
    """The arguments of `run`, and its steps."""

    study: Study
    task: Task
    executor: Callable[[], Executor]
    workers: int
    options: FinalistOptions
    screen: Screen

    @property
    def builtin(self) -> BuiltinTask | None:
        """The task, if it trains and saves models itself; functions and commands do not."""
        return self.task if isinstance(self.task, BuiltinTask) else None

    def run(self, trials: Sequence[TrialRecord]) -> None:
        """`trials`: the finalists, the search's best one first."""
        study, options, screen = self.study, self.options, self.screen
        with _study_of_runs(study, trials, options) as runs:
            try:
                self._train(runs, trials)
            except SearchFailed as error:
                screen.note(f"finalists: {error}; the winner is the search's best trial")
                return
            if (seeds_trained := seeds_done(runs.history, trials, study.history, options)) < options.seeds:
                screen.note(_what_time_allowed(seeds_trained, options.seeds))
                options = replace(options, seeds=seeds_trained)
            if not options.seeds:
                return
            finalists = ranked(runs.history, trials, study.history, options)
            if not any(f.complete for f in finalists):
                screen.note("finalists: every one failed on a fresh seed; the winner is the search's best trial")
                return
            best = finalists[0]
            model = best.best_model(runs)
            if options.refit and self.builtin is not None and model is not None:
                model = refit(study, self.builtin, best.trial, options, self.executor, screen) or model
            if not verdict.judged_before(study, finalists, options):
                self._judge(runs, finalists, model)
            assert study.verdict is not None
            winner.promote(study, best.trial, model, study.verdict)

    def _train(self, runs: Study, trials: Sequence[TrialRecord]) -> None:
        """Do the runs that are not there yet; every model is kept.

        Raises:
            SearchFailed: the first runs all fail.
        """
        schedules = [self.options.schedule(self.study.history, t) for t in trials]
        missing = Repeat(tuple(schedules), self.options.seeds).left(runs.history)
        if missing and self._time_for(runs):
            task = self.task if self.builtin is None else for_finalists(self.builtin)
            numbers = {key(part): t.number for t, s in zip(trials, schedules, strict=True) for part in beginnings(s)}
            shown = FinalistScreen(self.screen, self.study, numbers, missing, self.options)
            executor = self.executor()
            workers = self.workers or executor.usual()
            Driver(runs, task, executor, min(workers, missing), shown).run()

    def _time_for(self, runs: Study) -> bool:
        """Give the finalists what is left of the search's time budget; returns whether that is anything."""
        left_s = self.study.budget.left_s(finalists=True)
        if left_s <= 0:
            return False
        if self.study.plan.time_s is not None:
            runs.history.plan = replace(runs.plan, time_s=runs.elapsed_s + left_s)
        return True

    def _judge(self, runs: Study, finalists: Sequence[Finalist], model: Path | None) -> None:
        """Write the verdict down. `model`: the one that is going to be `best/`; None where the task saves none."""
        study = self.study
        holdout = holdout_of(self.builtin) if self.builtin is not None and model is not None else None
        result = verdict.verdict_on(study, runs, finalists, holdout, self.options)
        if holdout is not None and model is not None:
            assert study.path is not None
            if holdout.test_rows:
                name = str(model.relative_to(study.path))
                result["looks"] = verdict.record_test_evaluation(study, name, self.screen)
                result["test"] = verdict.score_on_test(holdout, model, finalists[0].best_model(runs) or model)
            if self.options.ensemble and holdout.kind != "next_token":
                bundles, size = _bundles(study, runs, finalists), self.options.ensemble
                result["ensemble"] = ensemble_selection.make(study.path / paths.ENSEMBLE, bundles, holdout, size, model)
        verdict.record(study, result)


def _what_time_allowed(done: int, wanted: int) -> str:
    """What is said where the time budget ended before all runs of the finalists."""
    if not done:
        return "finalists: no time was left for them; the winner is the search's best trial"
    return f"finalists: the time was enough for {done} of {wanted} fresh seeds"


def for_finalists(task: BuiltinTask) -> BuiltinTask:
    """The task of the finalists: every model is kept, and what counts is measured on all validation rows.

    The last report always is; where the best one counts, every report is.
    """
    return replace(task, keep="all", val_rows=task.val_rows if task.metric.count == "last" else 0)


def holdout_of(task: BuiltinTask) -> Holdout:
    """The validation and test rows of a task, for its metric. Loads the data (and torch)."""
    return Holdout(task.load(), task.builder(), bare(task.metric.name), task.load)


def _study_of_runs(study: Study, trials: Sequence[TrialRecord], options: FinalistOptions) -> Study:
    """The finalists' study. The k-th run of a config gets the k-th fresh seed, the same one for all configs."""

    def seed_of(record: TrialRecord) -> int:
        return seeds.derive(study.history.seed, repeat.seed(runs.history, record), "finalist")

    repeat = Repeat(tuple(options.schedule(study.history, t) for t in trials), options.seeds)
    runs = Study(
        options.space(study),
        metric=study.history.objectives,
        strategy=repeat,
        stopper=Parts(repeat) if repeat.in_parts else "none",
        horizon=study.plan.horizon,
        unit=study.plan.unit,
        seed=study.history.seed,
        path=study.path / paths.FINALISTS if study.path else None,
        name=f"{study.name} finalists",
        retries=study.retries,
        defaults=False,
        seed_of=seed_of,
        accept_changes=True,
        keep="all",
    )
    return runs


def _bundles(study: Study, runs: Study, finalists: Sequence[Finalist]) -> dict[str, Path]:
    """What an ensemble is chosen from: models of the search's best trials, and of the finalists on fresh seeds."""
    bundles = {f"t{number:04d}": path for number, path in winner.pool(study).items()}
    for finalist in finalists:
        for k, record in enumerate(finalist.runs, 1):
            if (path := saved_model(runs, record)) is not None:
                bundles[f"t{finalist.trial.number:04d}-seed{k}"] = path
    return bundles
