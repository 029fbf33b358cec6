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


def test_steps_are_kept_for_one_trial_when_others_begin() -> None:
    """One trial at 4 of 10 steps needs six: so many may begin that each may take a step before it is stopped."""
    found = endgame(Clock(), 4, steps=20)
    assert found.room() == 20 - 4 - 6 - 1 + 1
    found.history.pause(0)
    assert found.room() == 20 - 4 - 6
    assert endgame(Clock(), steps=30).room() == 30 - 10 + 1, "they are what can end"
    assert endgame(Clock(), steps=10).room() == 1
    assert endgame(Clock(), steps=9).room() == math.inf, "none can end"


def test_the_last_trial_that_can_still_end_is_not_stopped() -> None:
    stop = Verdict(Kind.STOP, "rank 2 of 2")
    found = endgame(Clock(), 5, steps=14)
    assert found.last_word(point(0, 5), stop, [0]) == CONTINUE, "no other one has steps enough"
    assert endgame(Clock(), 5, steps=15).last_word(point(0, 5), stop, [0]) == stop, "a new one has"
    assert endgame(Clock(), 5, steps=15, trials=1).last_word(point(0, 5), stop, [0]) == CONTINUE, "none may begin"
    assert endgame(Clock(), 5, 5, steps=19).last_word(point(0, 5), stop, [0]) == stop, "the other one can"


@pytest.mark.parametrize("mode", ["stop", "promote"])
@pytest.mark.parametrize("steps", [27, 40, 90, 200])
def test_asha_ends_with_a_full_trial_however_many_lanes_train_together(mode: str, steps: int) -> None:
    """64 trials report at once, as lanes do, each with another loss; whatever is left over goes to one that can end."""
    import automl
    from automl.study.study import Study

    with Study(
        {"x": automl.Float(0.0, 1.0)},
        metric="loss",
        strategy="random",
        stopper={"name": "asha", "mode": mode},
        steps=steps,
        horizon=27,
    ) as study:
        lanes: dict[int, int] = {}
        for _ in range(400):
            lanes |= {one.number: one.step for one in study.ask(64 - len(lanes))}
            if not lanes:
                break
            lanes = {number: step + 1 for number, step in lanes.items()}
            points = [Measured(n, 0, step, {"loss": float(n * 7919 % 101) + 1 / step}, 27) for n, step in lanes.items()]
            verdicts = study.report_all(points)
            for n, step in list(lanes.items()):
                if verdicts[n].kind is not Kind.CONTINUE or step == 27:
                    del lanes[n]
                    if step == 27:
                        study.finish(n)
        assert study.history.done
        assert study.history.steps_spent <= steps + 1
