"""Virtual time after an interruption and after the loss of a worker: nothing may depend on either."""

from pathlib import Path

import automl
from automl.core.messages import Ended, Measured, Outcome, Ready, Reported
from automl.core.trial import State
from automl.driver.deterministic import VirtualTimeOrder
from automl.study.study import Study


def study(path: Path | None = None) -> Study:
    return Study({"x": automl.Float(0, 1)}, metric="loss", strategy="random", trials=4, deterministic=True, path=path)


def report(order: VirtualTimeOrder, trial: int, step: int, attempt: int = 1) -> list[int]:
    """The trials whose reports are processed when this one arrives."""
    found = []
    for due in order.take(Reported(trial, (Measured(trial, attempt, step, {"loss": 1.0}, 3),))):
        assert isinstance(due, Reported)
        order.study.report_all(due.points)
        found.append(due.points[0].trial)
    return found


def test_the_next_driver_goes_on_at_the_same_virtual_time(tmp_path: Path) -> None:
    with study(tmp_path / "s") as first:
        order = VirtualTimeOrder(first)
        assert order.begin(2) == 2
        assert report(order, 0, 1) == [0]
        assert report(order, 1, 1) == [1]
        assert report(order, 0, 2) == [0]
        assert report(order, 0, 3) == [], "trial 1 is behind"
        before = (order.clock.copy(), order.final.copy(), order.now)
    with study(tmp_path / "s") as second:
        order = VirtualTimeOrder(second)
        assert order.begin(5) == 2, "as many at once as in the first session"
        assert (order.clock, order.final, order.now) == before
        assert [(a.number, a.attempt) for a in order.out] == [(0, 2), (1, 2)]
        assert report(order, 0, 1, attempt=2) == [0], "known already: processed at once, and nothing changes"
        assert order.clock == before[0]


def test_a_lost_trial_begins_again_before_any_other() -> None:
    order = VirtualTimeOrder(study())
    order.begin(2)
    zero, one = order.ask(Ready(0))[0], order.ask(Ready(1))[0]
    assert order.ask(Ready(0)) == []
    assert report(order, 1, 1) == []
    assert order.waits(one.number)
    assert list(order.lost(one, "killed by signal 9", "killed", "")) == []
    assert not order.waits(one.number), "the report of the lost attempt counts no more"
    [again] = order.ask(Ready(1))
    assert (again.number, again.attempt) == (one.number, 2)
    assert list(order.lost(one, "killed by signal 9", "killed", "")) == [], "an attempt is lost once"
    assert order.busy()
    assert zero.number in order.clock


def test_a_trial_that_another_worker_still_saves_waits() -> None:
    """Whoever asks gets the next one; what is begun does not depend on it."""
    order = VirtualTimeOrder(study())
    order.begin(2)
    held = {0}
    order.study.held = held.__contains__
    assert [a.number for a in order.ask(Ready(1))] == [1]
    assert order.ask(Ready(1)) == []
    held.clear()
    assert [a.number for a in order.ask(Ready(1))] == [0]


def test_a_trial_that_was_lost_too_often_fails_in_its_turn() -> None:
    order = VirtualTimeOrder(study())
    order.begin(1)
    [assignment] = order.ask(Ready(0))
    while order.study.may_retry(assignment.number):
        assert list(order.lost(assignment, "killed by signal 9", "killed", "")) == []
        [assignment] = order.ask(Ready(0))
    for event in order.lost(assignment, "killed by signal 9", "killed", ""):
        assert isinstance(event, Ended)
        assert event.outcome is Outcome.FAILED
        assert event.failure is not None
        order.study.fail(event.trial, event.failure)
    assert order.study.history.trials[0].state is State.FAILED
    assert list(order.clock) == [1], "the next trial has begun"


def test_trials_that_ended_take_no_virtual_time_of_the_next_session(tmp_path: Path) -> None:
    with study(tmp_path / "s") as first:
        order = VirtualTimeOrder(first)
        order.begin(1)
        for step in (1, 2, 3):
            assert report(order, 0, step) == [0]
        for event in order.take(Ended(0, 0, 1, Outcome.FINISHED)):
            assert isinstance(event, Ended)
            first.finish(event.trial)
        before = (order.clock.copy(), order.final.copy(), order.now)
        assert list(order.clock) == [1]
    with study(tmp_path / "s") as second:
        order = VirtualTimeOrder(second)
        order.begin(1)
        assert (order.clock, order.final, order.now) == before


def test_advice_without_a_report_passes_at_once() -> None:
    order = VirtualTimeOrder(study())
    order.begin(2)
    advice = Reported(1, ())
    assert list(order.take(advice)) == [advice]
    assert not order.waits(1)
