"""Every strategy keeps to a space that was narrowed while the search ran, and learns from what lies outside."""

import warnings

import pytest

import automl
from automl.core import plugins
from automl.core.history import History
from automl.core.live import edits
from automl.core.space import Space
from automl.core.trial import State

SPACE = Space.of(
    {
        "lr": automl.Float(1e-4, 1.0, log=True),
        "opt": ["adam", "sgd", "lion"],
        "momentum": automl.Float(0, 0.9, when={"opt": "sgd"}),
        "width": automl.Choice((16, 32, 64, 128), ordered=True),
        "layers": automl.Int(1, 9),
    }
)
NAMES = [name for name in plugins.names("strategies") if name not in ("constrained", "grid")]


@pytest.mark.parametrize("name", NAMES)
def test_suggestions_lie_in_the_narrowed_space(name: str) -> None:
    history = History(SPACE, seed=4)
    for _ in range(30):
        trial = history.begin(SPACE.sample(history.rng()))
        history.point(trial.number, 1, float(trial.config["layers"]) + float(trial.config["lr"]))  # type: ignore[arg-type]
        history.end(trial.number, State.DONE)
    for name_of, to in (("lr", [1e-3, 1e-2]), ("opt", ["adam"]), ("width", [32, 64]), ("layers", [3, 5])):
        edits.apply(history, {"kind": "narrow", "name": name_of, "to": to})
    strategy = plugins.make("strategies", name)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        configs = [config for _ in range(2) for config in strategy.suggest(history, 3)]
    assert configs
    for config in configs:
        assert history.space.contains(config), config
