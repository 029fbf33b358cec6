"""A search over families: one leaderboard, the winner as it is, saved without code."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import automl
from automl.bundle import export
from automl.bundle.model import Model

SPEC = """
model: [mlp, trees]
data: t.csv
target: y
metric: val_accuracy
epochs: 3
space:
  architecture: {width: [8, 16], depth: 1, lr: {float: [1.0e-3, 1.0e-2]}}
  trees: {leaves: {int: [4, 31]}, shrinkage: {float: [0.05, 0.5]}, rounds: 12, feature_share: 0.5}
strategy: random
stopper: none
budget: {trials: 6}
finalists: {top: 2, seeds: 1}
ensemble: 4
seed: 1
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(300, 4)), columns=list("abcd")).assign(e=rng.choice(["u", "v", "w"], 300))
    frame["y"] = np.where((frame.a > 0) ^ (frame.e == "u"), "yes", "no")
    frame.loc[::6, "b"] = np.nan
    frame.to_csv(tmp_path / "t.csv", index=False)
    (tmp_path / "space.yaml").write_text(SPEC)
    return tmp_path


@pytest.mark.slow
def test_families_are_searched_together_and_the_best_wins(folder: Path) -> None:
    study = automl.search(folder / "space.yaml", dir=folder / "all", workers=1, executor="inline")
    families = {str(t.config["model"]) for t in study.history.done}
    assert families == {"mlp", "trees"}
    assert all(("width" in t.config) == (t.config["model"] == "mlp") for t in study.history.trials)
    assert study.verdict is not None
    assert study.verdict["test"]["value"] > 0.5
    rows = pd.read_csv(folder / "t.csv").drop(columns="y")
    best = automl.load(study.path)
    assert isinstance(best, Model)
    assert best.manifest["model"] == study.history.best.config["model"]
    assert set(best.predict(rows)) <= {"yes", "no"}
    together = automl.load(study.path / "ensemble")
    assert together.predict_proba(rows).shape == (300, 2)


@pytest.mark.slow
def test_saved_trees_need_no_library_of_trees_and_become_onnx(folder: Path) -> None:
    pytest.importorskip("onnxruntime", reason="the extra `onnx` is not installed")
    alone = {"model": "trees", "budget.trials": 1, "finalists": "none"}
    study = automl.search(folder / "space.yaml", dir=folder / "trees", workers=1, executor="inline", overrides=alone)
    assert study.path is not None
    files = {path.name for path in (study.path / "best").iterdir()}
    assert not [name for name in files if name.endswith((".pkl", ".joblib", ".pt"))]
    model = automl.load(study.path)
    assert isinstance(model, Model)
    assert export.to_onnx(model, folder / "trees.onnx") < 1e-5
    assert (folder / "trees.onnx").stat().st_size > 0
