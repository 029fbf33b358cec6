"""Packs: the ensemble of a search is its winner, is evaluated on the test rows once, and survives kills."""

from pathlib import Path
from typing import Any

import pytest

import automl
from automl import specfile
from automl.bundle.ensemble import Ensemble
from automl.bundle.model import Model
from automl.core.stopper import cut_by_budget
from automl.errors import DataError, SpecError
from automl.evaluation import ensemble_selection
from automl.evaluation import pack as packs
from automl.evaluation.finalists import holdout_of
from automl.study.study import Study
from automl.tasks.builtin import BuiltinTask
from automl.tasks.from_spec import task_of
from automl.view.pages import final

SPEC = """
model: mlp
data: digits
metric: val_accuracy
epochs: 4
patience: 3
prepare: {rows: 300}
space:
  width: {int: [4, 24]}
  lr: {float: [1e-4, 1e-1], log: true}
budget: {trials: 20}
seed: 3
pack: {models: 6, patience: 99}
"""


def spec(folder: Path, **changed: Any) -> Path:
    text = SPEC
    for key, value in changed.items():
        text = "\n".join(f"{key}: {value}" if line.startswith(f"{key}:") else line for line in text.splitlines())
    (folder / "space.yaml").write_text(text)
    return folder / "space.yaml"


def search(file: Path, path: Path, **options: Any) -> Study:
    return automl.search(file, path=path, executor="inline", **options)


def test_the_ensemble_is_the_winner_and_the_best_single_model_stays(tmp_path: Path) -> None:
    file = spec(tmp_path)
    study = search(file, tmp_path / "s")
    verdict = study.verdict
    assert verdict is not None
    assert verdict["pack"]
    found = verdict["ensemble"]
    winner, single = automl.load(tmp_path / "s"), automl.load(tmp_path / "s" / "best")
    assert isinstance(winner, Ensemble)
    assert winner.weights == list(found["weights"].values())
    assert sum(winner.weights) <= 6
    best = study.history.ranked(1)[0]
    assert verdict["winner"] == best.number
    assert isinstance(single, Model)
    assert single.config == best.config
    assert best.loss is not None
    assert found["val"] >= -best.loss
    task = task_of(specfile.read(file))
    assert isinstance(task, BuiltinTask)
    holdout = holdout_of(task)
    members = {name: tmp_path / "s" / "ensemble" / name for name in found["weights"]}
    outputs = ensemble_selection.scored(holdout, members, found["weights"], "test")
    assert verdict["test"]["value"] == outputs.value
    again = ensemble_selection.scored(holdout, members, found["weights"], "val")
    assert found["val"] == pytest.approx(again.value)
    assert winner.metrics["test_accuracy"] == outputs.value  # those of all together are in its manifest and card
    assert winner.metrics["val_accuracy"] == found["val"]
    assert winner.manifest["intervals"] == {"test_accuracy": verdict["test"]["interval"]}
    assert "test rows, which were used neither" in (tmp_path / "s" / "ensemble" / "README.md").read_text()
    low, high = verdict["test"]["interval"]
    assert low < outputs.value < high
    assert (verdict["looks"], verdict["test"]["rows"]) == (1, len(outputs))
    assert not (tmp_path / "s" / "finalists").exists()
    shown = final.final(study)
    assert f"ensemble of {found['models']} of 20 models (in ensemble/)" in shown
    assert "evaluated once" in shown
    assert "fresh seed" not in shown
    assert final.document(study)["pack"]


def test_it_ends_where_the_ensemble_no_longer_gains(tmp_path: Path) -> None:
    study = search(spec(tmp_path, pack="{patience: 1}", budget="{trials: 200}"), tmp_path / "s")
    found = study.facts["pack"]
    assert len(study.history) < 200
    assert found[-1]["trials"] - found[-2]["trials"] == packs.EVERY
    assert packs.GAIN * (1 - found[-2]["value"]) > found[-1]["value"] - found[-2]["value"]
    cut = [t for t in study.history.stopped if cut_by_budget(t)]
    assert all("have not made the ensemble better" in t.reason for t in cut)


