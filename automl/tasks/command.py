"""A task that is a program in any language: `[python, train.py, "--lr={lr}"]`.

It reports by printing JSON such as `{"step": 3, "val_loss": 0.41}` (see `command_output`); what else it prints goes to
the trial's log. Arguments are passed as a list, never through a shell. It is ended with SIGTERM, then SIGKILL.
"""

import codecs
import io
import json
import os
import selectors
import signal
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from automl.errors import NoReport, SpecError, TaskError, did_you_mean
from automl.specfile import templates
from automl.tasks.command_output import CommandOutput, Report
from automl.worker.worker import Session, Task

if TYPE_CHECKING:
    from automl.worker.trial import Trial

GRACE_S = 10.0
"""How long the program may take to end after SIGTERM, and after SIGKILL."""
QUIET_S = 0.2
"""Seconds without output after which the output of an ended program counts as complete."""


@dataclass(frozen=True)
class CommandTask(Session, Task):
    """The program; it is its own session, as there is nothing to load.

    Attributes:
        argv: its arguments, with `{name}` for hyperparameters (see `filled`).
        names: all hyperparameters of the space, also those that are not in every config.
        folder: where it runs: that of the spec.
        horizon: the step of a full trial, where it is known.
        metric: the study's metric: a line is a report if it has it.
        report: a pattern for reports in plain text, with named groups; None: only JSON.
    """

    argv: tuple[str, ...]
    names: tuple[str, ...] = ()
    folder: Path | None = None
    horizon: int | None = None
    metric: str = "loss"
    report: str | None = None

    def open(self, devices: tuple[str, ...]) -> "CommandTask":
        """Nothing to do."""
        return self

    def run(self, trial: "Trial") -> None:
        """Run the program for one trial and pass its reports on.

        Raises:
            TaskError: the program cannot be started, or ends with an exit code other than 0.
            NoReport: it ended without a report.
        """
        trial.horizon = self.horizon
        output = CommandOutput(self.metric, self.report)
        if trial.folder is not None:
            trial.folder.mkdir(parents=True, exist_ok=True)
        try:
            process = subprocess.Popen(
                filled(self.argv, trial, self.names),
                cwd=self.folder,
                env={**os.environ, **environment(trial)},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,
            )
        except OSError as error:
            raise TaskError(f"cannot start {self.argv[0]!r}: {error.strerror}") from error
        try:
            said = ""  # the last line on its standard error
            for line, of_error in lines_of(process):
                if of_error:
                    sys.stderr.write(line)
                    said = line.strip() or said
                    continue
                for part in output.read(line):
                    self._pass_on(part, trial)
            for part in output.end():
                self._pass_on(part, trial)
            code = process.wait()
        finally:
            end(process)
        if code:
            said = said or next(iter(reversed(output.last)), "")
            why = f": {said[:200]}" if said else ""
            raise TaskError(f"{self.argv[0]} ended with {exit_in_words(code)}{why}; its output is in the trial's log")
        if not trial.step and not output.reports:
            raise NoReport(self._how_to_report(output))

    def _pass_on(self, part: "Report | str", trial: "Trial") -> None:
        if isinstance(part, str):
            sys.stdout.write(part)
        else:
            trial.report(part.step, part.metrics)

    def _how_to_report(self, output: CommandOutput) -> str:
        name = self.metric
        last = "\n".join(f"    {line[:200]}" for line in output.last) or "    (nothing)"
        if self.report:
            return (
                f"{' '.join(self.argv[:2])} ended without reporting {name}: no line that it printed has a number where "
                f"report: '{self.report[:200]}' looks for it. The last lines on its standard output:\n{last}"
            )
        return (
            f"{' '.join(self.argv[:2])} ended without reporting {name}. Print a line of JSON after each epoch, such as "
            f'{{"step": 1, "{name}": 0.5}}, or say in the spec how to find it in a line of text, such as '
            f"report: '{name}=(?P<{name}>[0-9.]+)'. The last lines on its standard output:\n{last}"
        )


