"""The worker's side: the Trial that user code gets, and the loop that pulls trials and runs them.

The same loop runs inline, in a local process and in a Ray actor; a `Link` carries its messages.
"""

import errno
import json
import traceback
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from automl.core import seeds
from automl.core.messages import (
    Assign,
    Assignment,
    Broken,
    Ended,
    Event,
    Measured,
    Odd,
    Order,
    Outcome,
    Ready,
    Reported,
    Shutdown,
    Verdicts,
)
from automl.core.space import Value
from automl.core.stopper import Kind
from automl.core.trial import Failure
from automl.errors import AutoMLError
from automl.study import checkpoint
from automl.tasks import Session, Task


class Link(Protocol):
    """Carries messages between a worker and its driver, in order."""

    def send(self, event: Event) -> None: ...
    def receive(self) -> Order: ...


class TrialStopped(BaseException):
    """Leaves the training function from inside `trial.report`; `except Exception` does not catch it."""


class TrialPaused(TrialStopped):
    """The same, for a trial that may go on later."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a worker runs: its number, the devices it is bound to, and the study's folder (None: keep nothing)."""

    worker: int = 0
    devices: tuple[str, ...] = ("cpu",)
    folder: Path | None = None


class Trial:
    """One attempt of one trial, as the training function sees it.

    Attributes:
        config: the hyperparameters, `{name: value}`; `trial["lr"]` is the short form.
        number, attempt, seed: `seed` depends on the study's seed and the trial's number alone.
        device, devices: where to train, as torch names it ("cpu", "cuda:0").
        folder: a folder of this trial's own for files, or None when the study keeps nothing on disk.
        leads: whether this trial's model is wanted if it ends with the last report: mostly, as it would be first.
        paused: whether the last report was answered with "leave, you may go on later".
    """

    def __init__(self, assignment: Assignment, place: Place, link: Link) -> None:
        self.config: Mapping[str, Value] = assignment.config
        self.number, self.attempt, self.seed = assignment.number, assignment.attempt, assignment.seed
        self.devices = place.devices
        self.device = place.devices[0]
        self.folder = place.folder / "trials" / f"{self.number:05d}" if place.folder else None
        self.leads = self.paused = False
        self.step = 0  # the last step reported (or resumed from)
        self.horizon: int | None = None
        self.details: dict[str, object] = {}  # what is kept with the attempt: cohort, lane, speed, ...
        self._place, self._link = place, link
        self._curve: list[tuple[int, Mapping[str, Any]]] = []

    def __getitem__(self, name: str) -> Any:
        return self.config[name]

    def get(self, name: str, default: Any = None) -> Any:
        """The hyperparameter, or `default` where the config does not have it (an inactive one)."""
        return self.config.get(name, default)

    def steps(self, n: int) -> Iterator[int]:
        """1, 2, ... n, beginning after the loaded checkpoint's step; tells the study that `n` is the full length."""
        self.horizon = n
        for step in range(self.step + 1, n + 1):
            yield step
            if self.step < step:
                self.step = step  # nothing was reported in this round

    def report(self, step: int | None = None, **metrics: object) -> None:
        """Tell the study how good the trial is after `step` (counted on from the last one when not given).

        Metrics are numbers, numpy scalars or one-element tensors; one of them is the study's metric.

        Raises:
            TrialStopped: the trial is not worth going on; let it pass through (`finally` blocks run).
        """
        point = self.point(self.step + 1 if step is None else step, metrics)
        match self.heed(exchange(self._link, Reported(self._place.worker, (point,)))):
            case Kind.STOP:
                raise TrialStopped
            case Kind.PAUSE:
                raise TrialPaused

    def point(self, step: int, metrics: Mapping[str, object]) -> Measured:
        """The message's part about this trial, for workers that report many trials at once."""
        self.step = step
        told = {name: plain(value) for name, value in metrics.items()}
        self._curve.append((step, told))
        return Measured(self.number, self.attempt, step, told, self.horizon)

    def heed(self, verdicts: Verdicts) -> Kind:
        """What the driver answered for this trial; `leads` and `paused` are set from it."""
        kind = verdicts.kinds[self.number]
        self.leads, self.paused = self.number in verdicts.leads, kind is Kind.PAUSE
        return kind

    @property
    def _identity(self) -> str:
        """What a checkpoint must agree in with the trial that loads it."""
        return f"{seeds.derive(self.seed, json.dumps(dict(self.config), sort_keys=True)):x}"

    def save(self, state: Any) -> None:
        """Keep `state` (state dicts, tensors, plain values) as this trial's checkpoint of the last reported step.

        A study without a folder keeps nothing.
        """
        if self.folder is not None:
            checkpoint.save(self.folder, self.step, state, self._curve, identity=self._identity)

    def load(self) -> Any | None:
        """The state last saved by an earlier attempt, or None; `steps` and `report` count on from its step.

        The reports up to there are sent again, so that the curve has no hole even if the driver lost some.
        """
        if self.folder is None or (found := checkpoint.load(self.folder, identity=self._identity)) is None:
            return None
        horizon, self.horizon = self.horizon, None
        for step, metrics in found.curve:
            self.report(step=step, **metrics)
        self.step, self.horizon = found.step, horizon
        return found.state


