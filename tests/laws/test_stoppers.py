"""Every stopper that is installed keeps the laws."""

from functools import cache
from typing import Any

from automl.core import plugins
from automl.core.stopper import Stopper
from automl.testing.stoppers import StopperContract, decisions_elsewhere

MORE = {
    "asha promote": {"name": "asha", "mode": "promote"},
    "halving 3 waves": {"name": "halving", "waves": 3, "eta": 5},
}


STOPPERS: dict[str, Stopper] = {
    name.replace(" ", "_"): plugins.make("stoppers", described)
    for name, described in {**{n: n for n in plugins.names("stoppers")}, **MORE}.items()
}


@cache
def _decided_elsewhere() -> dict[str, list[Any]]:
    """By all stoppers, in one process."""
    return dict(zip(STOPPERS, decisions_elsewhere(list(STOPPERS.values())), strict=True))


def _contract(name: str) -> type[StopperContract]:
    body = {"stopper": STOPPERS[name], "decided_elsewhere": lambda self: _decided_elsewhere()[name]}
    return type(f"Test_{name}", (StopperContract,), body)


for _name in STOPPERS:
    globals()[f"Test_{_name}"] = _contract(_name)


def test_all_are_installed() -> None:
    assert {"asha", "halving", "hyperband", "median", "none"} <= set(plugins.names("stoppers"))