def test_trials_that_the_budget_ends_are_members_too(tmp_path: Path) -> None:
    study = search(spec(tmp_path, epochs="50", patience="49", budget="{epochs: 90}"), tmp_path / "s")
    assert not study.history.done
    assert study.history.steps_spent <= 90
    cut = [t.number for t in study.history.stopped if cut_by_budget(t) and t.curve]
    assert study.verdict is not None
    members = study.verdict["ensemble"]["weights"]
    assert {int(name[1:]) for name in members} <= set(cut)
    assert study.verdict["ensemble"]["among"] == len(cut)
    assert (tmp_path / "s" / "best" / "manifest.json").is_file()


class Killed(BaseException):
    pass


def test_killed_and_resumed_it_is_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = spec(tmp_path)
    whole = search(file, tmp_path / "whole")
    ended = packs.Pack.trial_ended

    def dies(self: packs.Pack, study: Study, record: Any) -> None:
        if study.history.count(record.state) == packs.EVERY:  # the ensemble is not chosen any more
            raise Killed
        ended(self, study, record)

    monkeypatch.setattr(packs.Pack, "trial_ended", dies)
    with pytest.raises(Killed):
        search(file, tmp_path / "s")
    monkeypatch.setattr(packs.Pack, "trial_ended", ended)
    resumed = automl.resume(tmp_path / "s")
    assert resumed.facts["pack"] == whole.facts["pack"]
    assert resumed.verdict is not None
    assert whole.verdict is not None
    assert dict(resumed.verdict) == dict(whole.verdict)
    again = automl.resume(tmp_path / "s")
    assert again.verdict == resumed.verdict
    assert again.verdict is not None
    assert again.verdict["looks"] == 1


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("ensemble: 4", "a pack is an ensemble already"),
        ("refit: train+val", "a pack is not trained again"),
        ("objectives: [val_accuracy, parameters]", "a pack is chosen by one metric"),
        ("finalists: {top: 2}", "a pack has no finalists"),
    ],
)
def test_what_does_not_go_together_is_said(tmp_path: Path, line: str, said: str) -> None:
    file = spec(tmp_path)
    file.write_text(f"{file.read_text()}\n{line}\n")
    with pytest.raises(SpecError, match=said):
        specfile.read(file)


def test_a_pack_draws_at_random_and_stops_no_trial_unless_told_otherwise(tmp_path: Path) -> None:
    read = specfile.read(spec(tmp_path, pack="true"))
    assert (read.strategy["name"], read.stopper["name"], read.finalists) == ("random", "none", None)
    assert read.pack == {"models": 32, "patience": 40}
    with pytest.raises(SpecError, match=r"true or \{models: 32"):
        specfile.read(spec(tmp_path, pack="many"))


def test_the_rows_are_loaded_while_trials_train_so_that_no_time_is_kept_for_it(tmp_path: Path) -> None:
    task = task_of(specfile.read(spec(tmp_path)))
    assert isinstance(task, BuiltinTask)
    passed = iter(range(100))
    study = Study({"lr": [0.1, 0.2]}, metric="val_accuracy", time_s=100, clock=lambda: 10.0 * next(passed))
    pack = packs.Pack(study, task)
    pack.begin()
    assert study.budget.kept_s() == packs.KEPT_SHARE * 100
    study.ask(1)  # begins seconds after the study, while which workers have loaded the data
    assert study.history.trials[0].started_s >= 10
    assert study.budget.kept_s() > packs.KEPT_SHARE * 100 + 5
    assert pack._rows() is pack._rows()  # waits for the thread
    study.ask(1)
    assert study.budget.kept_s() < packs.KEPT_SHARE * 100 + 1


def test_rows_that_cannot_be_loaded_are_told_where_they_are_needed(tmp_path: Path) -> None:
    file = spec(tmp_path, data="t.csv\ntarget: y")
    (tmp_path / "t.csv").write_text("x,y\n1,a\n2,b\n")
    task = task_of(specfile.read(file))
    assert isinstance(task, BuiltinTask)
    (tmp_path / "t.csv").unlink()
    pack = packs.Pack(Study({"lr": [0.1]}, metric="val_accuracy", time_s=100), task)
    pack._load_in_the_meantime()
    with pytest.raises(DataError):
        pack._rows()
