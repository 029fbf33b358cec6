"""Preparation as part of the space: which options, their names, and that every model is evaluated on its own data."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import automl
from automl import specfile
from automl.data.preparing import options
from automl.errors import SpecError
from automl.tasks.from_spec import task_of
from automl.tasks.recipe import KEPT
from automl.tasks.session import TrainingSession

SPEC = """
model: mlp
data: t.csv
target: y
metric: val_accuracy
epochs: 4
space:
  prepare: {scale: [standard, robust], pca: {choice: [0, 3], ordered: true}, categorical: embed}
  depth: 1
  width: 16
  lr: {float: [1e-3, 3e-2], log: true}
  batch_size: 32
strategy: random
stopper: none
budget: {trials: 6}
finalists: {top: 2, seeds: 1}
ensemble: 3
refit: train+val
seed: 2
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(400, 5)), columns=list("abcde")).assign(f=rng.choice(["u", "v"], 400))
    frame["y"] = np.where(frame.a + frame.b + (frame.f == "u") + 0.3 * rng.normal(size=400) > 0.5, "yes", "no")
    frame.to_csv(tmp_path / "t.csv", index=False)
    (tmp_path / "space.yaml").write_text(SPEC)
    return tmp_path


def test_a_group_called_prepare_has_the_names_of_the_options(folder: Path) -> None:
    read = specfile.read(folder / "space.yaml")
    assert {"prepare_scale", "prepare_pca"} <= set(read.space.params)
    assert read.space.constants["prepare_categorical"] == "embed"
    assert read.space.groups["prepare_pca"] == "prepare"
    again = specfile.from_json(read.to_json(), name="s", folder=folder)
    assert again.space.to_json() == read.space.to_json()
    changed = specfile.read(folder / "space.yaml", overrides={"space.prepare.pca.default": 3})
    assert changed.space.params["prepare_pca"].default == 3
    assert options.chosen({"prepare_pca": 3, "prepare_scale": None, "lr": 1}) == {"pca": 3}


def test_a_training_function_keeps_its_own_names() -> None:
    text = "train: m:f\nmetric: val_loss\nbudget: {trials: 1}\nspace: {prepare: {rows: [1, 2]}, prepare_any: [1, 2]}\n"
    assert set(specfile.parse(text).space.params) == {"rows", "prepare_any"}


@pytest.mark.parametrize(
    ("entry", "message"),
    [("prepare: {scael: [standard]}", "5:19: .*did you mean 'scale'"), ("prepare_rows: [5, 9]", "no option 'rows'"),
     ("prepare: {scale: [standard, big]}", "scale cannot be 'big'; one of standard"),
     ("prepare: {pca: [many, 3]}", "pca must be a number"), ("prepare: {impute: meen}", "impute cannot be 'meen'")],
)  # fmt: skip
def test_what_cannot_be_searched_is_reported(entry: str, message: str) -> None:
    head = "model: mlp\ndata: digits\nmetric: val_loss\nepochs: 1\n"
    with pytest.raises(SpecError, match=message):
        specfile.parse(f"{head}space: {{{entry}, lr: [0.1, 0.2]}}\nbudget: {{trials: 1}}\n")


@pytest.mark.slow
def test_each_model_is_trained_saved_and_evaluated_on_its_own_preparation(folder: Path) -> None:
    study = automl.search(folder / "space.yaml", path=folder / "s", executor="inline", workers=1)
    assert study.counts.done == 6
    seen = {(t.config["prepare_scale"], t.config["prepare_pca"]) for t in study.history.trials}
    assert len(seen) > 2
    assert study.verdict is not None
    assert study.winner is not None
    model = automl.load(study.path)
    assert bool(model.preparation["pca"]) == bool(study.winner.config["prepare_pca"])
    rows = pd.read_csv(folder / "t.csv")
    assert np.mean(model.predict(rows.drop(columns="y")) == rows.y) > 0.75
    assert study.verdict["test"]["value"] > 0.7
    for finalist in study.verdict["finalists"]:
        assert finalist["mean"] == pytest.approx(finalist["values"][0])
    assert (study.path / "ensemble" / "manifest.json").is_file()  # type: ignore[operator]
    together = automl.load(study.path / "ensemble")  # type: ignore[operator]
    assert np.mean(together.predict(rows.drop(columns="y")) == rows.y) > 0.75


def test_few_preparations_are_kept_and_targets_are_the_same(folder: Path) -> None:
    session = task_of(specfile.read(folder / "space.yaml")).open(("cpu",))
    assert isinstance(session, TrainingSession)
    plain = session.data.of({"lr": 0.1})
    assert plain is session.prepared
    first = session.data.of({"prepare_pca": 1})
    assert first.train.x.shape[1] == 1
    assert first is session.data.of({"prepare_pca": 1, "lr": 3.0})
    assert (first.val.y == plain.val.y).all()
    assert (first.test.y == plain.test.y).all()
    others = [session.data.of({"prepare_pca": count}) for count in range(2, 2 + KEPT)]
    assert others == [session.data.of({"prepare_pca": count}) for count in range(2, 2 + KEPT)]
    assert first is not session.data.of({"prepare_pca": 1})


def test_trials_of_one_preparation_train_together_and_score_as_they_do_alone(folder: Path) -> None:
    text = SPEC.replace("finalists: {top: 2, seeds: 1}\nensemble: 3\nrefit: train+val", "finalists: none")
    text = text.replace("trials: 6", "trials: 12").replace("embed", "onehot").replace("epochs: 4", "epochs: 2")
    scores, lanes = [], []
    for fuse in ("require", "never"):
        (folder / "space.yaml").write_text(f"{text}fuse: {fuse}\n")
        study = automl.search(folder / "space.yaml", path=folder / fuse, executor="inline", workers=1)
        assert study.counts.done == 12
        scores.append([(t.config["prepare_pca"], study.reports(t.number)) for t in study.history.trials])
        lanes.append(max(study.attempts(t.number)[-1]["details"]["lanes"] for t in study.history.trials))
    assert scores[0] == scores[1]
    assert lanes[0] > 1
    assert lanes[1] == 1
