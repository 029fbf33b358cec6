"""Leaders that noise may have chosen are tried on further seeds, and a config counts by the mean of its seeds."""

import pytest
from automl_strategies.wrappers.replicates import Replicates

from automl.core.history import History
from automl.core.space import Config, Float, Space
from automl.core.trial import Failure, Plan, State
from automl.errors import SpecError
from automl.evaluation.candidates import candidates


def history(losses: dict[float, list[float]], plan: Plan | None = None) -> History:
    """Trials of full length: {x: the losses of its seeds}."""
    found = History(Space.of({"x": Float(0, 1)}), plan=plan or Plan(trials=20))
    for x, own in losses.items():
        for loss in own:
            number = found.begin({"x": x}).number
            found.point(number, 1, loss)
            found.end(number, State.DONE)
    return found


def repeats(found: History, n: int = 1, **options: float) -> list[Config]:
    return Replicates("random", **{"after": 0.0, "share": 1.0, **options}).repeats(found, n)  # type: ignore[arg-type]


FIVE = {0.1: [1.0], 0.2: [1.1], 0.3: [2.0], 0.4: [3.0], 0.5: [4.0]}


def test_the_leader_is_tried_again_first_to_learn_the_noise() -> None:
    assert repeats(history(FIVE), 3) == [{"x": 0.1}]
    assert repeats(history({x: own for x, own in FIVE.items() if x < 0.5})) == []  # too few


def test_not_while_that_is_on_its_way() -> None:
    found = history(FIVE)
    found.begin({"x": 0.1})
    assert repeats(found) == []


def test_rivals_within_the_noise_get_seeds_the_ones_with_the_fewest_first() -> None:
    assert repeats(history({**FIVE, 0.1: [1.0, 1.4]})) == [{"x": 0.2}]  # the leader now, and alone in having one seed
    assert repeats(history({**FIVE, 0.1: [1.0, 1.4], 0.2: [1.1, 1.2]}), 2) == [{"x": 0.2}, {"x": 0.1}]


def test_a_clear_leader_gets_none_and_without_noise_nobody_does() -> None:
    assert repeats(history({**FIVE, 0.1: [0.1, 0.11]})) == []
    assert repeats(history({**FIVE, 0.1: [1.0, 1.0]})) == []


def test_limits() -> None:
    noisy = {**FIVE, 0.1: [1.0, 1.4]}
    assert repeats(history(noisy), share=0.1) == []
    assert repeats(history(noisy), after=0.75) == []
    assert repeats(history(noisy, Plan(steps=6)), after=0.75) == [{"x": 0.2}]
    assert repeats(history({**FIVE, 0.1: [1.0, 1.4], 0.2: [1.1, 1.3]}), most=2) == []
    with pytest.raises(SpecError, match="most >= 2"):
        Replicates("random", most=1)


def test_failures_count_for_nothing_and_the_inner_strategy_fills_the_rest() -> None:
    found = history({**FIVE, 0.1: [1.0, 1.4]})
    found.end(found.begin({"x": 0.2}).number, State.FAILED, failure=Failure("nan", "nan"))
    configs = Replicates("random", after=0.0, share=1.0).suggest(found, 3)
    assert len(configs) == 3
    assert configs[1:] == [{"x": 0.2}, {"x": 0.1}]
    assert configs[0] == Replicates("random", after=1.0).suggest(found, 1)[0]  # the same random numbers


def test_finalists_are_chosen_by_the_mean_of_a_configs_seeds() -> None:
    found = history({0.1: [1.0, 3.0], 0.2: [1.5], 0.3: [1.6, 1.7]})
    assert [t.config["x"] for t in candidates(found, 3)] == [0.2, 0.3, 0.1]
    assert candidates(found, 3)[1].loss == 1.6  # its better trial stands for it
