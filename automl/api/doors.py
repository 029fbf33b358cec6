"""`automl.search` and `automl.resume`: the one path of the command line and of Python. What they do is in `running`.

Hardly anything is imported up here: `warm` has another process import torch, and that takes longest.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from automl.executors import warm

if TYPE_CHECKING:
    from automl.core.space import Config, Space
    from automl.core.trial import Metric
    from automl.driver.screen import Screen
    from automl.study.study import Described, Study
    from automl.worker.trial import Trial


def search(
    task: "str | Path | Callable[[Trial], object]",
    *,
    space: "Space | Mapping[str, Any] | None" = None,
    metric: "str | Mapping[str, str] | Metric | None" = None,
    trials: int | None = None,
    time_s: float | None = None,
    epochs: int | None = None,
    horizon: int | None = None,
    strategy: "Described | None" = None,
    stopper: "Described | None" = None,
    seed: int | None = None,
    value: str | None = None,
    first: "list[Config] | None" = None,
    workers: int | None = None,
    executor: "Described | None" = None,
    dir: str | Path = "studies",
    name: str | None = None,
    path: str | Path | None = None,
    screen: "Screen | None" = None,
    overrides: Mapping[str, Any] | None = None,
    deterministic: bool = False,
    retries: int = 1,
    trial_timeout_s: float | None = None,
    isolation: str = "warm",
    finalists: Mapping[str, int] | bool | None = True,
    fidelity: Mapping[str, tuple[float, float]] | None = None,
    loggers: "Sequence[Described]" = (),
) -> "Study":
    """Search for the best config and return the finished study.

    Args:
        task: a spec file, a preset's name, or your training function `train(trial)`.
        space, metric: needed with a function; a spec has its own.
        trials, time_s, epochs: the budget (epochs: of all trials together); replaces a spec's entry.
        horizon: epochs of a full trial, where a function's `trial.steps(n)` does not say it first.
        strategy, stopper, executor: a plugin's name, `{"name": ..., option: value}`, or the object.
        workers: how many trials at once; the default is one for each GPU, or each core.
        dir, name: the study's folder is `dir/name`; one that exists gets a number behind its name.
        path: the study's folder itself; a study that is there already goes on.
        overrides: entries of the spec by dotted path, `{"space.optimizer.lr.high": 0.1}`.
        deterministic: results are observed in an order that does not depend on timing: several workers, too, give
            the same leaderboard each time, at the cost of some waiting.
        retries, trial_timeout_s, isolation: for functions; a spec has its own. Attempts after a loss of the worker;
            seconds after which a trial fails; "process": a fresh process for every trial.
        finalists: after the search the best `{"top": 5, "seeds": 3}` are trained again on fresh seeds and the winner
            is chosen by their mean; True: these numbers, or the spec's; None: the search's best trial is the winner.
        fidelity: `{"width": (128, 1024)}`, for functions: the search sees the first value, the finalists the second.
        loggers: "tensorboard", "mlflow", "wandb" or other plugins, as names, `{"name": ..., option: value}` or objects.

    Raises:
        AutoMLError: see `automl.errors`; a single trial's failure is no error.
    """
    if isinstance(task, str | Path) and executor in (None, "local"):
        warm.begin()
    from automl.api import search

    screen = search.told(screen, loggers)
    if isinstance(task, str | Path):
        given = {
            "budget.trials": trials,
            "budget.time": time_s,
            "budget.epochs": epochs,
            "strategy": strategy,
            "stopper": stopper,
            "seed": seed,
            "value": value,
            "executor": executor,
            "workers": workers,
            "finalists": None if finalists is True else dict(finalists) if finalists else "none",
        }
        given = {key: entry for key, entry in given.items() if entry is not None}
        place = path or (Path(dir), name)
        return search.run_file(task, given, overrides or {}, place, screen, deterministic=deterministic)
    return search.run_function(
        task,
        space,
        place=path or (Path(dir), name),
        executor=executor or "local",
        workers=workers,
        screen=screen,
        finalists=finalists,
        fidelity=fidelity or {},
        trial_timeout_s=trial_timeout_s,
        isolation=isolation,
        metric=metric,
        strategy=strategy or "auto",
        stopper=stopper or "none",
        trials=trials,
        time_s=time_s,
        steps=epochs,
        horizon=horizon,
        seed=seed or 0,
        value=value or "last",
        first=first,
        retries=retries,
        deterministic=deterministic,
    )


def resume(
    path: str | Path,
    *,
    trials: int | str | None = None,
    workers: int = 0,
    screen: "Screen | None" = None,
    accept_changes: bool = False,
    loggers: "Sequence[Described]" = (),
) -> "Study":
    """Continue the study in the folder `path`: interrupted, killed or finished (`trials="+40"`: with so many more).

    Where the spec's file was edited since, the new budget and workers count. Another space, objective or data is
    refused, unless `accept_changes`: then known trials are kept where they fit into the new space.

    Raises:
        SpecError: it was started from a Python function, which only the program that has it can do again; or spec or
            data were changed.
    """
    warm.begin()
    from automl.api import search

    return search.run_again(Path(path), trials, workers, search.told(screen, loggers), accept_changes)
