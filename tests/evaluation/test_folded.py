"""Searches on folds: scores, saved models, the ensemble and finalists, and what a kill leaves of them."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

import automl
from automl import specfile
from automl.bundle.ensemble import Ensemble
from automl.bundle.io import load_model
from automl.bundle.outputs import stored
from automl.errors import SpecError
from automl.evaluation import pack as packs
from automl.evaluation.finalists import holdout_of
from automl.models.combined.bagged import FOLDS, Bagged
from automl.study import paths
from automl.study.study import Study
from automl.tasks.builtin import BuiltinTask
from automl.tasks.from_spec import task_of

SPEC = """
model: [mlp, trees]
data: table.csv
target: t
metric: val_accuracy
epochs: 3
split: {folds: 3, test: 0.2}
space:
  width: {choice: [6, 9]}
  lr: {float: [1e-3, 1e-1], log: true}
  rounds: 9
  leaves: {int: [3, 9]}
budget: {trials: 9}
seed: 3
"""
PACK = SPEC + "pack: {models: 6, patience: 99}\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(150, 4)), columns=list("abcd"))
    frame["t"] = np.where(frame.a + frame.b**2 + rng.normal(size=150) / 2 > 1, "yes", "no")
    frame.to_csv(tmp_path / "table.csv", index=False)
    return tmp_path


def search(folder: Path, text: str, name: str = "s", **options: Any) -> Study:
    (folder / "space.yaml").write_text(text)
    return automl.search(folder / "space.yaml", path=folder / name, executor="inline", **options)


def test_a_trials_score_is_that_of_rows_its_models_have_not_seen(folder: Path) -> None:
    study = search(folder, PACK)
    task = task_of(specfile.read(folder / "space.yaml"))
    assert isinstance(task, BuiltinTask)
    prepared = task.load()
    assert prepared.folds is not None
    assert study.path is not None
    seen = set()
    for record in study.history.done:
        bundle = paths.bundle(study.path, record.number)
        model = load_model(bundle)
        assert isinstance(model.module, Bagged)
        assert model.config == {**record.config, FOLDS: 3}
        outputs = stored(bundle.parent / paths.OUTPUTS, len(prepared.val))
        assert outputs is not None
        accuracy = float((outputs.argmax(1) == prepared.val.y).double().mean())
        assert record.loss == pytest.approx(-accuracy, abs=1e-6)
        assert torch.equal(holdout_of(task).outputs(bundle, "val"), outputs)
        seen.add(str(record.config["model"]))
    assert seen == {"mlp", "trees"}
    winner, frame = automl.load(study.path), pd.read_csv(folder / "table.csv")
    assert isinstance(winner, Ensemble)
    assert len(winner.predict(frame.drop(columns="t"))) == 150
    assert study.verdict is not None
    assert study.verdict["ensemble"]["val"] >= -(study.history.ranked(1)[0].loss or 0)
    assert study.verdict["test"]["rows"] == len(prepared.test)


class Killed(BaseException):
    pass


def test_killed_and_resumed_it_is_the_same_pack(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = search(folder, PACK, "whole")
    ended = packs.Pack.trial_ended

    def dies(self: packs.Pack, study: Study, record: Any) -> None:
        if study.history.count(record.state) == 5:
            raise Killed
        ended(self, study, record)

    monkeypatch.setattr(packs.Pack, "trial_ended", dies)
    with pytest.raises(Killed):
        search(folder, PACK)
    monkeypatch.setattr(packs.Pack, "trial_ended", ended)
    resumed = automl.resume(folder / "s")
    assert resumed.verdict is not None
    assert whole.verdict is not None
    assert dict(resumed.verdict) == dict(whole.verdict)
    assert [t.loss for t in resumed.history.trials] == [t.loss for t in whole.history.trials]


def test_trials_one_by_one_have_the_same_scores(folder: Path) -> None:
    together = search(folder, PACK, "together")
    alone = search(folder, PACK + "fuse: never\n", "alone")
    assert [t.loss for t in alone.history.trials] == pytest.approx([t.loss for t in together.history.trials])


def test_finalists_are_folded_too_and_a_refit_is_one_model(folder: Path) -> None:
    text = SPEC.replace("budget: {trials: 9}", "budget: {trials: 4}")
    study = search(folder, text + "finalists: {top: 2, seeds: 2}\nrefit: train+val\n")
    assert study.verdict is not None
    assert [f["seeds"] for f in study.verdict["finalists"]] == [2, 2]
    assert study.path is not None
    runs = sorted((study.path / paths.FINALISTS / paths.TRIALS).iterdir())
    assert all(FOLDS in load_model(run / paths.BUNDLE).config for run in runs)
    best = load_model(study.path / paths.BEST)
    assert FOLDS not in best.config
    assert study.verdict["test"]["value"] is not None


@pytest.mark.parametrize(
    ("split", "said"),
    [
        ("{folds: 3, val: 0.2}", "folds take the place of train and val; leave out val"),
        ("{folds: 1}", "folds"),
        ("{train: 0.5, test: 0.1}", "must add up to 1"),
    ],
)
def test_what_a_split_cannot_be(folder: Path, split: str, said: str) -> None:
    with pytest.raises(SpecError, match=said):
        search(folder, PACK.replace("{folds: 3, test: 0.2}", split))