def exchange(link: Link, reported: Reported) -> Verdicts:
    """Send a report and wait for its answer."""
    link.send(reported)
    verdicts = link.receive()
    assert isinstance(verdicts, Verdicts), f"a report is answered with verdicts, got {verdicts}"
    return verdicts


def plain(value: object) -> object:
    """A metric's value as a Python number where it has one (`.item()` of tensors and numpy scalars).

    Anything but numbers and short texts is named only: it might not survive being sent to the driver.
    """
    item = getattr(value, "item", None)
    if item is not None and not isinstance(value, int | float):
        try:
            value = item()
        except Exception:  # user code: whatever it raises, the value is no number
            return Odd(type(value).__name__)
    if type(value) in (int, float, bool) or value is None:
        return value
    if isinstance(value, int | float):
        return float(value)
    return value[:100] if isinstance(value, str) else Odd(type(value).__name__)


class Capture(Protocol):
    """Sends what user code prints to the log of the trial that runs (None: to the worker's own)."""

    def __call__(self, trial: int | None) -> AbstractContextManager[object]: ...


def no_capture(trial: int | None) -> AbstractContextManager[object]:
    return nullcontext()


@dataclass(frozen=True)
class Worker:
    """Pulls trials over its link and has them trained by the task's session, until there are no more."""

    place: Place
    link: Link
    capture: Capture = no_capture

    def work(self, task: Task) -> None:
        """Open the task once, then serve trials."""
        try:
            with self.capture(None):
                session = task.open(self.place.devices)
        except Exception as error:
            self.link.send(Broken(self.place.worker, sendable(error)))
            return
        session.serve(self)

    def one_by_one(self, session: Session) -> None:
        """The loop of a session that trains one trial at a time."""
        while assignments := self.pull():
            for assignment in assignments:
                with self.capture(assignment.number):
                    trial = Trial(assignment, self.place, self.link)
                    outcome, failure = run_trial(session, trial)
                self.end(trial, outcome, failure)

    def end(self, trial: Trial, outcome: Outcome, failure: Failure | None) -> None:
        """Tell the driver how the attempt ended."""
        self.link.send(Ended(self.place.worker, trial.number, trial.attempt, outcome, failure, trial.details))

    def pull(self, lanes: int = 1, *, busy: bool = False, fits: str = "") -> tuple[Assignment, ...]:
        """Ask for up to `lanes` trials. Empty: there are no more, or (`busy`) none just now."""
        self.link.send(Ready(self.place.worker, lanes, busy, fits))
        order = self.link.receive()
        if isinstance(order, Shutdown):
            return ()
        assert isinstance(order, Assign), f"ready is answered with trials, got {order}"
        return order.assignments


def run_trial(session: Session, trial: Trial) -> tuple[Outcome, Failure | None]:
    """Run one attempt to its end, whatever way it ends. The only caller of user code."""
    try:
        session.run(trial)
    except TrialPaused:
        return Outcome.PAUSED, None
    except TrialStopped:
        return Outcome.STOPPED, None
    except (KeyboardInterrupt, GeneratorExit):
        raise
    except BaseException as error:  # SystemExit too: a training function must not end its worker
        return Outcome.FAILED, failure_of(error, trial)
    return Outcome.FINISHED, None


def failure_of(error: BaseException, trial: Trial) -> Failure:
    """What is kept of an error: kind, message, step, and its traceback in a file of the trial."""
    file = ""
    if trial.folder is not None:
        path = trial.folder / f"traceback-{trial.attempt}.txt"
        try:
            trial.folder.mkdir(parents=True, exist_ok=True)
            path.write_text("".join(traceback.format_exception(error)), errors="backslashreplace")
            file = str(path.relative_to(trial.folder.parent.parent))
        except OSError:  # a full disk: the message must do
            path.unlink(missing_ok=True)
    return Failure(kind_of(error), in_words(error)[:2000], trial.step, file)


def kind_of(error: BaseException) -> str:
    """The kind of failure: `oom`, `disk` and `device` are the machine's, `exception` is the user's code's."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return "oom"
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO):
        return "disk"
    text = in_words(error)
    if "CUDA error" in text and "device-side assert" not in text:
        return "device"
    return "exception"


def in_words(error: BaseException) -> str:
    """`ValueError: no luck`, also for errors that cannot be told."""
    try:
        return f"{type(error).__name__}: {error}"
    except Exception:  # its __str__ raises
        return f"{type(error).__name__}: (its message cannot be made)"


def sendable(error: Exception) -> Exception:
    """The error itself where it is one of ours, else one of ours with its text: its class may be unknown elsewhere."""
    if isinstance(error, AutoMLError):
        return error
    return AutoMLError("".join(traceback.format_exception(error)))


@dataclass
class Recorder:
    """A link that answers every report with CONTINUE and keeps what it was sent: for trying a task out, and tests."""

    sent: list[Event] = field(default_factory=list)

    def send(self, event: Event) -> None:
        self.sent.append(event)

    def receive(self) -> Order:
        last = self.sent[-1]
        assert isinstance(last, Reported)
        return Verdicts({point.trial: Kind.CONTINUE for point in last.points})
