"""What the tests of the failure catalogue share: small searches, in this process and in others."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import automl
from automl.driver.driver import Driver
from automl.driver.executor import Executor
from automl.executors.inline import Inline
from automl.study.reader import StudyView
from automl.study.study import Study
from automl.tasks.function import FunctionTask
from tests.support.paths import ROOT
from tests.support.patience import wait_until
from tests.support.screens import Notes

SPACE = {"x": automl.Float(0, 1)}


def search(train: Callable[[automl.Trial], object], path: Path, **options: Any) -> Study:
    """Six random trials in this process, unless told otherwise."""
    given = {"space": SPACE, "metric": "loss", "trials": 6, "seed": 1, "executor": "inline", "path": path}
    given |= {"strategy": "random", "finalists": None, **options}
    return automl.search(train, **given)


def driver(
    train: Callable[[automl.Trial], object],
    path: Path,
    executor: Executor | None = None,
    workers: int = 1,
    *,
    screen: Notes | None = None,
    trial_timeout_s: float | None = None,
    **options: Any,
) -> Driver:
    """A driver to be run (and its study to be closed) by the test."""
    study = Study(SPACE, **{"metric": "loss", "strategy": "random", "trials": 6, "seed": 1, "path": path, **options})
    task = FunctionTask.of(train)
    return Driver(study, task, executor or Inline(), workers, screen, trial_timeout_s=trial_timeout_s)


def python(code: str, folder: Path, **options: Any) -> "subprocess.Popen[str]":
    """A program of its own in `folder`; errors of ours end it with their exit code, as the command line does."""
    head = "import sys, time, os, signal\nimport automl\nfrom automl.cli import describe_error\n"
    body = "".join(f"    {line}\n" for line in code.strip().splitlines())
    tail = "except Exception as error:\n    message, code = describe_error(error)\n    print(message)\n"
    tail += "    sys.exit(code)\n"
    paths = os.pathsep.join(str(ROOT / part) for part in ("", "strategies", "search_spaces"))
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    return subprocess.Popen(
        [sys.executable, "-c", f"{head}try:\n{body}{tail}"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": paths},
        **{**pipes, **options},
    )


def wait_for_reports(path: Path, count: int) -> None:
    """Until the search at `path` has that many reports in its ledger."""
    wait_until(lambda: _reports(path) >= count, f"the search at {path} does not come on")


def _reports(path: Path) -> int:
    try:
        view = StudyView(path)
    except automl.AutoMLError:
        return 0
    found = sum(len(t.curve) for t in view.history.trials) + view.counts.ended
    view.close()
    return found


def trials_begun(path: Path) -> int:
    try:
        view = StudyView(path)
    except automl.AutoMLError:
        return 0
    view.close()
    return len(view.history)


def board(path: Path) -> list[tuple[object, ...]]:
    """Everything of a finished study that must not depend on what happened to it."""
    view = StudyView(path)
    rows = [(t.number, t.config, t.state.value, t.curve, t.reason) for t in view.history.trials]
    view.close()
    return rows


def parabola(trial: automl.Trial) -> None:
    """Four steps, saved after every other; what is reported depends on all steps before."""
    total = (trial.load() or {"total": 0.0})["total"]
    for step in trial.steps(4):
        total = total / 2 + (trial["x"] - 0.3) ** 2 + trial.seed % 97 / step
        try:
            trial.report(loss=total)
        finally:
            if step % 2 == 0 or trial.paused:
                trial.save({"total": total})
