"""`automl search` and `automl resume`: run a search on the screen that suits the terminal."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from automl.cli import options, progress, values
from automl.core.trial import State
from automl.errors import SearchFailed

if TYPE_CHECKING:
    from automl.core.plugins import Described
    from automl.driver.screen import Screen
    from automl.study.reader import Readable


def search(
    spec: options.SpecFile,
    strategy: options.Strategy = None,
    stopper: options.Stopper = None,
    trials: options.Trials = None,
    time: options.Time = None,
    seed: options.Seed = None,
    workers: options.Workers = None,
    executor: options.Executor = None,
    ray: options.Ray = None,
    insecure_ray: options.InsecureRay = False,
    dir: options.Dir = options.STUDIES,
    name: options.Name = None,
    set_: options.Sets = None,
    no_fuse: options.NoFuse = False,
    logger: options.Loggers = None,
    tensorboard: options.TensorBoard = False,
    optuna_storage: options.OptunaStorage = None,
    no_finalists: options.NoFinalists = False,
    deterministic: options.Deterministic = False,
    dry_run: options.DryRun = False,
    fail_under: options.FailUnder = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
    ascii: options.Ascii = False,
    events: options.Events = None,
) -> None:
    """Search the space of SPEC and save the winner."""
    if not quiet and _is_spec(spec):
        progress.say(f"automl search {spec}: reading it and importing PyTorch")
    from automl.api import doors
    from automl.executors import forkserver

    changes = _changes(values.overrides(set_), no_fuse, no_finalists, ray, insecure_ray)
    plan: dict[str, Any] = {"trials": trials, "time_s": values.seconds(time)}
    plan |= {"strategy": strategy, "stopper": stopper, "seed": seed}
    if dry_run:
        from automl.cli.dry_run import print_plan

        return print_plan(spec, {**changes, **_entries(plan)}, json=json)
    if executor in (None, "local") and ray is None:
        forkserver.begin()  # before the screen is imported
    plan |= {"workers": workers, "executor": executor, "dir": dir, "name": name, "deterministic": deterministic}
    loggers = _loggers(logger, tensorboard, optuna_storage)
    with _screen(json=json, quiet=quiet, ascii=ascii, events=events) as screen:
        study = doors.search(spec, **plan, overrides=changes, loggers=loggers, screen=screen)
    return _end(study, json=json, fail_under=fail_under)


def resume(
    study: options.StudyName,
    trials: options.MoreTrials = None,
    accept_spec_change: options.AcceptSpecChange = False,
    trust: options.Trust = False,
    logger: options.Loggers = None,
    tensorboard: options.TensorBoard = False,
    optuna_storage: options.OptunaStorage = None,
    dir: options.Dir = options.STUDIES,
    fail_under: options.FailUnder = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
    ascii: options.Ascii = False,
    events: options.Events = None,
) -> None:
    """Continue a study that was interrupted, killed or finished."""
    budget, path = values.trials(trials), values.study_path(study, dir)
    progress.say(f"automl resume {path}: reading it and importing PyTorch", quiet=quiet)
    from automl.api import doors

    loggers = _loggers(logger, tensorboard, optuna_storage)
    with _screen(json=json, quiet=quiet, ascii=ascii, events=events) as screen:
        done = doors.resume(
            path, trials=budget, screen=screen, accept_changes=accept_spec_change, trust=trust, loggers=loggers
        )
    return _end(done, json=json, fail_under=fail_under)


def _is_spec(spec: str) -> bool:
    """Whether there is such a file or preset; where there is not, one message says so."""
    if Path(spec).is_file():
        return True
    from automl.specfile.presets import complete

    return complete(spec) is not None


def _changes(
    sets: dict[str, str], no_fuse: bool, no_finalists: bool, ray: str | None, insecure_ray: bool
) -> dict[str, Any]:
    """Options that are entries of the spec, by dotted path."""
    changes: dict[str, Any] = dict(sets)
    changes |= {"fuse": "never"} if no_fuse else {}
    changes |= {"finalists": "none"} if no_finalists else {}
    changes |= {"executor.name": "ray", "executor.address": ray} if ray is not None else {}
    changes |= {"executor.insecure": True} if insecure_ray else {}
    return changes


def _entries(plan: dict[str, Any]) -> dict[str, Any]:
    """Arguments of a search as entries of the spec, for the plan of a dry run."""
    paths = {"trials": "budget.trials", "time_s": "budget.time"}
    return {paths.get(name, name): value for name, value in plan.items() if value is not None}


def _loggers(names: list[str] | None, tensorboard: bool, optuna_storage: str | None) -> "list[Described]":
    """All loggers, each once."""
    if "optuna" in (names or ()):
        raise typer.BadParameter("optuna needs a storage: --optuna-storage URL", param_hint="--logger")
    found: list[Described] = [*dict.fromkeys([*(names or []), *(["tensorboard"] if tensorboard else [])])]
    return found + ([{"name": "optuna", "storage": optuna_storage}] if optuna_storage else [])


@contextmanager
def _screen(*, json: bool, quiet: bool, ascii: bool, events: Path | None) -> "Iterator[Screen]":
    """The screen of a search, which also writes events into a file where one is given."""
    from automl.view.screens import choose

    inner = choose.screen(quiet=quiet, block=not json, ascii=ascii)
    if events is None:
        yield inner
        return
    from automl.view.screens.wrappers import EventScreen, GuardedScreen

    with events.open("a", encoding="utf-8") as file:
        yield GuardedScreen(EventScreen(inner, file))


def _end(study: "Readable", *, json: bool, fail_under: float | None) -> None:
    """Print the document; exit with 1 without a winner or with one that is not good enough, 4 if all trials failed."""
    from automl.view.pages.final import document_text

    if json:
        typer.echo(document_text(study))
    best, metric = study.winner, study.metric
    missed = best is not None and fail_under is not None and (best.loss or 0.0) > metric.loss(fail_under)
    if missed:
        typer.echo(f"automl: the winner's {metric.name} is worse than --fail-under {fail_under:g}", err=True)
    failed = study.history.count(State.FAILED)
    if best is None and failed and failed == len(study.history):
        raise typer.Exit(SearchFailed.exit_code)
    if best is None or missed:
        raise typer.Exit(1)
