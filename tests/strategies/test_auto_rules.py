"""Which model the default strategy uses: no cliff at many parameters or many trials."""

from typing import Any

import numpy as np
import pytest
from automl_strategies.auto import Auto
from automl_strategies.gaussian_process import Gp
from automl_strategies.quick_gp import QuickGp
from automl_strategies.tpe import Tpe

import automl
from automl.core.history import History
from automl.core.space import Space
from automl.core.trial import Plan, State


def history(space: dict[str, Any], trials: int, plan: Plan) -> History:
    made = History(Space.of(space), seed=1, plan=plan)
    for k in range(trials):
        trial = made.begin(made.space.sample(made.rng()))
        made.point(trial.number, 1, float(k))
        made.end(trial.number, State.DONE)
    return made


def floats(n: int, **more: Any) -> dict[str, Any]:
    return {f"x{k}": automl.Float(0, 1, **more) for k in range(n)}


BRANCHES = {"kind": [f"k{b}" for b in range(8)]} | {
    f"k{b}x{k}": automl.Float(0, 1, when={"kind": f"k{b}"}) for b in range(8) for k in range(20)
}


@pytest.mark.parametrize(
    ("space", "trials", "plan", "model"),
    [
        (floats(5), 30, Plan(trials=200), Gp),
        (floats(40), 30, Plan(trials=100), Gp),
        (floats(5), 260, Plan(trials=None), QuickGp),
        (floats(5), 120, Plan(trials=1000), QuickGp),
        (floats(5), 90, Plan(trials=1000), Gp),
        (floats(5), 30, Plan(trials=200, workers=64), QuickGp),
        (floats(120), 30, Plan(trials=200), Tpe),
        (BRANCHES, 30, Plan(trials=200), Gp),  # 161 parameters, 21 of them active
    ],
)
def test_the_model(space: dict[str, Any], trials: int, plan: Plan, model: type) -> None:
    made = history(space, trials, plan)
    models = Auto()._models(made)
    assert isinstance(models[0], model)
    assert isinstance(models[-1], Tpe)
    assert ("gp" in Auto().note(made)) is (model is not Tpe)


@pytest.mark.slow
def test_few_parameters_among_many_are_found() -> None:
    """Two of thirty parameters matter; of 50 random configs, the best has 0.003 on average."""
    with automl.Study(floats(30), metric="loss", trials=50, seed=2) as study:
        while (trial := study.ask()) is not None:
            at = np.array([trial["x4"], trial["x26"]], dtype=float)
            study.tell(trial, loss=float(((at - (0.2, 0.8)) ** 2).sum()))
        assert study.best is not None
        assert study.best.loss is not None
        assert study.best.loss < 3e-4
