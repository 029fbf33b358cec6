"""Trials that end by patience: when, with whose weights, fused and alone, and what the study says of them."""

from dataclasses import replace
from pathlib import Path

import pytest

import automl
from automl import specfile
from automl.core.trial import Metric, State
from automl.study.reader import StudyView
from automl.training.loop.best_epoch import BestEpoch

SPEC = """
model: mlp
data: breast_cancer
metric: val_loss
epochs: 40
patience: 3
space: {{depth: 1, width: 32, lr: {{float: [0.03, 0.1], log: true}}, optimizer: {optimizer}, batch_size: 32}}
stopper: {stopper}
strategy: random
budget: {{trials: 6}}
finalists: none
refit: none
seed: 3
"""


def search(folder: Path, *, fuse: str = "auto", optimizer: str = "adamw", stopper: str = "none") -> automl.Study:
    file = folder / f"{fuse}-{optimizer}-{stopper}.yaml"
    file.write_text(SPEC.format(optimizer=optimizer, stopper=stopper))
    return automl.search(file, path=folder / file.stem, executor="inline", workers=1, overrides={"fuse": fuse})


def best_step(curve: tuple[tuple[int, float], ...]) -> int:
    return min(curve, key=lambda point: (point[1], point[0]))[0]


@pytest.mark.parametrize(("fuse", "optimizer"), [("require", "adamw"), ("never", "adamw"), ("auto", "adafactor")])
def test_a_trial_ends_so_many_epochs_after_its_best(tmp_path: Path, fuse: str, optimizer: str) -> None:
    study = search(tmp_path, fuse=fuse, optimizer=optimizer)
    assert study.counts.done == 6
    early = [t for t in study.history.done if t.step < 40]
    assert early, "none overfits: the data no longer try patience"
    for trial in early:
        assert trial.step == best_step(trial.curve) + 3
        assert trial.loss == min(loss for _, loss in trial.curve)
        assert trial.reason == f"finished early, at step {trial.step} of 40"
    assert study.best is not None
    model = automl.load(study.path)  # the best epoch's weights, not the last one's
    assert model.metrics["val_loss"] == pytest.approx(study.best.loss)


def test_lanes_and_single_trials_end_alike(tmp_path: Path) -> None:
    fused, alone = (search(tmp_path, fuse=fuse) for fuse in ("require", "never"))
    assert [t.curve for t in fused.history.trials] == [t.curve for t in alone.history.trials]


def test_a_stopper_is_not_asked_about_a_trial_that_ends(tmp_path: Path) -> None:
    study = search(tmp_path, stopper="halving")
    assert not study.counts.paused
    assert study.counts.done >= 1
    assert all(t.state in (State.DONE, State.STOPPED) for t in study.history.trials)
    view = StudyView(study.path)  # type: ignore[arg-type]
    assert [t.reason for t in view.history.trials] == [t.reason for t in study.history.trials]
    view.close()


def test_best_counts_and_goes_on_from_its_state() -> None:
    best = BestEpoch(Metric("val_accuracy", "maximize", "best"), 10, patience=2)
    for step, value in enumerate([0.5, 0.7, 0.6], 1):
        best.update(step, {"val_accuracy": value}, lambda step=step: {"w": step})  # type: ignore[misc]
    assert (best.step, best.weights, best.is_over(3), best.is_over(4)) == (2, {"w": 2}, False, True)
    again = replace(best, weights={}, metrics={}, loss=None, step=0)
    again.load(best.state())
    again.update(4, {"val_accuracy": 0.7}, lambda: {"w": 4})  # equal is not better
    assert again == best
    again.update(5, {"val_accuracy": 0.8}, lambda: {"w": 5})
    assert (again.weights, again.is_over(6), again.is_over(7), again.is_over(10)) == ({"w": 5}, False, True, True)


def test_without_patience_the_last_epoch_counts() -> None:
    best = BestEpoch(Metric("val_loss"), 2)
    best.update(1, {"val_loss": 0.1}, lambda: {"w": 1})
    assert best.weights == {}
    best.update(2, {"val_loss": 0.5}, lambda: {"w": 2})
    assert (best.weights, best.metrics, best.is_over(1), best.is_over(2)) == ({"w": 2}, {"val_loss": 0.5}, False, True)


def test_patience_makes_the_best_epoch_count() -> None:
    text = SPEC.format(optimizer="adamw", stopper="none")
    read = specfile.parse(text)
    assert (read.patience, read.metric.count) == (3, "best")
    assert specfile.parse(text.replace("patience: 3\n", "")).metric.count == "last"


def test_refit_trains_as_long_as_the_winner_did(tmp_path: Path) -> None:
    file = tmp_path / "space.yaml"
    text = SPEC.format(optimizer="adamw", stopper="none")
    file.write_text(
        text.replace("finalists: none", "finalists: {top: 1, seeds: 1}").replace("none\nseed", "train+val\nseed")
    )
    study = automl.search(file, path=tmp_path / "s", executor="inline", workers=1)
    assert study.winner is not None
    assert study.winner.step < 40
    view = StudyView(tmp_path / "s" / "refit" / f"{study.winner.number:05d}")
    assert [t.step for t in view.history.done] == [best_step(study.winner.curve)]
    view.close()
