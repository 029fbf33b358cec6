"""The order that models learn from: only losses at equal steps are compared."""

import pytest
from automl_strategies.surrogates.ranking import rank_trials

from automl.core.history import History
from automl.core.space import Float, Space
from automl.core.trial import State

SPACE = Space.of({"x": Float(0, 1)})


def history(*trials: tuple[list[float], State]) -> History:
    """One trial for each (losses after step 1, 2, ..., state)."""
    made = History(SPACE)
    for losses, state in trials:
        number = made.begin({"x": 0.5}).number
        for step, loss in enumerate(losses, 1):
            made.point(number, step, loss)
        if state is State.PAUSED:
            made.pause(number)
        else:
            made.end(number, state)
    return made


def order(*trials: tuple[list[float], State]) -> list[int]:
    return [t.number for t in rank_trials(history(*trials))]


def test_full_trials_are_ordered_by_their_loss() -> None:
    assert order(([3.0], State.DONE), ([9.0, 1.0], State.DONE), ([2.0], State.DONE)) == [1, 2, 0]


def test_honest_cuts_order_by_how_far_a_trial_got() -> None:
    cut = ([5.0], State.STOPPED), ([4.0], State.STOPPED), ([3.0, 2.0], State.PAUSED), ([2.0, 1.5, 1.0], State.DONE)
    assert order(*cut) == [3, 2, 1, 0]


def test_a_later_rung_reorders_only_those_that_got_there() -> None:
    assert order(([1.0, 9.0], State.STOPPED), ([2.0, 3.0, 2.0], State.DONE), ([4.0], State.STOPPED)) == [1, 0, 2]


@pytest.mark.parametrize("state", [State.PAUSED, State.STOPPED])
def test_a_pilot_that_was_bad_does_not_count_as_good_for_having_got_far(state: State) -> None:
    pilot = ([9.0, 8.0], state)
    good = [([1.0 + k], State.STOPPED) for k in range(3)]
    assert order(pilot, *good) == [1, 2, 3, 0]


def test_trials_that_said_nothing_have_no_place() -> None:
    assert order(([], State.STOPPED), ([1.0], State.STOPPED), ([], State.FAILED)) == [1]


def test_many_different_steps_are_thinned_out() -> None:
    falling = [([10.0 / s + k for s in range(1, 2 + k)], State.STOPPED) for k in range(40)]
    found = order(*falling)
    assert sorted(found) == list(range(40))
    assert found[0] == 0
