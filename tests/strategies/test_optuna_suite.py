"""Optuna's own sampler tests, passed by our model-based strategies through `StrategySampler`."""

from collections.abc import Callable

import optuna
import pytest
from automl_strategies.bridges.as_optuna import StrategySampler
from automl_strategies.forest import Forest
from automl_strategies.gaussian_process import Gp
from automl_strategies.genetic import Genetic
from automl_strategies.gradient_ascent import Gradient
from automl_strategies.tpe import Tpe
from optuna.samplers import BaseSampler
from optuna.testing.pytest_samplers import BasicSamplerTestCase, RelativeSamplerTestCase, SingleOnlySamplerTestCase

from automl.core.strategy import Strategy

optuna.logging.set_verbosity(optuna.logging.WARNING)
pytestmark = pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")

STRATEGIES: dict[str, Strategy] = {
    "tpe": Tpe(startup=3),
    "gp": Gp(startup=3, candidates=32, climbs=1),
    "forest": Forest(startup=3, trees=5, candidates=100),
    "genetic": Genetic(population=3),
    "gradient": Gradient(startup=3, starts=2, steps=4),
}


def _suite(name: str, strategy: Strategy) -> type:
    class Suite(BasicSamplerTestCase, RelativeSamplerTestCase, SingleOnlySamplerTestCase):
        @pytest.fixture
        def sampler(self) -> Callable[[], BaseSampler]:
            return lambda: StrategySampler(strategy, seed=0)

    return type(f"Test_{name}", (Suite,), {})


for _name, _strategy in STRATEGIES.items():
    _made = _suite(_name, _strategy)
    globals()[f"Test_{_name}"] = pytest.mark.slow(_made) if _name in ("gp", "gradient") else _made
del _made  # or it would be collected once more


def test_it_optimizes_in_optunas_direction() -> None:
    study = optuna.create_study(direction="maximize", sampler=StrategySampler(Tpe(), seed=2))
    study.optimize(lambda t: -((t.suggest_float("x", -5, 5) - 2) ** 2), n_trials=60)
    assert abs(study.best_params["x"] - 2) < 0.15
