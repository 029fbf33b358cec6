"""Every stopper that is installed keeps the laws."""

from automl.core import plugins
from automl.testing.stoppers import StopperContract

MORE = {
    "asha promote": {"name": "asha", "mode": "promote"},
    "halving 3 waves": {"name": "halving", "waves": 3, "eta": 5},
}


def _contract(name: str, described: object) -> type[StopperContract]:
    return type(f"Test_{name}", (StopperContract,), {"stopper": plugins.make("stoppers", described)})


for _name, _described in {**{n: n for n in plugins.names("stoppers")}, **MORE}.items():
    _name = _name.replace(" ", "_")
    globals()[f"Test_{_name}"] = _contract(_name, _described)


def test_all_are_installed() -> None:
    assert {"asha", "halving", "hyperband", "median", "none"} <= set(plugins.names("stoppers"))
