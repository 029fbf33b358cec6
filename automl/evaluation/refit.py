"""The winner's config trained once more, on the training and the validation rows."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from automl.core import seeds
from automl.core.trial import TrialRecord
from automl.driver.driver import Driver
from automl.driver.executor import Executor
from automl.driver.screen import Screen
from automl.evaluation.candidates import FinalistOptions, saved_model
from automl.evaluation.progress import FinalistScreen
from automl.evaluation.schedules import Parts, Repeat, beginnings, key
from automl.study import paths
from automl.study.study import Study
from automl.tasks.builtin import BuiltinTask


def refit(
    study: Study,
    task: BuiltinTask,
    record: TrialRecord,
    options: FinalistOptions,
    executor: Callable[[], Executor],
    screen: Screen,
) -> Path | None:
    """Train the config of `record` on all rows but the test rows, in a study of its own below the search's.

    Args:
        study: the search.
        task: what it trains.
        record: the trial whose config won.
        options: of the finalists.
        executor: makes the executor that trains it.
        screen: of the search.

    Returns:
        The saved model; None where the training failed.
    """
    assert study.path is not None
    schedule = options.schedule(study.history, record)
    repeat = Repeat((schedule,), 1)
    with Study(
        options.space(study),
        metric=study.metric,
        strategy=repeat,
        stopper=Parts(repeat) if repeat.in_parts else "none",
        horizon=study.plan.horizon,
        unit=study.plan.unit,
        seed=seeds.derive(study.history.seed, "refit"),
        path=paths.refit(study.path, record.number),
        defaults=False,
        keep="all",
    ) as runs:
        if not runs.history.done:
            screen.note("refit: the winner's config is trained on training and validation rows")
            numbers = {key(part): record.number for part in beginnings(schedule)}
            shown = FinalistScreen(screen, study, numbers)
            Driver(runs, on_all_rows(task, record), executor(), 1, shown).run()
        model = next((m for t in runs.history.done if (m := saved_model(runs, t)) is not None), None)
    if model is None:
        screen.note("refit: it failed; best/ gets the model that was trained without the validation rows")
    return model


def on_all_rows(task: BuiltinTask, record: TrialRecord) -> BuiltinTask:
    """The task with the validation rows among its training rows.

    No rows are left to choose an epoch by, so it ends with the epoch whose value counted in the search.
    """
    best = None
    if task.metric.count == "best":
        best, _ = min(record.curve, key=lambda point: (point[1], point[0]))
    metric = replace(task.metric, count="last")
    return replace(task, keep="all", refit=True, metric=metric, patience=0, until=best)
