"""Trials that begin with the weights of an earlier study: in lanes and alone, kept, refused where they do not fit."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

import automl
from automl.errors import SpecError
from automl.study import paths
from automl.study.ledger.ledger import Ledger
from automl.tasks.warm import learned
from automl.tasks.warm.weights import difference

SPEC: dict[str, Any] = {
    "study": "new", "model": "mlp", "data": "digits", "epochs": 1, "metric": "val_accuracy", "executor": "inline",
    "space": {"width": 16, "depth": 1, "weight_decay": {"float": [1e-6, 0.1], "log": True}, "lr": 0.0},
    "budget": {"trials": 3}, "finalists": "none", "stopper": "none",
}  # fmt: skip
"""Nothing is learned at a rate of 0: all that a trial reports is what its first weights are worth."""


@pytest.fixture(scope="module")
def old(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("old")
    search(folder, {"study": "old", "epochs": 3, "space": {**SPEC["space"], "lr": 0.01}, "budget": {"trials": 1}})
    return folder / "studies" / "old"


def search(folder: Path, changes: dict[str, Any], **options: Any) -> automl.Study:
    file = folder / f"{changes.get('study', 'new')}.yaml"
    file.write_text(yaml.safe_dump({**SPEC, **changes}))
    return automl.search(file, dir=folder / "studies", **options)


def begun(old: Path, folder: Path, changes: dict[str, Any] | None = None) -> automl.Study:
    return search(folder, {"warm": {"weights": str(old)}, **(changes or {})})


@pytest.mark.parametrize("fuse", ["require", "never"])
def test_every_trial_begins_with_them_in_lanes_and_alone(old: Path, tmp_path: Path, fuse: str) -> None:
    study = begun(old, tmp_path, {"fuse": fuse})
    found = automl.Study.open(old).best
    assert found is not None
    assert {t.loss for t in study.history.done} == {found.loss}
    assert len(study.history.done) == 3
    score = study.metric.value(found.loss or 0.0)
    assert study.notes[0] == (
        f"warm: every trial begins with the weights of {old} (val_accuracy {score:.4g} there); "
        "it has learned from none of the rows that are held out here"
    )


def test_the_old_folder_may_vanish_and_a_killed_search_goes_on_with_the_same_weights(old: Path, tmp_path: Path) -> None:
    source = tmp_path / "source"
    shutil.copytree(old, source)
    begun(source, tmp_path)
    shutil.rmtree(source)
    study = automl.resume(tmp_path / "studies" / "new", trials="+2")
    assert len({t.loss for t in study.history.done}) == 1
    assert len(study.history.done) == 5
    (tmp_path / "studies" / "new" / paths.WARM / "model.safetensors").unlink()
    with pytest.raises(SpecError, match=r"model\.safetensors is missing"):
        automl.resume(tmp_path / "studies" / "new", trials="+1")


def test_the_weights_of_a_study_cannot_change(old: Path, tmp_path: Path) -> None:
    begun(old, tmp_path)
    path = tmp_path / "studies" / "new"
    with pytest.raises(SpecError, match="and that cannot change; begin another study"):
        search(tmp_path, {}, path=path)
    search(tmp_path, {"study": "plain"})
    with pytest.raises(SpecError, match="the 3 trials of this study began with random ones"):
        search(tmp_path, {"study": "plain", "warm": {"weights": str(old)}}, path=tmp_path / "studies" / "plain")


def test_finalists_begin_with_them_too(old: Path, tmp_path: Path) -> None:
    study = begun(old, tmp_path, {"finalists": {"top": 1, "seeds": 2}})
    assert study.verdict is not None
    values = study.verdict["finalists"][0]["values"]
    assert len(set(values)) == 1  # the same weights on every fresh seed, and nothing is learned
    assert values[0] == study.verdict["finalists"][0]["found"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"space": {**SPEC["space"], "width": [16, 32]}}, r"fit only width: 16, and .* fix it: `width: 16`"),
        (
            {"space": {**SPEC["space"], "width": 32}},
            r"do not fit \(width: 16 there and 32 here\): .* is 16 x 64 there and 32 x 64 here",
        ),
        ({"seed": 7}, r"has learned from \d\d % of the validation rows of this study"),
    ],
)
def test_what_does_not_fit_is_refused(old: Path, tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        begun(old, tmp_path, changes)


def test_other_data_of_another_shape_is_refused(old: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.standard_normal((60, 3)), columns=list("abc"))
    frame["label"] = rng.choice(["x", "y"], 60)
    frame.to_csv(tmp_path / "table.csv", index=False)
    with pytest.raises(SpecError, match=r"do not fit: \S+ is 16 x 64 there and 16 x 3 here"):
        begun(old, tmp_path, {"data": str(tmp_path / "table.csv"), "target": "label"})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": ["mlp", "tabm"]}, "needs one model family"),
        ({"split": {"folds": 3}}, "does not go with folds"),
        ({"parametrization": "mup"}, "does not go with parametrization: mup"),
        ({"warm": {"weights": "studies/none"}}, "studies/none has no saved model"),
        ({"warm": [{"weights": "a"}, {"weights": "b"}]}, "weights are given twice"),
        ({"warm": {"seeds": 2}}, "needs either study or weights"),
        ({"warm": {"study": "a", "trial": 2}}, "give it with weights"),
    ],
)
def test_what_cannot_be_asked_for(old: Path, tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        begun(old, tmp_path, changes)


def test_a_function_is_told_to_load_weights_itself(old: Path) -> None:
    with pytest.raises(SpecError, match="a program of its own loads weights itself"):
        automl.search(
            lambda trial: None, space={"x": automl.Float(0, 1)}, metric="loss", trials=1, warm={"weights": old}
        )


def test_rows_that_an_earlier_model_has_learned_from(tmp_path: Path) -> None:
    frame = pd.DataFrame({"a": np.arange(200.0), "label": ["x", "y"] * 100})
    frame.to_csv(tmp_path / "t.csv", index=False)
    spec = {"data": "t.csv", "target": "label"}
    before, other = learned.rows_of(spec, tmp_path), learned.rows_of({**spec, "seed": 1}, tmp_path)
    assert before is not None
    assert other is not None
    assert learned.shares(before, before, refit=False) == {"validation": 0.0, "test": 0.0}
    expected = float((before.parts[other.parts == 2] == 0).mean())
    assert learned.shares(before, other, refit=False)["test"] == pytest.approx(expected)
    more = float((before.parts[other.parts == 2] <= 1).mean())
    assert learned.shares(before, other, refit=True)["test"] == pytest.approx(more)
    assert learned.rows_of({**spec, "data": "gone.csv"}, tmp_path) is None


def test_the_first_difference_is_told() -> None:
    assert difference({"a": (2,)}, {"a": (2,)}) is None
    assert difference({"a": (2, 3)}, {"a": (2, 4)}) == "a is 2 x 3 there and 2 x 4 here"
    assert difference({}, {"a": (2,)}) == "a is missing there"
    assert difference({}, {"a": (2,)}, frozenset("a")) is None
    assert difference({"a": (2,)}, {}) == "a is missing here"


def test_the_ledger_says_whose_they_are(old: Path, tmp_path: Path) -> None:
    begun(old, tmp_path)
    ledger = Ledger.read_only(tmp_path / "studies" / "new")
    fact = ledger.facts()["weights"]
    ledger.close()
    assert (fact["from"], fact["trial"]) == (str(old), None)
    assert len(fact["sha256"]) == 64
