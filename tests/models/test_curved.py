"""Targets on a curve: learned as logarithms or quantiles, judged and predicted as values."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

import automl
from automl.bundle.model import Model
from automl.data import curves, load
from automl.data.shapes import Inputs, Outputs
from automl.errors import DataError
from automl.fused.engine import Engine
from automl.fused.problem import Entry, Options, Problem
from automl.models import build
from automl.models.answers.curved import Curved

SPEC = """
model: [mlp, trees]
data: t.csv
target: y
metric: val_mae
epochs: 6
space: {width: 16, depth: 1, lr: [0.01], rounds: 40, min_leaf: 5, prepare_target_scale: [standard, log, quantile]}
strategy: grid
stopper: none
budget: {trials: 6}
finalists: none
"""


def frame(n: int = 500) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    table = pd.DataFrame(rng.normal(size=(n, 3)), columns=list("abc"))
    return table.assign(y=np.exp(2 * table.a + 0.3 * rng.normal(size=n)))


@pytest.mark.parametrize("how", ["log", "quantile"])
def test_values_come_back_from_the_curve(how: str) -> None:
    y = frame().y.to_numpy()[:, None]
    center, scale = y.mean(0), y.std(0)
    standard = (y - center) / scale
    curve = curves.fit(how, standard, center, scale)
    assert curve is not None
    z = curves.inside(curve, standard)
    assert abs(float(z.mean())) < 0.05
    assert float(z.std()) == pytest.approx(1, abs=0.05)
    back = Curved(torch.nn.Identity(), curve).eval()(torch.from_numpy(z).float())
    np.testing.assert_allclose(back.numpy(), standard, rtol=1e-3, atol=1e-3 if how == "log" else 0.2)
    wild = Curved(torch.nn.Identity(), curve).eval()(torch.tensor([[-1e9], [1e9]]))
    assert wild.isfinite().all()
    assert float(wild.max()) < 4 * float(standard.max())


def test_training_rows_are_on_the_curve_and_others_are_not() -> None:
    plain, curved = (load(frame(), target="y", prepare={"target_scale": how}) for how in ("standard", "log"))
    assert torch.equal(plain.val.y, curved.val.y)
    assert torch.equal(plain.test.y, curved.test.y)
    assert not torch.allclose(plain.train.y, curved.train.y, atol=0.1)
    assert Outputs.from_json(curved.outputs.to_json()).curve == curved.outputs.curve


@pytest.mark.parametrize(
    ("table", "options", "says"),
    [
        (frame().assign(y=lambda t: np.where(t.y > 1, "a", "b")), {}, "this target has classes"),
        (frame(), {"window": 5}, "a series or a text has none"),
    ],
)
def test_what_has_no_curve_is_told(table: pd.DataFrame, options: dict[str, Any], says: str) -> None:
    with pytest.raises(DataError, match=says):
        load(table, target="y", prepare={"target_scale": "log", **options})


@pytest.mark.parametrize("family", ["mlp", "tabm"])
def test_lanes_of_a_curve_are_as_one_by_one(family: str) -> None:
    data = load(frame(200), target="y", prepare={"target_scale": "quantile"})
    reports = []
    for fuse in ("require", "never"):
        problem = Problem(build(family), data.inputs, data.outputs, "regression", data.train, data.val,
                          data.target_scale, own_factory=False)  # fmt: skip
        engine = Engine(problem, Options(fuse=fuse, dtype=torch.float32))  # type: ignore[arg-type]
        engine.admit([Entry(t, {"width": 8, "lr": 1e-2 / (1 + t)}, t, 2) for t in range(3)])
        engine.run_epoch()
        reports.append(engine.run_epoch().metrics["val_rmse"])
    np.testing.assert_allclose(*reports, rtol=1e-4)


def test_a_plain_stack_on_a_curve_stays_one_by_hand() -> None:
    from automl.fused.modules.swap import operate
    from automl.fused.uniform.stack_builder import build_stack

    curve = curves.fit("log", np.random.default_rng(0).normal(size=(50, 1)), np.zeros(1), np.ones(1))
    module = build("mlp")({"width": 4}, Inputs(3), Outputs(1, "values", curve))
    operate(module)
    rows = {name: value.detach().unsqueeze(0) for name, value in module.named_parameters()}
    assert build_stack(module, rows, rows, {}) is not None


@pytest.mark.slow
def test_a_search_over_curves_judges_values(tmp_path: Path) -> None:
    frame().to_csv(tmp_path / "t.csv", index=False)
    (tmp_path / "space.yaml").write_text(SPEC)
    study = automl.search(tmp_path / "space.yaml", dir=tmp_path / "s", workers=1, executor="inline")
    found = {(t.config["model"], t.config["prepare_target_scale"]): t.loss for t in study.history.done}
    assert len(found) == 6
    assert found["mlp", "log"] < found["mlp", "standard"]  # the noise is that of a logarithm
    model = automl.load(study.path)
    assert isinstance(model, Model)
    table = frame(2000)
    gap = np.abs(model.predict(table.drop(columns="y")) - table.y)
    assert float(gap.mean()) < 0.5 * float(np.abs(table.y - table.y.median()).mean())


def test_summaries_tell_values_and_bear_missing_ones() -> None:
    table = frame().assign(d=np.where(np.arange(500) % 4 == 0, np.nan, 1.0 * np.arange(500)), e=frame().y * 3)
    options = {"impute": "none", "scale": "robust"}
    plain, curved = (
        load(table, target="y", prepare={"target_scale": how, **options}).summary for how in ("standard", "quantile")
    )
    assert plain is not None
    assert curved is not None
    assert curved.baselines["val_mae"] == pytest.approx(plain.baselines["val_mae"], rel=1e-2)
    assert "e" in curved.leaks
    assert "e" in plain.leaks
