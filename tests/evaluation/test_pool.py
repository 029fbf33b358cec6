"""The pool an ensemble is chosen from: models and outputs of the best trials, whatever happens in between."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

import automl
from automl import specfile
from automl.bundle import outputs
from automl.core.trial import TrialRecord
from automl.driver.driver import Driver
from automl.evaluation import finalists
from automl.evaluation.candidates import FinalistOptions
from automl.executors.inline import Inline
from automl.study import paths, winner
from automl.study.study import Study
from automl.tasks.builtin import BuiltinTask
from automl.tasks.from_spec import task_of

POOL = 4
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


def spec(tmp_path: Path, optimizers: str = "adamw") -> Path:
    (tmp_path / "space.yaml").write_text(SPEC.replace("OPTIMIZERS", optimizers))
    return tmp_path / "space.yaml"


def task(file: Path) -> BuiltinTask:
    found = task_of(specfile.read(file))
    assert isinstance(found, BuiltinTask)
    return found


def search(
    file: Path, path: Path, keep_best: Callable[[Study, TrialRecord], None] = winner.keep_best, trials: int = 9
) -> Study:
    """What `automl.search` does, with a pool of `POOL` trials."""
    read = specfile.read(file)
    with Study(read.space, metric=read.metric, strategy="random", trials=trials, seed=2, path=path, pool=POOL) as study:
        winner.recover(study)
        Driver(study, task(file), Inline(), 1, keep_files=keep_best).run()
        finalists.run(study, task(file), Inline, 1, FinalistOptions(ensemble=4))
    return study


def kept(study: Path) -> list[int]:
    return sorted(int(path.parent.name) for path in study.glob("trials/*/bundle"))


def best(study: Study) -> list[int]:
    return sorted(t.number for t in sorted(study.history.done, key=lambda t: (t.loss, t.number))[:POOL])


@pytest.mark.parametrize("optimizers", ["adamw", "{choice: [adamw, muon]}"])  # lanes side by side, and one by one
def test_the_best_trials_keep_their_models_and_outputs(tmp_path: Path, optimizers: str) -> None:
    file = spec(tmp_path, optimizers)
    study = search(file, tmp_path / "s")
    assert kept(tmp_path / "s") == best(study)
    holdout = finalists.holdout_of(task(file))
    for number in best(study):
        bundle = paths.bundle(tmp_path / "s", number)
        stored = outputs.stored(bundle.parent / paths.OUTPUTS, len(holdout.prepared.val))
        assert stored is not None
        assert torch.allclose(stored, holdout.outputs(bundle, "val"), atol=1e-5)
        assert holdout.sample(bundle, "val").value == pytest.approx(study.history.trials[number].loss, rel=1e-3)
    assert study.verdict is not None
    report = study.verdict["ensemble"]
    assert report["among"] == POOL + 15
    assert set(report["weights"]) <= {*(f"t{n:04d}" for n in best(study))} | {
        f"t{f['trial']:04d}-seed{k}" for f in study.verdict["finalists"] for k in (1, 2, 3)
    }
    assert 0 <= report["sure"] <= 1
    assert len(automl.load(tmp_path / "s" / "ensemble").models) == report["models"]


def test_a_spec_with_an_ensemble_has_a_pool(tmp_path: Path) -> None:
    study = automl.search(spec(tmp_path), path=tmp_path / "s", executor="inline", finalists={"top": 1, "seeds": 1})
    assert len(kept(tmp_path / "s")) == 9 <= winner.POOL
    assert study.verdict is not None
    assert study.verdict["ensemble"]["among"] == 10


def test_without_an_ensemble_only_the_best_model_is_kept(tmp_path: Path) -> None:
    file = spec(tmp_path)
    file.write_text(file.read_text().replace("ensemble: 4", ""))
    automl.search(file, path=tmp_path / "s", executor="inline", finalists={"top": 1, "seeds": 1})
    assert kept(tmp_path / "s") == []
    assert not list((tmp_path / "s").glob("**/outputs.npy"))


def test_an_ensemble_without_finalists_is_left_out_and_said_so(tmp_path: Path) -> None:
    study = automl.search(spec(tmp_path), path=tmp_path / "s", executor="inline", finalists=None)
    assert kept(tmp_path / "s") == []
    assert any(note.startswith("ensemble: left out") for note in study.notes)


class Killed(BaseException):
    pass


def test_killed_and_resumed_it_has_the_same_pool(tmp_path: Path) -> None:
    file, path = spec(tmp_path), tmp_path / "s"
    whole = search(file, tmp_path / "whole")

    def killed_at_the_fifth(study: Study, record: TrialRecord) -> None:
        if record.number == 5:
            raise Killed
        winner.keep_best(study, record)

    with pytest.raises(Killed):
        search(file, path, killed_at_the_fifth)
    for number in range(6, 9):  # as a kill leaves it that comes after the outputs and before the model
        outputs.store(paths.trial(path, number) / paths.OUTPUTS, torch.full((30, 3), 9.0))
    study = search(file, path)
    assert kept(path) == kept(tmp_path / "whole")
    assert study.verdict is not None
    assert whole.verdict is not None
    assert study.verdict["ensemble"] == whole.verdict["ensemble"]
    more = search(file, path, trials=15)
    assert kept(path) == best(more)


def test_the_pool_has_a_largest_size(tmp_path: Path) -> None:
    study = search(spec(tmp_path), tmp_path / "s", lambda study, record: winner.keep_best(study, record, room=16_000))
    numbers = kept(tmp_path / "s")
    sizes = sum(f.stat().st_size for n in numbers for f in paths.trial(tmp_path / "s", n).glob("**/*.*"))
    assert 0 < len(numbers) < POOL
    assert sizes <= 16_000
    assert numbers == sorted(t.number for t in study.ranked(POOL) if t.number in numbers)
    assert study.ranked(1)[0].number in numbers


def test_outputs_of_another_split_are_not_taken(tmp_path: Path) -> None:
    file = tmp_path / "trial" / "outputs.npy"
    outputs.store(file, torch.zeros(5, 2))
    assert outputs.stored(file, 6) is None
    assert outputs.stored(tmp_path / "elsewhere" / "outputs.npy", 5) is None
    stored = outputs.stored(file, 5)
    assert stored is not None
    assert np.array_equal(stored.numpy(), np.zeros((5, 2)))
    file.write_bytes(b"half")
    assert outputs.stored(file, 5) is None
