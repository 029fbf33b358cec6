"""The public functions `automl.search` and `automl.resume`. The command line and Python programs both call these.

Hardly anything is imported up here: `forkserver` has another process import torch, and that takes longest.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, overload

from automl.api.options import SearchOptions
from automl.executors import forkserver

if TYPE_CHECKING:
    from automl.api.background import Running
    from automl.api.prepared import Search
    from automl.core.objectives.goals import MetricSpec
    from automl.core.plugins import Described
    from automl.core.space import Config, Space
    from automl.driver.screen import Screen
    from automl.study.live.warm import Given
    from automl.study.study import Study
    from automl.worker.trial import Trial


@overload
def search(task: "str | Path | Callable[[Trial], object]", *, block: Literal[False], **options: Any) -> "Running": ...
@overload
def search(
    task: "str | Path | Callable[[Trial], object]", *,
    space: "Space | Mapping[str, Any] | None" = None, metric: "MetricSpec | None" = None,
    trials: int | None = None, time_s: float | None = None, epochs: int | None = None, horizon: int | None = None,
    strategy: "Described | None" = None, stopper: "Described | None" = None, seed: int | None = None,
    value: str | None = None, first: "list[Config] | None" = None, warm: "Given | Sequence[Given]" = (),
    workers: int | None = None,
    executor: "Described | None" = None, dir: str | Path = "studies", name: str | None = None,
    path: str | Path | None = None, screen: "Screen | None" = None, overrides: Mapping[str, Any] | None = None,
    deterministic: bool = False, retries: int = 1, trial_timeout_s: float | None = None, isolation: str = "warm",
    finalists: Mapping[str, int] | bool | None = True, fidelity: Mapping[str, tuple[float, float]] | None = None,
    loggers: "Sequence[Described]" = (),
    block: Literal[True] = True,
) -> "Study": ...  # fmt: skip
def search(  # type: ignore[misc]  # the first overload leaves the names of its options to the second
    task: "str | Path | Callable[[Trial], object]", *,
    space: "Space | Mapping[str, Any] | None" = None, metric: "MetricSpec | None" = None,
    trials: int | None = None, time_s: float | None = None, epochs: int | None = None, horizon: int | None = None,
    strategy: "Described | None" = None, stopper: "Described | None" = None, seed: int | None = None,
    value: str | None = None, first: "list[Config] | None" = None, warm: "Given | Sequence[Given]" = (),
    workers: int | None = None,
    executor: "Described | None" = None, dir: str | Path = "studies", name: str | None = None,
    path: str | Path | None = None, screen: "Screen | None" = None, overrides: Mapping[str, Any] | None = None,
    deterministic: bool = False, retries: int = 1, trial_timeout_s: float | None = None, isolation: str = "warm",
    finalists: Mapping[str, int] | bool | None = True, fidelity: Mapping[str, tuple[float, float]] | None = None,
    loggers: "Sequence[Described]" = (),
    block: bool = True,
) -> "Study | Running":  # fmt: skip
    """Search for the best config and return the finished study.

        study = automl.search(train, space={"lr": automl.Float(1e-4, 1, log=True)}, metric="val_loss", trials=50)

    Args:
        task: a spec file, the name of a ready-made space, or your training function `train(trial)`.
        space, metric: needed with a function; a spec has its own. Several metrics and limits are a list, such as
            `["val_error", "parameters", {"name": "latency_ms", "at_most": 5}]`, or `automl.Objectives.of(...)`.
        trials, time_s, epochs: the budget (seconds; epochs of all trials together); replaces a spec's entry.
        horizon: epochs of a full trial, where a function's `trial.steps(n)` does not say it first.
        strategy, stopper, executor: a plugin's name, `{"name": ..., option: value}`, or the object.
        value, first: which of a trial's reports counts, "last" or "best"; configs to be tried first of all.
        warm: folders of earlier studies, or `{"study": folder, "seeds": 3}`, whose best configs are tried next;
            `{"weights": folder}`, for described models: every trial begins with the weights of that study's winner.
        workers: how many trials at once; the default is one for each GPU, or each core.
        dir, name: the study's folder is `dir/name`; one that exists gets a number behind its name.
        path: the study's folder itself; a study that is there already goes on.
        screen: shows the search; the default is the live screen, if stderr is a terminal.
        overrides: entries of the spec by dotted path, `{"space.optimizer.lr.high": 0.1}`.
        deterministic: several workers, too, give the same leaderboard each time, at the cost of some waiting.
        retries, trial_timeout_s, isolation: for functions; a spec has its own. Attempts after a loss of the worker;
            seconds after which a trial fails; "process": a fresh process for every trial.
        finalists: after the search the best `{"top": 5, "seeds": 3}` are trained again on fresh seeds and the winner
            is chosen by their mean; True: these numbers, or the spec's; None: the search's best trial is the winner.
        fidelity: `{"width": (128, 1024)}`, for functions: the search sees the first value, the finalists the second.
        loggers: "tensorboard", "mlflow", "wandb" or other plugins, given as strategies are.
        block: False: return at once, with a handle on the search (`wait`, `stop`, `result`), which runs in a thread.

    Raises:
        AutoMLError: see `automl.errors`; a single trial's failure is no error.
    """
    begun_s = time.monotonic()  # what is read before the first trial is part of a time budget
    options = SearchOptions(
        space=space, metric=metric, trials=trials, time_s=time_s, epochs=epochs, horizon=horizon, strategy=strategy,
        stopper=stopper, seed=seed, value=value, first=first, warm=warm, workers=workers, executor=executor, dir=dir,
        name=name, path=path, screen=screen, overrides=overrides, deterministic=deterministic, retries=retries,
        loggers=loggers, trial_timeout_s=trial_timeout_s, isolation=isolation, finalists=finalists, fidelity=fidelity,
    )  # fmt: skip
    ready = prepared(task, options, begun_s)
    if block:
        return ready.run()
    from automl.api.background import Running

    return Running(ready)


def prepared(task: "str | Path | Callable[[Trial], object]", options: SearchOptions, begun_s: float) -> "Search":
    """The search of `search`, ready to run; its time budget counts from `begun_s`, of `time.monotonic`."""
    search = _prepared(task, options)
    search.study.budget.count_from(begun_s)
    return search


def _prepared(task: "str | Path | Callable[[Trial], object]", options: SearchOptions) -> "Search":
    if not isinstance(task, str | Path):
        from automl.api import from_function

        return from_function.prepare(task, options)
    if options.executor in (None, "local"):
        forkserver.begin()
    from automl.api import from_spec

    return from_spec.prepare_file(task, options)


def resume(
    path: str | Path,
    *,
    trials: int | str | None = None,
    workers: int = 0,
    screen: "Screen | None" = None,
    accept_changes: bool = False,
    trust: bool = False,
    loggers: "Sequence[Described]" = (),
) -> "Study":
    """Continue the study in the folder `path`: interrupted, killed or finished.

        study = automl.resume("studies/digits", trials="+40")

    Where the spec's file was edited since, the new budget and workers count. Another space, objective or data is
    refused, unless `accept_changes`: then known trials are kept where they fit into the new space.

    Args:
        path: the study's folder.
        trials: a new budget of trials, or "+40": 40 more than before.
        workers: how many trials at once; 0: as before.
        screen, loggers: as in `search`.
        accept_changes: go on although the space, the objective or the data are others now.
        trust: run the code that the specification names, also of a study begun on another machine.

    Raises:
        SpecError: it was started from a Python function, which only the program that has it can do again; spec or
            data were changed; or it was begun elsewhere, names code, and is not trusted.
    """
    forkserver.begin()
    from automl.api.from_ledger import prepare
    from automl.api.prepared import screen_for

    shown = screen_for(screen, loggers)
    return prepare(Path(path), shown, trials=trials, workers=workers, accept_changes=accept_changes, trust=trust).run()
