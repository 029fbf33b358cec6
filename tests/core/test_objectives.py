"""Fronts, hypervolumes, and the order that follows from several objectives and limits."""

from typing import Any

import numpy as np
import pytest

from automl import Float, Space
from automl.core.history import History
from automl.core.objectives.fronts import contributions, front_numbers, hypervolume, knee, scaled
from automl.core.objectives.goals import Objectives
from automl.core.trial import Metric, Plan, State
from automl.errors import SpecError

TWO = [{"name": "a", "direction": "minimize"}, {"name": "b", "direction": "minimize"}]
ACCURACY = ["accuracy", {"name": "size", "direction": "minimize"}]


def slow_fronts(values: np.ndarray) -> list[int]:
    """By the definition: what no other one dominates is the first front; without it, the next one follows."""
    left, found, number = set(range(len(values))), [0] * len(values), 1
    while left:
        front = [
            k for k in left
            if not any((values[j] <= values[k]).all() and (values[j] < values[k]).any() for j in left)
        ]  # fmt: skip
        for k in front:
            found[k] = number
        left -= set(front)
        number += 1
    return found


@pytest.mark.parametrize("objectives", [1, 2, 3, 4])
@pytest.mark.parametrize("digits", [1, 6])
def test_fronts_are_those_of_the_definition(objectives: int, digits: int) -> None:
    values = np.random.default_rng(objectives).random((60, objectives)).round(digits)  # one digit: many equal ones
    assert front_numbers(values).tolist() == slow_fronts(values)


def test_contributions_are_what_the_hypervolume_loses_without_the_point() -> None:
    x = np.sort(np.random.default_rng(0).random(7))
    front = scaled(np.stack([x, (1 - np.sqrt(x))], axis=1))
    corner = np.array([1.1, 1.1])
    lost = [hypervolume(front, corner) - hypervolume(np.delete(front, k, 0), corner) for k in range(len(front))]
    np.testing.assert_allclose(contributions(front), lost, rtol=1e-12)


def test_contributions_to_three_objectives_are_close_to_the_exact_ones() -> None:
    front = np.array([[0.0, 0.5, 1.0], [0.5, 0.0, 0.5], [1.0, 1.0, 0.0]])

    def alone(k: int) -> float:
        """The volume in a fine grid that only point k dominates, as a share of the whole."""
        axis = (np.arange(110) + 0.5) / 100
        grid = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), -1)
        mine = (front[k] <= grid).all(-1)
        others = np.any([(front[j] <= grid).all(-1) for j in range(3) if j != k], axis=0)
        return float((mine & ~others).mean())

    np.testing.assert_allclose(contributions(front), [alone(k) for k in range(3)], atol=0.01)


def test_the_hypervolume_of_a_staircase() -> None:
    assert hypervolume(np.array([[0.0, 2.0], [1.0, 1.0], [5.0, 0.0], [1.5, 1.5]]), np.array([2.0, 3.0])) == 3.0


def test_the_knee_is_where_the_front_bends() -> None:
    assert knee(np.array([[0.0, 1.0], [0.1, 0.2], [0.5, 0.1], [1.0, 0.0]])) == 1
    sizes = np.array([[0.30, 1e2], [0.10, 1e3], [0.05, 1e4], [0.049, 1e6]])  # on a log scale, else the last but one
    assert knee(sizes) == 1


def test_a_trial_that_breaks_a_limit_stands_behind_all_that_keep_it() -> None:
    objectives = Objectives.of([*TWO, {"name": "ms", "at_most": 5}])
    places, fronts = objectives.places([(1, 1, 9.0), (5, 5, 5.0), (4, 6, 1.0), (0, 0, 6.0), (7, 7, 1.0)])
    assert fronts == [0, 1, 1, 0, 2]
    assert sorted(range(5), key=places.__getitem__)[2:] == [4, 3, 0]  # of those that break it, the nearer one first


def test_at_least_is_a_limit_from_below() -> None:
    objectives = Objectives.of(["val_loss", {"name": "recall", "at_least": 0.9}])
    assert (
        objectives.winner([objectives.vector({"val_loss": v, "recall": r}) for v, r in ((0.1, 0.8), (0.2, 0.95))]) == 1
    )
    assert not objectives.plain
    assert not objectives.several


