"""The worker's side: the Trial that user code gets, and the loop that pulls trials and runs them.

The same loop runs inline, in a local process and in a Ray actor; a `Link` carries its messages.
"""

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Protocol

from automl.core.messages import (
    Assign,
    Assignment,
    Broken,
    Ended,
    Outcome,
    Ready,
    Shutdown,
)
from automl.core.trial import Failure
from automl.worker.failures import failure_of, sendable
from automl.worker.link import Link, Place
from automl.worker.trial import Trial, TrialPaused, TrialStopped


class Session(Protocol):
    """A task that is ready to train, inside one worker."""

    def run(self, trial: Trial) -> None:
        """Train one trial, reporting as it goes; returns when it has run its full length."""
        ...

    def serve(self, worker: "Worker") -> None:
        """Pull trials over the worker and run them until there are no more."""
        ...


class Task(Protocol):
    """What is sent to the workers."""

    def open(self, devices: tuple[str, ...]) -> Session:
        """Called once in each worker.

        Raises:
            AutoMLError: it cannot be trained at all (import fails, data are bad); the search ends with that.
        """
        ...


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


class OneByOne:
    """A session that trains one trial at a time."""

    def run(self, trial: Trial) -> None:
        """Train one trial, reporting as it goes; returns when it has run its full length."""
        raise NotImplementedError

    def serve(self, worker: Worker) -> None:
        worker.one_by_one(self)


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
