"""Every strategy that is installed keeps the laws."""

import pytest

from automl.core import plugins
from automl.testing.strategies import StrategyContract

OPTIONS: dict[str, dict[str, object]] = {
    "grid": {"resolution": 9},
    "gp": {"candidates": 64, "climbs": 2},
    "gradient": {"starts": 3, "steps": 8},
    "forest": {"trees": 10, "candidates": 300},
    "skopt": {"candidates": 300, "startup": 5},
    "first": {"strategy": "random"},
    "no_duplicates": {"strategy": "random"},
    "prior": {"strategy": "random"},
    "constrained": {"strategy": "random"},
}


def _contract(name: str) -> type[StrategyContract]:
    strategy = plugins.make("strategies", {"name": name, **OPTIONS.get(name, {})})
    return type(f"Test_{name}", (StrategyContract,), {"strategy": strategy})


for _name in plugins.names("strategies"):
    globals()[f"Test_{_name}"] = _contract(_name)


def test_some_are_installed() -> None:
    assert {"grid", "random"} <= set(plugins.names("strategies"))


def test_each_says_what_it_is_for() -> None:
    for name in plugins.names("strategies"):
        assert len((plugins.load("strategies", name).__doc__ or "").split()) > 5, name


@pytest.mark.parametrize("name", plugins.names("strategies"))
def test_options_are_frozen(name: str) -> None:
    strategy = plugins.make("strategies", {"name": name, **OPTIONS.get(name, {})})
    with pytest.raises(AttributeError):
        strategy.anything = 1
