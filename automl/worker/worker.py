"""The loop of a worker: it pulls trials, trains them and tells the driver how they ended.

The same code runs inline, in a local process and in a Ray actor; a `Link` carries its messages.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Protocol

from automl.core.messages import (
    Assign,
    Assignment,
    Broken,
    Ended,
    Measured,
    Opened,
    Outcome,
    Ready,
    Reported,
    Shutdown,
    Verdicts,
)
from automl.core.space import Config
from automl.core.trial import Failure
from automl.worker.failures import failure_of, sendable
from automl.worker.gpu_memory import cap_memory
from automl.worker.link import Link, Place, exchange
from automl.worker.meter import Meter
from automl.worker.trial import Trial, TrialPaused, TrialStopped


class Session(Protocol):
    """A task that is open in one worker, ready to train. A subclass writes `run`, and inherits the loop."""

    def run(self, trial: Trial) -> None:
        """Train one trial, reporting as it goes; returns when the trial has run its full length."""
        ...

    @property
    def facts(self) -> Mapping[str, object]:
        """What the study keeps about the task now that it is open, as plain values; each worker may say it again."""
        return {}

    def serve(self, worker: "Worker") -> None:
        """Pull trials over `worker` and train them, one after another, until there are no more.

        A session that trains many trials at once has a loop of its own here.
        """
        while assignments := worker.pull():
            for assignment in assignments:
                with worker.attempt(assignment) as trial:
                    self.run(trial)


class Task(Protocol):
    """What is sent to the workers. A subclass writes `open`, and changes of the rest what it needs."""

    def open(self, devices: tuple[str, ...]) -> Session:
        """Called once in each worker; `devices` are those the worker is bound to.

        Raises:
            AutoMLError: it cannot be trained at all (an import fails, the data are bad); the search ends with that.
        """
        ...

    @property
    def group(self) -> Callable[[Config], str] | None:
        """Which trials may train as one batched model: those for whose configs this function gives the same text.

        The empty text is for trials that train alone; None: every trial does. The driver calls this, so it must not
        need torch.
        """
        return None

    @property
    def forkable(self) -> bool:
        """Whether workers may be forked from a process that has imported torch: only if they run no user code."""
        return False

    def with_data(self) -> "Task":
        """The same task with its data in it, for workers on machines that do not have the files."""
        return self


class Capture(Protocol):
    """Sends what user code prints to the log of the trial that runs (None: to the worker's own log)."""

    def __call__(self, trial: int | None) -> AbstractContextManager[object]: ...


def no_capture(trial: int | None) -> AbstractContextManager[object]:
    """A `Capture` that leaves all output where it goes."""
    return nullcontext()


@dataclass(frozen=True)
class Worker:
    """What a session needs to get trials and to report on them. An executor starts one like this:

        worker.open(task).serve(worker)

    Args:
        place: where it runs.
        link: carries its messages.
        capture: where user code's output goes.
    """

    place: Place
    link: Link
    capture: Capture = no_capture

    def open(self, task: Task) -> Session:
        """Open the task. If that fails, the driver is told, and the session returned has nothing to do."""
        try:
            with self.capture(None):
                session = task.open(self.place.devices)
                cap_memory(self.place)
                facts = session.facts
        except Exception as error:
            self.link.send(Broken(self.place.worker, sendable(error)))
            return _NothingToDo()
        if facts:
            self.link.send(Opened(self.place.worker, facts))
        return session

    def work(self, task: Task) -> None:
        """Open the task and serve until there are no more trials, in one call."""
        self.open(task).serve(self)

    def one_by_one(self, session: Session) -> None:
        """The loop of a session that trains one trial at a time, for sessions that have another one too."""
        Session.serve(session, self)

    def pull(self, lanes: int = 1, *, busy: bool = False, fits: str = "") -> tuple[Assignment, ...]:
        """Ask for up to `lanes` trials. Empty: there are no more, or (`busy`) none at the moment."""
        self.link.send(Ready(self.place.worker, lanes, busy, fits))
        order = self.link.receive()
        if isinstance(order, Shutdown):
            return ()
        assert isinstance(order, Assign), f"ready is answered with trials, got {order}"
        return order.assignments

    @contextmanager
    def attempt(self, assignment: Assignment) -> Iterator[Trial]:
        """One attempt of one trial, which the `with` block trains; the driver is told how it ended."""
        trial, meter = Trial(assignment, self.place, self.link), self.meter()
        with self.capture(trial.number), ending_of(trial) as ending:
            cap_memory(self.place)
            yield trial
        spent = {name: round(value, 4) for name, value in meter.read().items()}
        trial.details = {**trial.details, **spent, "steps": max(trial.step - trial.begun_at, 0)}
        self.end(trial, ending.outcome, ending.failure)

    def meter(self) -> Meter:
        """Measures from now on what the worker's device spends."""
        return Meter(self.place.devices, self.place.gpu_share)

    def report(self, points: Sequence[Measured], note: str = "", advice: Sequence[str] = ()) -> Verdicts:
        """Report the newest points of many trials at once; see `Reported` for `note` and `advice`."""
        return exchange(self.link, Reported(self.place.worker, tuple(points), note, tuple(advice)))

    def end(self, trial: Trial, outcome: Outcome, failure: Failure | None = None) -> None:
        """Tell the driver how the attempt ended."""
        self.link.send(
            Ended(self.place.worker, trial.number, trial.attempt, outcome, failure, trial.details, tuple(trial.lasting))
        )


class _NothingToDo(Session):
    """The session of a task that cannot be opened."""

    def run(self, trial: Trial) -> None:
        return

    def serve(self, worker: Worker) -> None:
        return


@dataclass
class Ending:
    """How an attempt ended."""

    outcome: Outcome = Outcome.FINISHED
    failure: Failure | None = None


@contextmanager
def ending_of(trial: Trial) -> Iterator[Ending]:
    """Runs user code in its `with` block and keeps how that ended; no error leaves the block, except Ctrl-C."""
    ending = Ending()
    try:
        yield ending
    except TrialPaused:
        ending.outcome = Outcome.PAUSED
    except TrialStopped:
        ending.outcome = Outcome.STOPPED
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # SystemExit and GeneratorExit too: a training function must not end its worker
        ending.outcome, ending.failure = Outcome.FAILED, failure_of(error, trial)


def run_trial(session: Session, trial: Trial) -> tuple[Outcome, Failure | None]:
    """Run one attempt to its end, whatever way it ends."""
    with ending_of(trial) as ending:
        session.run(trial)
    return ending.outcome, ending.failure
