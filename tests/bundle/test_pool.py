"""The pool an ensemble is chosen from: models and outputs of the best trials, whatever happens in between."""

from pathlib import Path

import numpy as np
import pytest
import torch

import automl
from automl.api import search
from automl.bundle import ensemble
from automl.evaluation.holdout import Holdout
from automl.study import winner
from automl.study.reader import StudyView
from automl.study.study import Study
from automl.tasks.described import DescribedTask
from automl.tasks.from_spec import task_of

SPEC = """
model: mlp
data: iris
metric: val_log_loss
epochs: 3
space:
  width: {int: [4, 16]}
  lr: {float: [1e-3, 1e-1], log: true}
  optimizer: OPTIMIZERS
stopper: none
strategy: random
budget: {trials: 9}
seed: 2
ensemble: 4
"""


def spec(tmp_path: Path, optimizers: str = "adamw", more: str = "") -> Path:
    (tmp_path / "space.yaml").write_text(SPEC.replace("OPTIMIZERS", optimizers) + more)
    return tmp_path / "space.yaml"


def kept(study: Path) -> list[int]:
    return sorted(int(path.parent.name) for path in study.glob("trials/*/bundle"))


def holdout(file: Path) -> Holdout:
    from automl.specfile import read

    task = task_of(read(file))
    assert isinstance(task, DescribedTask)
    return Holdout.of(task)


@pytest.mark.parametrize("optimizers", ["adamw", "{choice: [adamw, muon]}"])  # lanes side by side, and one by one
def test_the_best_trials_keep_their_models_and_outputs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, optimizers: str
) -> None:
    monkeypatch.setattr(search, "POOL", 4)
    study = automl.search(spec(tmp_path, optimizers), path=tmp_path / "s", executor="inline")
    best = [t.number for t in sorted(study.history.done, key=lambda t: (t.loss, t.number))[:4]]
    assert kept(tmp_path / "s") == sorted(best)
    known = holdout(tmp_path / "space.yaml")
    for number in best:
        path = tmp_path / "s" / "trials" / f"{number:05d}" / "bundle"
        found = ensemble.stored(path, len(known.prepared.val))
        assert found is not None
        assert torch.allclose(found, known.outputs(path, "val"), atol=1e-5)
        assert known.sample(path, "val").value == pytest.approx(study.history.trials[number].loss, rel=1e-3)
    assert study.verdict is not None
    told = study.verdict["ensemble"]
    assert told["among"] == 4 + 15
    assert set(told["weights"]) <= {*(f"t{n:04d}" for n in best)} | {
        f"t{f['trial']:04d}-seed{k}" for f in study.verdict["finalists"] for k in (1, 2, 3)
    }
    assert 0 <= told["sure"] <= 1
    assert len(automl.load(tmp_path / "s" / "ensemble").models) == told["models"]  # type: ignore[union-attr]


def test_without_an_ensemble_only_the_best_model_is_kept(tmp_path: Path) -> None:
    file = spec(tmp_path)
    file.write_text(file.read_text().replace("ensemble: 4", ""))
    automl.search(file, path=tmp_path / "s", executor="inline")
    assert kept(tmp_path / "s") == []
    assert not list((tmp_path / "s").glob("**/outputs.npy"))


def test_an_ensemble_without_finalists_is_left_out_and_said_so(tmp_path: Path) -> None:
    study = automl.search(spec(tmp_path), path=tmp_path / "s", executor="inline", finalists=None)
    assert kept(tmp_path / "s") == []
    assert any(note.startswith("ensemble: left out") for note in study.notes)


class Killed(BaseException):
    pass


def test_killed_and_resumed_it_has_the_same_pool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search, "POOL", 4)
    file, path = spec(tmp_path), tmp_path / "s"
    whole = automl.search(file, path=tmp_path / "whole", executor="inline")
    thin, store = winner._thin, ensemble.store

    def kill_when_thinning(study: Study, ended: int) -> None:
        if ended == 5:
            raise Killed
        thin(study, ended)

    def kill_when_storing(folder: Path, outputs: torch.Tensor) -> None:
        store(folder, outputs)
        raise Killed

    for place, name, kill in ((winner, "_thin", kill_when_thinning), (ensemble, "store", kill_when_storing)):
        with monkeypatch.context() as patch:
            patch.setattr(place, name, kill)
            with pytest.raises(Killed):
                automl.search(file, path=path, executor="inline")
    study = automl.search(file, path=path, executor="inline")
    assert kept(path) == kept(tmp_path / "whole")
    assert study.verdict is not None
    assert whole.verdict is not None
    assert study.verdict["ensemble"] == whole.verdict["ensemble"]
    more = automl.resume(path, trials="+6")
    best = [t.number for t in sorted(more.history.done, key=lambda t: (t.loss, t.number))[:4]]
    assert kept(path) == sorted(best)
    view = StudyView(path)
    assert view.verdict is not None
    view.close()


def test_the_pool_has_a_largest_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(winner, "POOL_BYTES", 60_000)
    study = automl.search(spec(tmp_path), path=tmp_path / "s", executor="inline")
    numbers = kept(tmp_path / "s")
    sizes = sum(f.stat().st_size for n in numbers for f in (tmp_path / "s" / "trials" / f"{n:05d}").glob("**/*.*"))
    assert 0 < len(numbers) < 9
    assert sizes <= 60_000
    assert numbers == sorted(t.number for t in study.ranked(9) if t.number in numbers)
    assert study.ranked(1)[0].number in numbers


def test_outputs_of_another_split_are_not_taken(tmp_path: Path) -> None:
    ensemble.store(tmp_path, torch.zeros(5, 2))
    assert ensemble.stored(tmp_path / "bundle", 6) is None
    assert ensemble.stored(tmp_path / "elsewhere" / "bundle", 5) is None
    found = ensemble.stored(tmp_path / "bundle", 5)
    assert found is not None
    assert np.array_equal(found.numpy(), np.zeros((5, 2)))
    (tmp_path / ensemble.OUTPUTS).write_bytes(b"half")
    assert ensemble.stored(tmp_path / "bundle", 5) is None
