"""A search of a training function."""

from collections.abc import Callable

from automl.api.options import SearchOptions
from automl.api.prepared import Search, screen_for
from automl.core import plugins
from automl.core.space import Space
from automl.errors import SpecError, TaskError
from automl.evaluation.candidates import FinalistOptions
from automl.study.study import Study
from automl.tasks.function import FunctionTask
from automl.worker.trial import Trial


def prepare(function: Callable[[Trial], object], options: SearchOptions) -> Search:
    """The search of `automl.search(function, ...)`, ready to run.

    Raises:
        SpecError: space, metric or budget are missing, or an option is wrong.
        TaskError: the function cannot be sent to another process.
    """
    if options.space is None or options.metric is None:
        raise SpecError("a training function needs space=... and metric=...")
    if options.overrides:
        raise SpecError("overrides replace entries of a spec; a function has none: give the options themselves")
    if options.isolation not in ("warm", "process"):
        raise SpecError(f'isolation is "warm" or "process", not {options.isolation!r}')
    strategy = options.strategy or "auto"
    if (options.trials, options.time_s, options.epochs) == (None, None, None) and strategy != "grid":
        raise SpecError("a search needs a budget: trials=..., time_s=... or epochs=...")
    screen, finalists = screen_for(options.screen, options.loggers), _finalists(options)
    task = FunctionTask.of(function)
    if task.alone is not None and plugins.make("executors", options.executor or "local").sends():
        raise TaskError(task.alone[1])
    with options.folder(_name(function)) as folder:
        study = Study(
            Space.of(options.space).fixed({name: low for name, (low, _) in (options.fidelity or {}).items()}),
            metric=options.metric,
            strategy=strategy,
            stopper=options.stopper or plugins.make("strategies", strategy).stopper() or "none",
            trials=options.trials,
            steps=options.epochs,
            time_s=options.time_s,
            horizon=options.horizon,
            workers=options.workers or 1,
            seed=options.seed or 0,
            value=options.value or "last",
            first=options.first,
            warm=options.warm,
            retries=options.retries,
            deterministic=options.deterministic,
            path=folder,
        )
    return Search(
        study,
        task,
        options.executor or "local",
        options.workers or 0,
        screen,
        finalists,
        trial_timeout_s=options.trial_timeout_s,
        fresh=options.isolation == "process",
    )


def _finalists(options: SearchOptions) -> FinalistOptions | None:
    target = {name: high for name, (_, high) in (options.fidelity or {}).items()}
    counts = options.finalist_counts
    if counts is None:
        if target:
            raise SpecError("fidelity: the finalists are what is trained at the high end: it needs them")
        return None
    return FinalistOptions(counts["top"], counts["seeds"], target_fidelity=target)


def _name(function: Callable[..., object]) -> str:
    """What the study is called, unless the user says it; not every callable has a name."""
    return str(getattr(function, "__name__", "study")).strip("<>")
