"""Whole searches for one model of two targets, on a real table some of whose targets are taken away."""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import automl
from automl.errors import AutoMLError

HOUSES = Path(os.environ.get("AUTOML_DATA", Path(__file__).resolve().parents[3] / "shared" / "data")) / (
    "tables/537_houses.tsv.gz"
)
TARGETS = ["target", "median_income"]


@pytest.fixture(scope="module")
def houses(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if not HOUSES.is_file():
        pytest.skip(f"{HOUSES} is missing; AUTOML_DATA names the folder of the data")
    frame = pd.read_csv(HOUSES, sep="\t").iloc[:900]
    if "median_income" not in frame:
        frame = frame.rename(columns={frame.columns[0]: "median_income"})
    rng = np.random.default_rng(0)
    for name in TARGETS:
        frame.loc[rng.random(len(frame)) < 0.2, name] = np.nan
    file = tmp_path_factory.mktemp("houses") / "houses.csv"
    frame.to_csv(file, index=False)
    return file


def searched(houses: Path, folder: Path, **changes: Any) -> automl.Study:
    spec: dict[str, Any] = {
        "data": str(houses), "target": TARGETS, "model": "mlp", "metric": "val_r2", "epochs": 4, "strategy": "random",
        "stopper": "none", "budget": {"trials": 4}, "finalists": {"top": 1, "seeds": 2}, "seed": 3,
        "space": {"width": 16, "depth": 1, "lr": {"float": [1e-3, 1e-2], "log": True}, "dropout": 0.1}, **changes,
    }  # fmt: skip
    file = folder / "space.yaml"
    folder.mkdir(exist_ok=True)
    file.write_text(json.dumps(spec))
    return automl.search(file, path=folder / "s", executor="inline", workers=1)


@pytest.mark.slow
def test_lanes_learn_several_targets_as_each_trial_does_alone(houses, tmp_path):
    lanes = searched(houses, tmp_path / "lanes", fuse="require")
    alone = searched(houses, tmp_path / "alone", fuse="never")
    for one, other in zip(lanes.history.trials, alone.history.trials, strict=True):
        assert one.config == other.config
        assert one.loss == pytest.approx(other.loss, rel=1e-4)
    assert lanes.verdict is not None
    told = lanes.verdict["test"]["metrics"]
    each = [told[f"test_r2 of {name}"] for name in TARGETS]
    assert told["test_r2"] == pytest.approx(np.mean(each), rel=1e-6)
    rows = pd.read_csv(houses).drop(columns=TARGETS)
    model = automl.load(tmp_path / "lanes" / "s")
    predicted = model.predict(rows)
    assert model.targets == TARGETS
    assert predicted.shape == (900, 2)
    assert np.isfinite(predicted).all()
    with pytest.raises(AutoMLError, match="several targets"):
        model.partial_fit(pd.read_csv(houses))


@pytest.mark.slow
@pytest.mark.parametrize("changes", [{"model": "trees", "space": {"rounds": 8}}, {"split": {"folds": 3, "test": 0.2}}])
def test_trees_and_folds_take_rows_that_lack_a_target(houses, tmp_path, changes):
    study = searched(houses, tmp_path, budget={"trials": 1}, **changes)
    assert study.winner is not None
    assert study.winner.loss is not None
    assert np.isfinite(study.winner.loss)
