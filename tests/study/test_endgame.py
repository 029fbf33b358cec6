"""The end of a budget: which trials go on when it is too small for all, and how many may still begin."""

import math

import pytest

from automl.core.history import History
from automl.core.messages import Measured
from automl.core.space import Space
from automl.core.stopper import CONTINUE, Kind, Verdict
from automl.core.trial import Plan
from automl.study.budget import Budget
from automl.study.endgame import LEFT_FOR_OTHERS, SAFETY, Endgame
from automl.study.trials import OUT_OF_BUDGET

PAUSE = Verdict(Kind.PAUSE, "rank 2 of 2")


class Clock:
    """Seconds that a test sets."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def point(trial: int, step: int, horizon: int | None = None) -> Measured:
    return Measured(trial, 1, step, {"loss": 1.0}, horizon)


def endgame(clock: Clock, *steps: int, **plan: float) -> Endgame:
    """The end of a study whose trials run and have reported so many steps; a full trial has ten unless `plan` says."""
    import automl

    history = History(Space.of({"x": automl.Float(0, 1)}), plan=Plan(**{"horizon": 10, **plan}))  # type: ignore[arg-type]
    for number, reached in enumerate(steps):
        history.begin({"x": 0.5})
        for step in range(1, reached + 1):
            history.point(number, step, 1.0)
    return Endgame(history, Budget(history, clock, 0.0))


@pytest.mark.parametrize(("total", "led"), [(13, False), (14, True), (15, False)])
def test_the_last_steps_are_kept_for_the_trial_that_is_furthest(total: int, led: bool) -> None:
    """Trials at 5 and 4 of 10 steps: the first needs 5, and the other would take at least one."""
    found = endgame(Clock(), 5, 4, steps=total)
    assert (found.leader() is not None) is led
    if led:
        assert found.last_word(point(0, 5), PAUSE, [0, 1]) == CONTINUE, "the stopper is overruled"
        assert found.last_word(point(1, 4), CONTINUE, [0, 1]) == LEFT_FOR_OTHERS
    else:
        assert found.last_word(point(0, 5), PAUSE, [0, 1]) == PAUSE


def test_the_last_minutes_are_kept_for_the_trial_that_is_furthest() -> None:
    """Five steps of 10 s do not fit into 40 s with two trials side by side; alone they take 30 s."""
    clock = Clock()
    found = endgame(clock, 4, 3, time_s=100)
    found.measured([point(0, 5), point(1, 4)], 10.0)
    for number, step in ((0, 5), (1, 4)):
        found.history.point(number, step, 1.0)
    assert found.leader() is None, "there is time enough"
    clock.now = 60.0
    leader = found.leader()
    assert leader is not None
    assert leader.number == 0
    assert found.last_word(point(1, 4), CONTINUE, [0, 1]) == LEFT_FOR_OTHERS
    assert found.last_word(point(0, 5), CONTINUE, [0, 1]) == CONTINUE
    clock.now = 95.0
    assert found.leader() is None, "not even alone would it end in time"
    found.ended(0)
    clock.now = 60.0
    assert found.last_word(point(0, 5), CONTINUE, [0, 1]) == CONTINUE, "its pace is not known any more"


def test_as_many_trials_begin_as_can_end_in_time() -> None:
    clock = Clock()
    assert endgame(clock, 1, 1).room() == math.inf, "no time budget"
    found = endgame(clock, 1, 1, time_s=100)
    clock.now = 0.1
    assert found.room() == math.inf, "the start was quick"
    clock.now = 10.0
    assert found.room() == 1, "nothing is measured, and the start was slow"
    found.measured([point(0, 2), point(1, 2)], 2.0)
    assert found.room() == int(SAFETY * 90 / 10) - 2, "k trials side by side take k seconds a step; two are running"
    clock.now = 99.0
    assert found.room() == 0
    clock.now = 0.0
    idle = endgame(clock, time_s=100)
    clock.now = 99.0
    idle.latest = found.latest
    assert idle.room() == 1, "at least one, if none is running"


def test_after_the_end_only_a_trial_that_ends_soon_goes_on() -> None:
    clock = Clock()
    found = endgame(clock, 7, time_s=100)  # of the grace time of 10 s, 9 are left below
    found.measured([point(0, 8)], 4.0)
    found.history.point(0, 8, 1.0)
    clock.now = 101.0
    assert found.last_word(point(0, 8), CONTINUE, [0]) == CONTINUE, "two steps of 4 s"
    found.measured([point(0, 9)], 5.0)
    assert found.last_word(point(0, 8), CONTINUE, [0]) == OUT_OF_BUDGET, "two steps of 5 s"


def test_a_step_that_is_longer_than_what_is_left_is_not_begun() -> None:
    clock = Clock()
    found = endgame(clock, 1, time_s=100)
    found.measured([point(0, 2)], 50.0)
    found.history.point(0, 2, 1.0)
    clock.now = 70.0
    assert found.last_word(point(0, 2), CONTINUE, [0]) == OUT_OF_BUDGET
    assert found.last_word(point(0, 2), PAUSE, [0]) == PAUSE
