"""Models of other data than tables: arrays, images, texts, series, and values instead of classes."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

import automl
from automl.bundle import io
from automl.bundle.ensemble import Ensemble
from automl.data import load
from automl.models.adjusting import SCALE, SHIFT, Adjusted
from automl.models.combined.bagged import FOLDS
from automl.updating.journal import Journal
from automl.updating.options import Options
from automl.updating.place import Place
from automl.updating.update import update
from automl.updating.versions import roll_back
from tests.support.updating import SPEC, flowers, trained


def array(rows: int, seed: int, *, moved: bool) -> tuple[Any, Any]:
    """Three classes, each with a value of its own that is larger; with `moved` it is another one."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 3, rows)
    x = rng.normal(size=(rows, 6)).astype(np.float32)
    x[np.arange(rows), y + 3 * moved] += 3
    return x, y


def sentences(rows: int, seed: int, *, new: bool) -> tuple[Any, Any]:
    rng = np.random.default_rng(seed)
    good = rng.random(rows) < 0.5
    words = {True: ["good", "fine"], False: ["bad", "poor"]}
    texts = [f"{'film' if new else 'book'} is {rng.choice(words[bool(g)])} today" for g in good]
    return np.array(texts, dtype=object), good.astype(int)


def walk(rows: int, start: int, slope: float) -> pd.DataFrame:
    rng = np.random.default_rng(start)
    t = np.arange(start, start + rows)
    days = pd.date_range("2021-01-01", periods=start + rows)[start:].astype(str)
    return pd.DataFrame({"day": days, "load": np.sin(t / 5) * (1 + slope * (t > 600)) * 3 + rng.normal(0, 0.1, rows)})


@pytest.mark.parametrize("how", ["head", "finetune", "retrain"])
def test_arrays(tmp_path: Path, how: str) -> None:
    spec = {"model": "mlp", "metric": "val_accuracy", "epochs": 8}
    model = trained(tmp_path / "m", array(2000, 0, moved=False), spec)
    done = update(model, array(600, 1, moved=True), Options(how=how, old=array(2000, 0, moved=False), lose=0.05))
    tried = done.entry["tries"][0]
    assert tried["new"]["gap"] > 0.1
    assert tried["old"]["rows"] > 400
    assert io.load_model(model).predict(array(10, 3, moved=True)[0]).shape == (10,)


def test_a_new_class_of_images(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)

    def images(rows: int, labels: list[int]) -> tuple[Any, Any]:
        y = rng.choice(labels, rows)
        x = rng.normal(0, 20, (rows, 8, 8)) + 100
        x[np.arange(rows), y] += 100
        return np.clip(x, 0, 255).astype(np.uint8), y

    old = images(900, [0, 1])
    spec = {"model": "convnet", "metric": "val_accuracy", "epochs": 2}
    model = trained(tmp_path / "m", old, spec, {"stages": 1, "width": 8, "lr": 1e-2})
    done = update(model, images(200, [0, 1, 4]), Options(old=old, lose=0.05))
    assert done.promoted == 2
    found = io.load_model(model)
    assert found.classes == [0, 1, 4]
    x, y = images(100, [4])
    assert (found.predict(x) == y).mean() > 0.8


def test_texts(tmp_path: Path) -> None:
    spec = {"model": "lstm", "metric": "val_accuracy", "epochs": 3, "prepare": {"form": "sentences"}}
    config = {"width": 8, "embedding": 8, "lr": 1e-2}
    model = trained(tmp_path / "m", sentences(300, 0, new=False), spec, config)
    done = update(model, sentences(100, 1, new=True), Options(how="head", old=sentences(300, 0, new=False)))
    assert done.entry["tries"][0]["new"]["rows"] == 25
    assert any("not seen in training" in note or "unknown" in note for note in done.notes) or done.notes == []


@pytest.mark.parametrize("how", ["head", "finetune", "retrain"])
def test_series(tmp_path: Path, how: str) -> None:
    prepare, split = {"window": 12, "horizon": 2}, {"time": "day"}
    spec = {"model": "mlp", "metric": "val_rmse", "epochs": 6, "target": "load", "prepare": prepare, "split": split}
    walk(600, 0, 0.0).to_csv(tmp_path / "old.csv", index=False)
    walk(300, 590, 1.5).to_csv(tmp_path / "new.csv", index=False)
    model = trained(tmp_path / "m", tmp_path / "old.csv", spec)
    done = update(model, tmp_path / "new.csv", Options(how=how, old=tmp_path / "old.csv", lose=0.2))
    tried = done.entry["tries"][0]
    assert tried["new"]["metric"] == "rmse"
    assert tried["new"]["challenger"] < tried["new"]["champion"]
    assert io.load_model(model).predict(walk(40, 700, 1.5)).shape == (1, 2)