def filled(argv: tuple[str, ...], trial: "Trial", names: Iterable[str] = ()) -> list[str]:
    """The arguments for one trial.

    Args:
        argv: `{name}` stands for a hyperparameter, or for `trial` (its number), `seed`, `epochs` (of a full trial),
            `device`, `folder` (the trial's own) or `config` (all hyperparameters, as JSON); see `specfile.templates`.
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
        "folder": folder_of(trial),
        "config": json.dumps(dict(trial.config)),
        **trial.config,
    }
    out = []
    for argument in argv:
        try:
            for name in sorted(templates.names_in(argument) - {*known, *names}):
                raise TaskError(f"{argument}: no hyperparameter {name!r}{did_you_mean(name, {*known, *names})}")
            text = templates.fill(argument, known)
        except SpecError as error:
            raise TaskError(str(error)) from None
        if text is not None:
            out.append(text)
    return [sys.executable, *out[1:]] if out[0] == "python" else out


def folder_of(trial: "Trial") -> str:
    """The trial's own folder, absolute, as the program runs in another one; an empty text where it has none."""
    return str(trial.folder.absolute()) if trial.folder is not None else ""


def environment(trial: "Trial") -> dict[str, str]:
    """Variables that are added to the program's environment."""
    return {
        "AUTOML_TRIAL": str(trial.number),
        "AUTOML_SEED": str(trial.seed),
        "AUTOML_CONFIG": json.dumps(dict(trial.config)),
        "AUTOML_DEVICE": trial.device,
        "AUTOML_FOLDER": folder_of(trial),
        "PYTHONUNBUFFERED": "1",
    }


def lines_of(process: "subprocess.Popen[bytes]") -> Iterator[tuple[str, bool]]:
    """Yield (line, whether it comes from stderr) until the program ends.

    Child processes that the program leaves behind may keep its output open; this does not wait for them.
    """
    with selectors.DefaultSelector() as selector:
        for stream in (process.stdout, process.stderr):
            assert stream is not None
            selector.register(stream, selectors.EVENT_READ, [_decoder(), ""])
        while selector.get_map():
            ready = selector.select(QUIET_S)
            if not ready and process.poll() is not None:
                break
            for key, _ in ready:
                chunk = os.read(key.fd, 2**16)
                decoder, begun = key.data
                *whole, key.data[1] = (begun + decoder.decode(chunk, not chunk)).split("\n")
                yield from ((f"{line}\n", key.fileobj is process.stderr) for line in whole)
                if not chunk:
                    selector.unregister(key.fileobj)
                    if key.data[1]:
                        yield key.data[1], key.fileobj is process.stderr
        for key in selector.get_map().values():
            if key.data[1]:
                yield key.data[1], key.fileobj is process.stderr


def _decoder() -> io.IncrementalNewlineDecoder:
    """Bytes to text with line ends of one kind."""
    return io.IncrementalNewlineDecoder(codecs.getincrementaldecoder("utf-8")("replace"), translate=True)


def end(process: "subprocess.Popen[bytes]") -> None:
    """End the program and all processes it started: SIGTERM to its process group, and SIGKILL after `GRACE_S`."""
    for number, wait_s in ((signal.SIGTERM, GRACE_S), (signal.SIGKILL, GRACE_S)):
        if process.poll() is not None:
            break
        try:
            os.killpg(process.pid, number)
            process.wait(wait_s)
        except (ProcessLookupError, subprocess.TimeoutExpired):
            continue
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)  # what it has left behind
    for stream in (process.stdout, process.stderr):
        if stream is not None:
            stream.close()


def exit_in_words(code: int) -> str:
    """`exit code 3`; for a negative code, which stands for a signal, `signal SIGKILL`."""
    if code >= 0:
        return f"exit code {code}"
    try:
        return f"signal {signal.Signals(-code).name}"
    except ValueError:
        return f"signal {-code}"
