"""`automl start`, `automl status` and `automl stop`: a search that runs without a terminal."""

import json as json_module
import os
import signal
import time as clock
from contextlib import closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from automl.cli import options, values
from automl.errors import EnvironmentProblem

if TYPE_CHECKING:
    from automl.study.reader import StudyView

Wait = Annotated[float, options.option("--wait", help="Seconds to wait for it to end; it saves what runs.")]


def start(
    spec: options.SpecFile,
    trials: options.Trials = None,
    time: options.Time = None,
    seed: options.Seed = None,
    workers: options.Workers = None,
    dir: options.Dir = options.STUDIES,
    name: options.Name = None,
    set_: options.Sets = None,
    json: options.Json = False,
) -> None:
    """Begin a search in the background and return.

    What it prints is in STUDY/driver.log. automl status and automl top show it, automl stop ends it.
    """
    from automl import specfile
    from automl.api.options import SearchOptions
    from automl.cli import detached
    from automl.executors import devices

    changes: dict[str, Any] = dict(values.overrides(set_))
    read = specfile.read(spec, overrides=changes, gpus=devices.count)  # a mistake is told here, not in a log
    search = {"task": spec, "trials": trials, "time_s": values.seconds(time), "seed": seed, "workers": workers}
    with SearchOptions(dir=dir, name=name).folder(read.name) as folder:
        try:
            pid = detached.start(folder, {**search, "overrides": changes})
        except Exception:
            with suppress(OSError):
                (folder / detached.LOG).unlink()
            raise
    facts = {"schema": 1, "study": folder.name, "path": str(folder), "pid": pid, "log": str(folder / detached.LOG)}
    text = f"{folder}: begun (process {pid}); automl status {folder.name}"
    typer.echo(json_module.dumps(facts, ensure_ascii=False) if json else text)


def status(study: options.StudyName, json: options.Json = False, dir: options.Dir = options.STUDIES) -> None:
    """Say whether a search runs, how far it is, and what is best."""
    from automl.study.reader import StudyView

    path = values.study_path(study, dir)
    with closing(StudyView(path)) as view:
        facts = facts_of(view, path)
        text = f"{facts['state']}\n{view}"
    typer.echo(json_module.dumps(facts, ensure_ascii=False, allow_nan=False) if json else text)


def facts_of(view: "StudyView", path: Path) -> dict[str, Any]:
    """The result of a study as far as it is, and its state, see `automl.view.pages.status`."""
    from automl.study import paths
    from automl.study.ledger import lock
    from automl.view.pages import final, status

    pid = lock.driver(path / paths.LOCK)
    state = status.state(view, driven=pid is not None)
    budget = {"trials": view.plan.trials, "epochs": view.plan.steps, "seconds": view.plan.time_s}
    return {**final.document(view), "state": state, "pid": pid, "budget": budget}


def stop(
    study: options.StudyName, wait: Wait = 30.0, json: options.Json = False, dir: options.Dir = options.STUDIES
) -> None:
    """Stop a search that runs; automl resume goes on with it.

    Its process is told to stop (SIGTERM): running epochs end, and all is saved.
    """
    from automl.study import paths
    from automl.study.ledger import lock

    path = values.study_path(study, dir)
    pid = lock.driver(path / paths.LOCK)
    if pid is not None:
        _end(path / paths.LOCK, pid, wait)
    facts = {"schema": 1, "study": path.name, "stopped": pid is not None, "pid": pid}
    text = f"{path}: {'does not run' if pid is None else f'stopped (process {pid})'}"
    typer.echo(json_module.dumps(facts, ensure_ascii=False) if json else text)


def _end(lock_file: Path, pid: int, wait: float) -> None:
    """Tell the process to stop, and wait until it has given its lock back.

    Raises:
        EnvironmentProblem: it is another user's, or it has not ended in time.
    """
    from automl.study.ledger import lock

    try:
        os.kill(pid, signal.SIGTERM)
    except ProcessLookupError:
        return
    except PermissionError:
        raise EnvironmentProblem(f"process {pid} runs this search, and is another user's") from None
    until = clock.monotonic() + wait
    while lock.driver(lock_file) == pid:
        if clock.monotonic() > until:
            raise EnvironmentProblem(f"process {pid} has been told to stop, and still runs after {wait:g} s")
        clock.sleep(0.1)
