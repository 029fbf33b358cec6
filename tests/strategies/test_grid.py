"""The grid is counted right, walked once, evenly, and taken up again where it was left."""

import itertools
from collections import Counter

import pytest
from automl_strategies.grid_search import Grid

from automl.core.history import History
from automl.core.space import Choice, Float, Int, Space, config_key
from automl.core.trial import Plan, State
from automl.errors import SpecError
from automl.testing.spaces import SPACES

TWO_PARENTS = Space.of(
    {
        "a": [1, 2, 3],
        "b": [True, False],
        "c": Choice(("p", "q"), when={"a": [1, 2], "b": [True]}),
        "d": Float(0, 1, when={"c": ["q"]}),
        "e": Int(1, 3, when={"mode": ["fast"]}),
        "mode": "fast",
    }
)


def by_brute_force(space: Space, resolution: int) -> set[tuple[object, ...]]:
    """All combinations of all parameters, reduced to what is active."""
    grids = {name: p.grid(resolution) for name, p in space.params.items()}
    return {
        config_key(space.build(lambda k, _: values[k]))  # noqa: B023
        for values in itertools.product(*grids.values())
    }


@pytest.mark.parametrize("space", [TWO_PARENTS, SPACES["conditional"], SPACES["tiny"]])
def test_conditional_branches_are_counted_as_brute_force_does(space: Space) -> None:
    grid = Grid(resolution=3)
    points = [config_key(c) for c in grid.points(space)]
    assert len(points) == len(set(points)) == grid.size(space)
    assert set(points) == by_brute_force(space, 3)


def test_a_value_that_only_a_condition_names_is_tried() -> None:
    space = Space.of({"depth": Int(1, 100), "skip": Choice((True, False), when={"depth": [7]})})
    assert {c["skip"] for c in Grid(2).points(space) if "skip" in c} == {True, False}


def test_a_huge_grid_is_not_written_out_and_starts_evenly() -> None:
    space = Space.of({f"x{k}": Float(0, 1) for k in range(40)})
    history = History(space, plan=Plan(trials=50))
    grid = Grid()
    assert grid.size(space) == 5**40
    assert "budget 50" in grid.note(history)
    configs = grid.suggest(history, 50)
    for name in space.names:  # an even spread is 10 each; 50 random draws reach 20 in one of 40 with p = 0.02
        assert max(Counter(c[name] for c in configs).values()) <= 18


@pytest.mark.parametrize(("dimensions", "budget"), [(3, 25), (4, 60), (6, 60)])
def test_marginals_of_the_first_points(dimensions: int, budget: int) -> None:
    space = Space.of({f"x{k}": Float(0, 1) for k in range(dimensions)})
    configs = list(itertools.islice(Grid().points(space), budget))
    for name in space.names:
        counts = Counter(c[name] for c in configs)
        assert len(counts) == 5
        assert max(counts.values()) - min(counts.values()) <= 4


def test_points_that_others_tried_are_not_repeated() -> None:
    space = SPACES["tiny"]
    history = History(space)
    tried = space.sample(history.rng())
    history.end(history.begin(tried, origin="user").number, State.DONE)
    rest = Grid().suggest(history, 10)
    assert len(rest) == 3
    assert tried not in rest
    for config in rest:
        history.begin(config)
    assert Grid().suggest(history, 10) == []


def test_a_grid_that_fits_the_budget_says_so() -> None:
    assert Grid().note(History(SPACES["tiny"], plan=Plan(trials=10))).startswith("grid of 4 points: all are tried")


def test_too_many_branches_are_refused() -> None:
    params = {f"a{k}": list(range(10)) for k in range(6)}
    space = Space.of({**params, "z": Float(0, 1, when={f"a{k}": [1] for k in range(6)})})
    with pytest.raises(SpecError, match="branches"):
        Grid().suggest(History(space), 1)
    with pytest.raises(SpecError, match="resolution"):
        Grid(1)
