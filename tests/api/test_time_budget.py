"""A search whose only budget is time ends in time, and with a winner."""

import json
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import automl
from tests.failures.kit import Notes, search
from tests.support.patience import PATIENCE_S

SLOW = """
import time

def train(trial):
    for step in trial.steps(1000):
        time.sleep(0.2)
        trial.report(loss=trial["x"] + 1 / step)
"""
SPEC = """
train: slow:train
metric: {name: loss, direction: minimize}
budget: {time: 3s}
workers: 2
space:
  x: {float: [0, 1]}
"""
TABLE = """
model: mlp
data: iris
metric: val_log_loss
epochs: 1000000
budget: {time: 4s}
workers: 1
space:
  lr: {float: [1e-3, 1e-1], log: true}
"""


def test_slow_trials_end_with_the_best_partial_one(tmp_path: Path) -> None:
    (tmp_path / "slow.py").write_text(SLOW)
    (tmp_path / "space.yaml").write_text(SPEC)
    command = [sys.executable, "-c", "from automl.cli import main; raise SystemExit(main())", "search", "space.yaml"]
    begun = time.monotonic()
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=PATIENCE_S)
    assert done.returncode == 0, done.stderr
    assert time.monotonic() - begun < 3 + 5 + 120, "a trial takes 200 s"
    told = json.loads((tmp_path / "studies" / "space" / "best" / "winner.json").read_text())
    assert f"the best partial one wins, trial {told['trial']} at step {told['step']}" in done.stderr
    with closing(automl.Study.open(tmp_path / "studies" / "space")) as view:
        assert view.best is None
        assert view.winner is not None
        assert (view.winner.number, view.winner.step) == (told["trial"], told["step"])
        assert view.counts.failed == view.counts.running == 0


def test_the_weights_of_the_best_partial_trial_are_there(tmp_path: Path) -> None:
    (tmp_path / "space.yaml").write_text(TABLE)
    notes = Notes()
    study = automl.search(tmp_path / "space.yaml", path=tmp_path / "s", screen=notes)  # type: ignore[arg-type]
    assert study.best is None
    assert study.winner is not None
    assert any("the best partial one wins" in note for note in notes.notes)
    rows = [[5.1, 3.5, 1.4, 0.2], [6.7, 3.0, 5.2, 2.3]]
    assert len(automl.load(tmp_path / "s" / "best").predict(rows)) == 2


def test_a_trial_that_reports_once_counts_if_it_ends_soon_after(tmp_path: Path) -> None:
    def train(trial: automl.Trial) -> object:
        time.sleep(2.5)
        return trial["x"]

    notes = Notes()
    study = search(train, tmp_path / "s", trials=None, time_s=2, executor="local", workers=1, screen=notes)
    assert study.counts.done == 1
    assert any("the trial that runs counts if it reports within 60 s" in note for note in notes.notes)


def test_a_trial_that_does_not_report_is_ended(tmp_path: Path) -> None:
    def train(trial: automl.Trial) -> object:
        time.sleep(0.2 if trial.number == 0 else 600)
        return trial["x"]

    begun = time.monotonic()
    study = search(train, tmp_path / "s", trials=None, time_s=4, executor="local", workers=1)
    assert time.monotonic() - begun < PATIENCE_S, "the trial sleeps for 600 s"
    assert study.winner is not None
    assert study.winner.number == 0
    assert study.history.trials[1].reason.startswith("budget used up")


def test_the_finalists_are_part_of_the_time_budget(tmp_path: Path) -> None:
    def train(trial: automl.Trial) -> None:
        for step in trial.steps(3):
            time.sleep(0.1)
            trial.report(loss=trial["x"] + 1 / step)

    notes, finalists = Notes(), {"top": 3, "seeds": 3}
    study = search(train, tmp_path / "s", trials=None, time_s=9, executor="inline", screen=notes,
                   finalists=finalists)  # fmt: skip
    assert max(trial.ended_s or 0 for trial in study.history.trials) < 9, "no time was kept for the finalists"
    assert study.verdict is not None
    assert study.counts.done > 5


def test_one_trial_begins_even_if_loading_took_all_the_time() -> None:
    now = [0.0]
    study = automl.Study({"x": automl.Float(0, 1)}, metric="loss", time_s=10, horizon=5, clock=lambda: now[0])
    now[0] = 11.0
    trial = study.ask()
    assert trial is not None
    assert study.ask() is None
    assert study.report(trial, 1, {"loss": 1.0}).reason == "budget used up"
    assert study.winner is not None


def test_no_time_for_finalists_is_told(tmp_path: Path) -> None:
    def train(trial: automl.Trial) -> object:
        time.sleep(2)
        return trial["x"]

    notes = Notes()
    study = search(train, tmp_path / "s", trials=None, time_s=1, executor="local", workers=1, screen=notes,
                   finalists={"top": 2, "seeds": 2})  # fmt: skip
    assert study.winner is not None
    assert study.verdict is None
    assert "finalists: no time was left for them; the winner is the search's best trial" in notes.notes
