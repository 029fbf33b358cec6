"""A task that is a program in any language: `[python, train.py, "--lr={lr}"]`.

It reports by printing JSON lines such as `{"step": 3, "val_loss": 0.41}`; everything else it prints goes to the trial's
log. Arguments are passed as a list, never through a shell. It is ended with SIGTERM, then SIGKILL.
"""

import json
import os
import signal
import string
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from automl.errors import TaskError, did_you_mean
from automl.worker.worker import Session, Task

if TYPE_CHECKING:
    from automl.worker.trial import Trial

GRACE_S = 10.0
"""How long the program may take to end after SIGTERM, and after SIGKILL."""


@dataclass(frozen=True)
class CommandTask(Session, Task):
    """The program; it is its own session, as there is nothing to load.

    Attributes:
        argv: its arguments, with `{name}` for hyperparameters (see `filled`).
        names: all hyperparameters of the space, also those that are not in every config.
        folder: where it runs: that of the spec.
        horizon: the step of a full trial, where it is known.
    """

    argv: tuple[str, ...]
    names: tuple[str, ...] = ()
    folder: Path | None = None
    horizon: int | None = None

    def open(self, devices: tuple[str, ...]) -> "CommandTask":
        """Nothing to do."""
        return self

    def run(self, trial: "Trial") -> None:
        """Run the program for one trial and pass its reports on.

        Raises:
            TaskError: the program cannot be started, or ends with an exit code other than 0.
        """
        trial.horizon = self.horizon
        try:
            process = subprocess.Popen(
                filled(self.argv, trial, self.names),
                cwd=self.folder,
                env={**os.environ, **environment(trial)},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                text=True,
                errors="replace",
                start_new_session=True,
            )
        except OSError as error:
            raise TaskError(f"cannot start {self.argv[0]!r}: {error.strerror}") from error
        try:
            assert process.stdout is not None
            for line in process.stdout:
                metrics = parsed(line)
                if metrics is None:
                    sys.stdout.write(line)
                else:
                    trial.report(**metrics)
            code = process.wait()
        finally:
            end(process)
        if code:
            raise TaskError(f"{self.argv[0]} ended with {exit_in_words(code)}; its output is in the trial's log")


def filled(argv: tuple[str, ...], trial: "Trial", names: Iterable[str] = ()) -> list[str]:
    """The arguments for one trial.

    Args:
        argv: `{name}` stands for a hyperparameter, or for `trial` (its number), `seed`, `epochs` (of a full trial),
            `device`, `folder` (the trial's own) or `config` (all hyperparameters, as JSON).
        trial: gives their values.
        names: hyperparameters that may be inactive in this trial: an argument that names one is left out.

    Returns:
        The arguments; a program called `python` is the Python that runs this.

    Raises:
        TaskError: a name that is neither a hyperparameter nor `trial`, `seed`, `epochs`, `device`, `folder`, `config`.
    """
    known: dict[str, Any] = {
        "trial": trial.number,
        "seed": trial.seed,
        "epochs": trial.horizon or "",
        "device": trial.device,
        "folder": trial.folder or "",
        "config": json.dumps(dict(trial.config)),
        **trial.config,
    }
    out = []
    for argument in argv:
        wanted = {name for _, name, _, _ in string.Formatter().parse(argument) if name}
        for name in wanted - {*known, *names}:
            raise TaskError(f"{argument}: no hyperparameter {name!r}{did_you_mean(name, {*known, *names})}")
        if wanted <= known.keys():
            out.append(argument.format(**known))
    return [sys.executable, *out[1:]] if out[0] == "python" else out


def environment(trial: "Trial") -> dict[str, str]:
    """Variables that are added to the program's environment."""
    return {
        "AUTOML_TRIAL": str(trial.number),
        "AUTOML_SEED": str(trial.seed),
        "AUTOML_CONFIG": json.dumps(dict(trial.config)),
        "AUTOML_DEVICE": trial.device,
        "AUTOML_FOLDER": str(trial.folder or ""),
        "PYTHONUNBUFFERED": "1",
    }


def parsed(line: str) -> dict[str, Any] | None:
    """The metrics of a JSON line such as `{"val_loss": 0.41}`; None for any other output."""
    if not line.lstrip().startswith("{"):
        return None
    try:
        metrics = json.loads(line)
    except ValueError:
        return None
    return metrics if isinstance(metrics, dict) and metrics else None


def end(process: "subprocess.Popen[str]") -> None:
    """End the program and all processes it started: SIGTERM to its process group, and SIGKILL after `GRACE_S`."""
    for number, wait_s in ((signal.SIGTERM, GRACE_S), (signal.SIGKILL, GRACE_S)):
        if process.poll() is not None:
            break
        try:
            os.killpg(process.pid, number)
            process.wait(wait_s)
        except (ProcessLookupError, subprocess.TimeoutExpired):
            continue
    if process.stdout is not None:
        process.stdout.close()


def exit_in_words(code: int) -> str:
    """`exit code 3`; for a negative code, which stands for a signal, `signal SIGKILL`."""
    if code >= 0:
        return f"exit code {code}"
    try:
        return f"signal {signal.Signals(-code).name}"
    except ValueError:
        return f"signal {-code}"
