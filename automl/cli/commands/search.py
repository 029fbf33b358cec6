"""`automl search` and `automl resume`: run a search on the screen that suits the terminal."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from automl.cli import options

if TYPE_CHECKING:
    from automl.driver.screen import Screen

Name = Annotated[str | None, options.option("--name", help="The study's name (default: the spec's).")]
Text = Annotated[str | None, options.option()]


def search(
    spec: Annotated[str, typer.Argument(metavar="SPEC", help="A space.yaml, or the name of a ready-made space.")],
    strategy: Annotated[
        str | None, options.option(help="What suggests configs (`automl strategies` lists them).")
    ] = None,
    stopper: Annotated[str | None, options.option(help="What stops hopeless trials early, or none.")] = None,
    trials: Annotated[int | None, options.option(min=1, help="Budget: trials to start.")] = None,
    time: Annotated[
        str | None, options.option(metavar="DURATION", help="Budget: wall time, e.g. 10m or 1h30m.")
    ] = None,
    seed: Annotated[int | None, options.option(help="The study's seed.")] = None,
    workers: Annotated[int | None, options.option(min=1, help="Trials (or cohorts) at once.")] = None,
    executor: Annotated[str | None, options.option(help="Where trials run: local, inline, ray.")] = None,
    ray: Annotated[str | None, options.option(metavar="ADDRESS", help="Run on the Ray cluster at HOST:PORT.")] = None,
    insecure_ray: Annotated[
        bool, options.option("--insecure-ray", help="Use a Ray cluster that lets everybody in.")
    ] = False,
    dir: options.Dir = options.STUDIES,
    name: Name = None,
    set_: options.Sets = None,
    no_fuse: Annotated[
        bool, options.option("--no-fuse", help="One trial at a time on a worker, never a batch.")
    ] = False,
    logger: options.Loggers = None,
    tensorboard: options.TensorBoard = False,
    no_finalists: Annotated[
        bool, options.option("--no-finalists", help="Do not train the best trials again on fresh seeds.")
    ] = False,
    deterministic: Annotated[
        bool, options.option("--deterministic", help="The same leaderboard each time, also with several workers.")
    ] = False,
    dry_run: Annotated[bool, options.option("--dry-run", help="Print the plan, train one batch, and stop.")] = False,
    fail_under: options.FailUnder = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
    ascii: options.Ascii = False,
    events: options.Events = None,
) -> None:
    """Search the space of SPEC, and save the winner."""
    from automl.api import doors
    from automl.executors import warm

    changes: dict[str, Any] = {**options.overrides(set_), **({"fuse": "never"} if no_fuse else {})}
    if no_finalists:
        changes["finalists"] = "none"
    if ray is not None:
        changes |= {"executor.name": "ray", "executor.address": ray}
    if insecure_ray:
        changes |= {"executor.insecure": True}
    budget: dict[str, Any] = {"trials": trials, "time_s": options.seconds(time)}
    how: dict[str, Any] = {"strategy": strategy, "stopper": stopper, "seed": seed}
    if dry_run:
        from automl.cli.commands.spec import plan

        return plan(spec, {**changes, **_budget(budget, how)}, json=json)
    if executor in (None, "local") and ray is None:
        warm.begin()  # before the screen is imported
    with _screen(json=json, quiet=quiet, ascii=ascii, events=events) as screen:
        study = doors.search(
            spec,
            **budget,
            **how,
            workers=workers,
            executor=executor,
            dir=dir,
            name=name,
            overrides=changes,
            deterministic=deterministic,
            loggers=_loggers(logger, tensorboard),
            screen=screen,
        )
    return _end(study, json=json, fail_under=fail_under)


def resume(
    study: options.StudyName,
    trials: Annotated[
        str | None, options.option(metavar="N|+N", help="A new budget of trials, or (+N) so many more.")
    ] = None,
    accept_spec_change: Annotated[
        bool, options.option("--accept-spec-change", help="Go on although space, objective or data were changed.")
    ] = False,
    logger: options.Loggers = None,
    tensorboard: options.TensorBoard = False,
    dir: options.Dir = options.STUDIES,
    fail_under: options.FailUnder = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
    ascii: options.Ascii = False,
    events: options.Events = None,
) -> None:
    """Continue a study: interrupted, killed or finished."""
    if trials is not None and not trials.removeprefix("+").isdecimal():
        raise typer.BadParameter(f"{trials!r} is not a number of trials such as 100 or +40", param_hint="--trials")
    path = options.study_path(study, dir)
    from automl.api import doors

    budget = int(trials) if trials is not None and not trials.startswith("+") else trials
    with _screen(json=json, quiet=quiet, ascii=ascii, events=events) as screen:
        done = doors.resume(
            path,
            trials=budget,
            screen=screen,
            accept_changes=accept_spec_change,
            loggers=_loggers(logger, tensorboard),
        )
    return _end(done, json=json, fail_under=fail_under)


def _loggers(names: list[str] | None, tensorboard: bool) -> list[str]:
    return list(dict.fromkeys([*(names or []), *(["tensorboard"] if tensorboard else [])]))


@contextmanager
def _screen(*, json: bool, quiet: bool, ascii: bool, events: Path | None) -> "Iterator[Screen]":
    from automl.view.screens import choose

    inner = choose.screen(quiet=quiet, block=not json, ascii=ascii)
    if events is None:
        yield inner
        return
    from automl.view.screens.wrappers import EventScreen, GuardedScreen

    with events.open("a", encoding="utf-8") as file:
        yield GuardedScreen(EventScreen(inner, file))


def _end(study: Any, *, json: bool, fail_under: float | None) -> None:
    """The document, and the exit code: 0 with a winner (that is good enough)."""
    from automl.view.pages.final import document_text

    if json:
        typer.echo(document_text(study))
    best = study.winner
    missed = best is not None and fail_under is not None and best.loss > study.metric.loss(fail_under)
    if missed:
        typer.echo(f"automl: the winner's {study.metric.name} is worse than --fail-under {fail_under:g}", err=True)
    if best is None or missed:
        raise typer.Exit(1)


def _budget(budget: dict[str, Any], how: dict[str, Any]) -> dict[str, Any]:
    """Options as changes of the spec, for the plan of a dry run."""
    named = {"budget.trials": budget["trials"], "budget.time": budget["time_s"], **how}
    return {key: value for key, value in named.items() if value is not None}