@pytest.mark.parametrize(
    ("choose", "winner"),
    [(None, 1), ("knee", 1), ({"at_most": {"size": 50}}, 2), ({"at_least": {"accuracy": 0.97}}, 0),
     ({"at_most": {"size": 5}}, 3)],
)  # fmt: skip
def test_the_winner_is_the_knee_or_what_was_chosen(choose: Any, winner: int) -> None:
    objectives = Objectives.of(ACCURACY, choose=choose)
    values = [(0.98, 100), (0.95, 55), (0.80, 45), (0.60, 10), (0.5, 90)]
    assert objectives.winner([objectives.vector({"accuracy": a, "size": s}) for a, s in values]) == winner


@pytest.mark.parametrize(
    ("metric", "says"),
    [
        (["a"], "lower or higher"),
        ([{"name": "a", "at_most": 3}], "nothing is optimized"),
        (["loss", "loss"], "given twice"),
        (["loss", {"name": "a", "at_most": "3"}], "a limit is"),
        (["loss", {"name": "a", "at_most": True}], "a limit is"),
        (["loss", {"name": "a", "at_most": 3, "direction": "minimize"}], "a limit is"),
        (["loss", 3], "an entry is a name"),
        ([], "nothing is optimized"),
    ],
)
def test_wrong_objectives_are_told(metric: Any, says: str) -> None:
    with pytest.raises(SpecError, match=says):
        Objectives.of(metric)


@pytest.mark.parametrize("choose", ["best", {"at_most": {"sise": 3}}, {"at_most": 3}, {"below": {"size": 3}}])
def test_a_wrong_choice_is_told(choose: Any) -> None:
    with pytest.raises(SpecError, match="choose is knee"):
        Objectives.of(ACCURACY, choose=choose)


def reported(metric: Any, *vectors: tuple[float, ...], plan: Plan | None = None) -> History:
    """A history of trials that each reported once and ran their full length."""
    history = History(Space.of({"x": Float(0, 1)}), metric=Objectives.of(metric), plan=plan)
    for vector in vectors:
        number = history.begin({"x": 0.5}).number
        history.point(number, 1, vector[0], vector)
        history.end(number, State.DONE)
    return history


def test_the_order_of_a_history_is_the_best_one_then_by_front() -> None:
    history = reported(TWO, (3, 3), (1, 2), (2, 1), (0, 9), (9, 0))
    assert [t.number for t in history.front()] == [3, 1, 2, 4]
    assert history.best is not None
    assert history.best.number == 1
    assert history.ranked()[0].number == 1
    assert history.ranked()[-1].number == 0
    assert history.front_of(0) == 2


def test_a_trial_that_was_stopped_is_on_no_front() -> None:
    history = reported(TWO, (1, 2))
    number = history.begin({"x": 0.1}).number
    history.point(number, 1, 0.0, (0.0, 0.0))
    history.end(number, State.STOPPED)
    assert history.front_of(number) is None
    assert history.ranked()[-1].number == number


def test_places_at_a_step_stand_for_losses() -> None:
    history = reported(TWO, (3, 3), (1, 2), (2, 1))
    at = history.losses_at(1)
    assert at[0] == 2.0
    assert {int(at[1]), int(at[2])} == {1}
    assert history.sorted_at(1) == sorted(at.values())
    assert history.standing(0) == at[0]
    history.point(history.begin({"x": 0.2}).number, 1, 0.5, (0.5, 0.5))
    assert int(history.losses_at(1)[1]) == 2


def test_the_vector_that_counts_is_that_of_the_report_that_counts() -> None:
    metric = [{"name": "a", "direction": "minimize"}, {"name": "b", "direction": "minimize"}]
    for count, vector in (("last", (0.5, 1.0)), ("best", (0.2, 7.0))):
        history = History(Space.of({"x": Float(0, 1)}), metric=Objectives.of(metric, count))
        history.begin({"x": 0.5})
        for step, one in enumerate([(0.9, 9.0), (0.2, 7.0), (0.5, 1.0)], 1):
            history.point(0, step, one[0], one)
        assert history.trials[0].vector == vector


def test_one_metric_stays_one_loss() -> None:
    history = History(Space.of({"x": Float(0, 1)}), metric=Metric("loss"))
    assert history.objectives.plain
    history.point(history.begin({"x": 0.5}).number, 1, 0.25)
    assert history.trials[0].vectors == ()
    assert history.losses_at(1) == {0: 0.25}
