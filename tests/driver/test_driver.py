"""The driver, message by message: an executor that keeps what it is sent, and no worker at all."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

import automl
from automl.core.messages import (
    Assign,
    Broken,
    Ended,
    Event,
    Lost,
    Measured,
    Order,
    Outcome,
    Ready,
    Reported,
    Shutdown,
    Verdicts,
)
from automl.core.stopper import Kind
from automl.core.trial import Failure
from automl.driver.driver import Driver
from automl.driver.executor import Executor, Handle
from automl.driver.recovery import BREAKER
from automl.errors import EnvironmentProblem, SearchFailed, TaskError
from automl.study.study import Study
from automl.worker.worker import Session, Task


class Nothing(Task):
    """A task that is never opened."""

    def open(self, devices: tuple[str, ...]) -> Session:
        raise NotImplementedError


@dataclass
class Script(Executor):
    """Plays events to the driver; answers are kept."""

    events: list[Event] = field(default_factory=list)
    workers: int = 2
    sent: list[tuple[int, Order]] = field(default_factory=list)
    restarted: list[int] = field(default_factory=list)

    def start(self, task: Task, workers: int, folder: Path | None) -> int:
        return self.workers

    def poll(self, handle: Handle, timeout_s: float) -> None:
        assert self.events, "the script is over, and the search is not"
        handle(self.events.pop(0))

    def send(self, worker: int, order: Order) -> None:
        self.sent.append((worker, order))

    def restart(self, worker: int) -> None:
        self.restarted.append(worker)

    def device(self, worker: int) -> str:
        return f"device{worker}"

    def stop(self, grace_s: float) -> None:
        self.events.clear()


def drive(*events: Event, workers: int = 2, **options: Any) -> tuple[Study, Script]:
    """A search in which these messages arrive."""
    script = Script(list(events), workers)
    study = Study({"x": automl.Float(0, 1)}, **{"metric": "loss", "strategy": "random", "trials": 2, **options})
    Driver(study, Nothing(), script, workers).run()
    study.close()
    return study, script


def report(worker: int, trial: int, step: int = 1, attempt: int = 1, **metrics: object) -> Reported:
    return Reported(worker, (Measured(trial, attempt, step, metrics or {"loss": 1.0}),))


def done(worker: int, trial: int, attempt: int = 1) -> Ended:
    return Ended(worker, trial, attempt, Outcome.FINISHED)


def test_a_search_of_two_trials() -> None:
    study, script = drive(
        Ready(0), Ready(1), report(0, 0), report(1, 1), done(1, 1), Ready(1), done(0, 0), Ready(0),
    )  # fmt: skip
    assert study.counts.done == 2
    assert [type(order) for _, order in script.sent] == [Assign, Assign, Verdicts, Verdicts]
    assert [order.assignments[0].number for _, order in script.sent if isinstance(order, Assign)] == [0, 1]


def test_a_model_is_wanted_if_it_would_be_the_best() -> None:
    _, script = drive(
        *(Ready(0), report(0, 0, loss=2.0), done(0, 0), Ready(0)),
        *(report(0, 1, 1, loss=3.0), report(0, 1, 2, loss=1.0), done(0, 1), Ready(0)),
        workers=1,
    )
    wanted = [order.models_wanted for _, order in script.sent if isinstance(order, Verdicts)]
    assert wanted == [{0}, set(), {1}]


def test_a_report_of_a_trial_that_the_worker_does_not_have_is_answered_with_stop() -> None:
    study, script = drive(Ready(0), report(1, 0), report(0, 0), done(0, 0), Ready(0), trials=1)
    assert [order.kinds for _, order in script.sent if isinstance(order, Verdicts)] == [
        {0: Kind.STOP},
        {0: Kind.CONTINUE},
    ]
    assert study.counts.done == 1


def test_a_trial_that_was_paused_goes_on_elsewhere_only_after_it_was_saved() -> None:
    """Else two workers have it: the second one goes on from an older state, and both write its files."""
    saved = Ended(1, 1, 1, Outcome.PAUSED)
    begun: list[list[int]] = []

    class Watching(Script):
        def poll(self, handle: Handle, timeout_s: float) -> None:
            last = self.events[0]
            super().poll(handle, timeout_s)
            if last in (Ready(0), saved):
                begun.append([a.attempt for _, o in self.sent if isinstance(o, Assign) for a in o.assignments])

    script = Watching([
        Ready(0), Ready(1), report(1, 1, loss=0.1), report(0, 0, loss=0.9), Ended(0, 0, 1, Outcome.PAUSED), Ready(0),
        saved, report(0, 1, 2, attempt=2, loss=0.1), done(0, 1, attempt=2), Ready(0), Ready(1),
    ])  # fmt: skip
    stopper = {"name": "asha", "eta": 2, "mode": "promote"}
    study = Study({"x": automl.Float(0, 1)}, metric="loss", strategy="random", stopper=stopper, trials=2, horizon=2)
    Driver(study, Nothing(), script, 2).run()
    study.close()
    assert begun[:3] == [[1], [1, 1], [1, 1, 2]]
    assert study.counts.done == 1


def test_a_lost_worker_is_replaced_and_its_trial_tried_again() -> None:
    study, script = drive(
        Ready(0), report(0, 0), Lost(0, "signal SIGKILL"), Ready(0), report(0, 0, 2), done(0, 0, 2), Ready(0),
        workers=1, trials=1,
    )  # fmt: skip
    assert script.restarted == [0]
    assert study.counts.done == 1
    assert study.history.trials[0].attempt == 2


def test_a_worker_that_has_no_memory_is_not_replaced_as_long_as_there_are_others() -> None:
    study, script = drive(
        *(Ready(0), Ready(1), report(1, 1), Lost(0, "no memory", "oom"), done(1, 1)),
        *(Ready(1), report(1, 0, attempt=2), done(1, 0, 2), Ready(1)),
    )
    assert script.restarted == []
    assert study.counts.done == 2


def test_a_task_that_cannot_be_opened_ends_the_search() -> None:
    with pytest.raises(TaskError, match="no such module"):
        drive(Broken(0, TaskError("no such module")))


def test_a_full_disk_ends_the_search_and_is_not_the_trials_failure() -> None:
    script = Script([Ready(0), Ended(0, 0, 1, Outcome.FAILED, Failure("disk", "No space left"))], 1)
    study = Study({"x": automl.Float(0, 1)}, metric="loss", strategy="random", trials=2)
    with pytest.raises(EnvironmentProblem, match="disk is full or cannot be written"):
        Driver(study, Nothing(), script).run()
    assert study.counts.failed == 0


def test_nothing_but_failures_end_the_search() -> None:
    failure = Failure("exception", "ValueError: no luck")
    events = [
        event
        for trial in range(BREAKER)
        for event in (Ready(0), Ended(0, trial, 1, Outcome.FAILED, failure))
    ]  # fmt: skip
    with pytest.raises(SearchFailed, match="5 of 5"):
        drive(*events, workers=1, trials=50)


def test_an_error_of_ours_ends_the_search_after_the_worker_has_its_answer() -> None:
    script = Script([Ready(0), report(0, 0, los=1.0)], 1)
    study = Study({"x": automl.Float(0, 1)}, metric="loss", strategy="random", trials=2)
    with pytest.raises(automl.AutoMLError, match="ranks on 'loss', which is missing; reported: 'los'"):
        Driver(study, Nothing(), script).run()
    assert script.sent[-1] == (0, Verdicts({0: Kind.STOP}, frozenset()))


def test_no_worker_gets_trials_when_the_search_ends_with_an_error() -> None:
    script = Script([Ready(0), Ready(1), report(0, 0, los=1.0)], 2)
    study = Study({"x": automl.Float(0, 1)}, metric="loss", strategy="random", trials=9)
    driver = Driver(study, Nothing(), script)
    with pytest.raises(automl.AutoMLError):
        driver.run()
    driver.handle(Ready(0))
    assert script.sent[-1] == (0, Shutdown())