@pytest.mark.parametrize("how", ["head", "retrain"])
def test_values(tmp_path: Path, how: str) -> None:
    rng = np.random.default_rng(0)

    def prices(rows: int, rate: float) -> pd.DataFrame:
        size = rng.uniform(1, 10, rows) + 5 * (rate > 1)
        return pd.DataFrame({"size": size, "colour": rng.choice(["a", "b"], rows), "price": rate * size * 100})

    old = prices(1500, 1.0)
    spec = {"model": "mlp", "metric": "val_rmse", "epochs": 10, "target": "price"}
    model = trained(tmp_path / "m", old, spec)
    done = update(model, prices(400, 1.3), Options(how=how, old=old, lose=0.9))
    tried = done.entry["tries"][0]
    assert tried["new"]["challenger"] < 0.6 * tried["new"]["champion"]
    assert 50 < tried["new"]["champion"] < 2000  # in the data's own unit


def test_a_calibrated_model_stays_calibrated(tmp_path: Path) -> None:
    old = flowers(3000, 1)
    model = trained(tmp_path / "m", old, {**SPEC, "adjust": "calibrate"})
    found = io.load_model(model)
    weights = {**found.module.state_dict(), SCALE: torch.tensor([0.5]), SHIFT: torch.zeros(2)}
    io.save(model, model="mlp", config=found.config, prepared=load(old, seed=0, target="kind"), state_dict=weights,
            metrics={}, spec=found.manifest["spec"])  # fmt: skip
    done = update(model, flowers(400, 2, bent=0.5, lily=True), Options(how="head", old=old, lose=0.5))
    assert done.promoted == 2
    after = io.load_model(model)
    assert isinstance(after.module, Adjusted)
    assert float(after.module.scale) != 0.5
    assert after.predict_proba(old).shape == (3000, 3)
    assert after.partial_fit(flowers(100, 3, bent=0.5).assign(kind="new")).predict_proba(old).shape == (3000, 4)


@pytest.mark.slow
def test_trees_grow_anew_and_a_pack_gives_way_to_one_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    flowers(1500, 1).to_csv("old.csv", index=False)
    spec = {"study": "pack", "model": "trees", "data": "old.csv", "target": "kind", "metric": "val_accuracy",
            "epochs": 4, "space": {"learning_rate": {"float": [0.05, 0.3]}, "rounds": {"choice": [40]}},
            "budget": {"trials": 3}, "pack": True}  # fmt: skip
    Path("space.yaml").write_text(json.dumps(spec))
    automl.search("space.yaml", executor="inline")
    study = Path("studies/pack")
    assert isinstance(automl.load(study), Ensemble)
    done = update(study, flowers(400, 2, bent=0.5), Options(lose=0.05))
    assert ["trees do not learn further" in (t["error"] or "") for t in done.entry["tries"]] == [True, True, False]
    assert done.promoted == 2
    assert not isinstance(automl.load(study), Ensemble)
    assert automl.load(study).predict(flowers(10, 5)).shape == (10,)
    roll_back(Place.of(study), Journal(Place.of(study)), 1)
    assert isinstance(automl.load(study), Ensemble)


@pytest.mark.parametrize("how", ["finetune", "retrain"])
def test_a_model_for_each_fold(tmp_path: Path, how: str) -> None:
    flowers(300, 0).to_csv(tmp_path / "flowers.csv", index=False)
    (tmp_path / "space.yaml").write_text(
        "model: mlp\ndata: flowers.csv\ntarget: kind\nmetric: val_accuracy\nepochs: 8\nsplit: {folds: 3}\n"
        "space: {width: {choice: [8, 9]}, lr: 0.02, batch_size: 16}\nbudget: {trials: 1}\nfinalists: none\n"
    )
    automl.search(tmp_path / "space.yaml", path=tmp_path / "s", executor="inline")
    before = io.load_model(tmp_path / "s" / "best")
    done = update(tmp_path / "s", flowers(150, 1, bent=0.5), Options(how=how, lose=0.2))
    tried = done.entry["tries"][0]
    assert tried["old"]["rows"] == 75  # those of the last fold
    assert tried["new"]["gap"] > 0.02
    after = io.load_model(tmp_path / "s" / "best")
    assert (FOLDS in before.config, FOLDS in after.config) == (True, how == "finetune")
    assert len(after.predict(flowers(10, 2))) == 10
