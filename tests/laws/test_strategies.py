"""Every strategy that is installed keeps the laws."""

from functools import cache

import pytest

from automl.core import plugins
from automl.core.space import Config
from automl.core.strategy import Strategy
from automl.testing.strategies import StrategyContract, suggestions_elsewhere

OPTIONS: dict[str, dict[str, object]] = {
    "grid": {"resolution": 9},
    "gp": {"candidates": 64, "climbs": 2},
    "gradient": {"starts": 3, "steps": 8},
    "forest": {"trees": 10, "candidates": 300},
    "quick_gp": {"candidates": 100},
    "skopt": {"candidates": 100, "startup": 5},
    "first": {"strategy": "random"},
    "no_duplicates": {"strategy": "random"},
    "prior": {"strategy": "random"},
    "replicates": {"strategy": "random", "after": 0.2},
    "constrained": {"strategy": "random"},
}


SLOW = {"skopt"}  # every suggestion fits an ensemble of scikit-learn


def _strategy(name: str) -> Strategy:
    strategy: Strategy = plugins.make("strategies", {"name": name, **OPTIONS.get(name, {})})
    return strategy


@cache
def _answers_elsewhere() -> dict[str, list[list[Config]]]:
    """Of all strategies, from one process."""
    names = plugins.names("strategies")
    return dict(zip(names, suggestions_elsewhere([_strategy(name) for name in names]), strict=True))


def _contract(name: str) -> type[StrategyContract]:
    body = {
        "strategy": _strategy(name),
        "repeats": name == "replicates",
        "resumed_trials": 12 if name in SLOW else 24,
        "answers_elsewhere": lambda self: _answers_elsewhere()[name],
    }
    made = type(f"Test_{name}", (StrategyContract,), body)
    return pytest.mark.slow(made) if name in SLOW else made


for _name in plugins.names("strategies"):
    globals()[f"Test_{_name}"] = _contract(_name)


def test_some_are_installed() -> None:
    assert {"grid", "random"} <= set(plugins.names("strategies"))


def test_each_says_what_it_is_for() -> None:
    for name in plugins.names("strategies"):
        assert len((plugins.load("strategies", name).__doc__ or "").split()) > 5, name


@pytest.mark.parametrize("name", plugins.names("strategies"))
def test_options_are_frozen(name: str) -> None:
    strategy = _strategy(name)
    with pytest.raises(AttributeError):
        strategy.anything = 1
