"""Whole searches: tables of three kinds, a user's function, a command, kills and signals."""

import json
import signal
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import automl
from automl.errors import DataError, SearchFailed, SpecError
from automl.study.reader import StudyView
from tests.support.patience import PATIENCE_S, wait_until

SMALL = """
space:
  depth: {int: [1, 2]}
  width: {int: [8, 32], log: true}
  lr: {float: [1e-3, 1e-1], log: true}
  batch_size: 32
budget: {trials: 6}
seed: 3
"""


def table(kind: str, rows: int = 240) -> pd.DataFrame:
    """A table with numeric and categorical columns, missing values, and a target that can be learned."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=rows), rng.normal(size=rows)
    colour = rng.choice(["red", "green", "blue"], rows)
    signal_ = x + 2 * (colour == "red") - y
    frame = pd.DataFrame({"x": x, "y": y, "colour": colour, "flag": rng.random(rows) > 0.5})
    frame.loc[rng.random(rows) < 0.1, "x"] = np.nan
    frame.loc[rng.random(rows) < 0.1, "colour"] = None
    if kind == "binary":
        frame["target"] = np.where(signal_ > 0.7, "yes", "no")
    elif kind == "multi-class":
        frame["target"] = pd.cut(signal_, [-np.inf, -0.5, 1.5, np.inf], labels=["low", "mid", "high"]).astype(str)
    else:
        frame["target"] = signal_
    return frame


CASES = [
    ("binary", "csv", "val_auroc", 0.8),
    ("multi-class", "tsv.gz", "val_accuracy", 0.6),
    ("regression", "parquet", "val_r2", 0.5),
]


@pytest.mark.parametrize(("kind", "suffix", "metric", "good"), CASES)
def test_tables_of_three_kinds(tmp_path: Path, kind: str, suffix: str, metric: str, good: float) -> None:
    frame = table(kind)
    file = tmp_path / f"table.{suffix}"
    if suffix == "parquet":
        frame.to_parquet(file)
    else:
        frame.to_csv(file, index=False, sep="\t" if "tsv" in suffix else ",")
    spec = tmp_path / "space.yaml"
    spec.write_text(f"model: mlp\ndata: {file.name}\ntarget: target\nmetric: {metric}\nepochs: 9\n{SMALL}")
    study = automl.search(spec, dir=tmp_path, executor="inline")
    assert study.best is not None
    assert study.best.loss is not None
    assert study.metric.value(study.best.loss) > good
    assert study.path is not None
    model = automl.load(study.path)
    predicted = model.predict(frame.drop(columns="target").head(20))
    assert len(predicted) == 20
    if kind != "regression":
        assert set(predicted) <= set(frame["target"])


def test_a_function_named_in_a_spec(tmp_path: Path) -> None:
    (tmp_path / "mine_for_test.py").write_text(
        "def train(trial):\n    for step in trial.steps(4):\n        trial.report(val_loss=trial['lr'] / step)\n"
    )
    (tmp_path / "space.yaml").write_text(f"train: mine_for_test:train\nmetric: val_loss\n{SMALL}")
    study = automl.search(tmp_path / "space.yaml", dir=tmp_path, workers=2)
    assert study.counts.done + study.counts.stopped == 6
    assert study.best is not None


COMMAND = """
import json, os, sys
lr = float(sys.argv[1].split("=")[1])
assert len(sys.argv) == 2 or sys.argv[2].startswith("--momentum=")
print("some other output")
for step in range(1, 4):
    print(json.dumps({"step": step, "val_loss": lr / step}))
if json.loads(os.environ["AUTOML_CONFIG"])["n"] == 3:
    sys.exit("no threes")
"""


def test_a_command(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text(COMMAND)
    (tmp_path / "space.yaml").write_text(
        'command: [python, train.py, "--lr={lr}", "--momentum={momentum}"]\nmetric: val_loss\nepochs: 3\n'
        "space:\n  lr: {float: [1e-3, 1.0]}\n  n: [1, 2, 3]\n  momentum: {float: [0, 1], when: {n: 1}}\n"
        "stopper: none\nbudget: {trials: 9}\nseed: 1\n"
    )
    study = automl.search(tmp_path / "space.yaml", dir=tmp_path, workers=2)
    threes = [t for t in study.history.trials if t.config["n"] == 3]
    assert threes
    assert study.counts.failed == len(threes)
    assert study.counts.done == 9 - len(threes)
    assert "exit code 1" in str(threes[0].failure)
    assert study.path is not None
    log = (study.path / "logs" / f"t{threes[0].number:05d}.log").read_text()
    assert "some other output" in log
    assert "no threes" in log


def test_a_command_that_does_not_end_is_ended(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text(
        "import time\nfor step in range(1, 10):\n    print('{\"val_loss\": %d}' % step, flush=True)\ntime.sleep(600)\n"
    )
    (tmp_path / "space.yaml").write_text(
        "command: [python, train.py]\nmetric: val_loss\nspace: {x: {float: [0, 1]}}\nstopper: none\n"
        "budget: {epochs: 5}\n"
    )
    begun = time.monotonic()
    study = automl.search(tmp_path / "space.yaml", dir=tmp_path, executor="inline")
    assert time.monotonic() - begun < PATIENCE_S, "it has waited for the command, which sleeps for 600 s"
    assert study.counts.stopped == 1
    assert study.history.steps_spent == 5


def test_a_metric_that_is_not_measured_ends_the_search_at_once(tmp_path: Path) -> None:
    (tmp_path / "space.yaml").write_text(f"model: mlp\ndata: iris\nmetric: val_rmse\nepochs: 5\n{SMALL}")
    with pytest.raises((SpecError, DataError), match="val_rmse"):
        automl.search(tmp_path / "space.yaml", dir=tmp_path, executor="inline")


X = {"x": automl.Float(0, 1)}


def broken(trial: automl.Trial) -> None:
    raise RuntimeError("never works")


def test_five_failures_before_any_success_end_the_search(tmp_path: Path) -> None:
    with pytest.raises(SearchFailed, match=r"5 trials failed .* RuntimeError: never works") as caught:
        automl.search(broken, space=X, metric="loss", trials=50, dir=tmp_path, executor="inline")
    assert caught.value.exit_code == 4
    view = StudyView(tmp_path / "broken")
    assert view.counts.failed == 5
    view.close()


def test_what_cannot_be_sent_to_a_worker_is_told_before_the_start(tmp_path: Path) -> None:
    handle = (tmp_path / "file").open("w")
    with handle, pytest.raises(automl.AutoMLError, match="cannot be sent to a worker"):
        automl.search(lambda trial: handle.write("x"), space=X, metric="loss", trials=2, dir=tmp_path)


# -- kills and signals -----------------------------------------------------------------------------------------------

SLOW = """
import time
def train(trial):
    value = 0.0
    for step in trial.steps(6):
        time.sleep(0.01)
        value = (trial["x"] - 0.3) ** 2 + trial["y"] / step
        trial.report(val_loss=value)
"""
SLOW_SPEC = """
train: slow_for_test:train
metric: val_loss
space: {x: {float: [0, 1]}, y: {float: [1e-3, 1], log: true}}
strategy: random
stopper: none
budget: {trials: 24}
seed: 11
workers: 2
"""


def board(path: Path) -> list[object]:
    """Everything that must not depend on what was killed."""
    view = StudyView(path)
    found = [(t.number, t.config, t.state, t.curve) for t in view.history.ranked()]
    view.close()
    return found  # type: ignore[return-value]


def run(*code: str, cwd: Path) -> "subprocess.Popen[str]":
    text = "import sys, automl\nfrom automl.driver.signals import Interrupted\ntry:\n    " + "\n    ".join(code)
    text += "\nexcept Interrupted as error:\n    print(error)\n    sys.exit(error.exit_code)\n"
    return subprocess.Popen([sys.executable, "-c", text], cwd=cwd, stdout=subprocess.PIPE, text=True)


@pytest.fixture
def slow(tmp_path: Path) -> Path:
    (tmp_path / "slow_for_test.py").write_text(SLOW)
    (tmp_path / "space.yaml").write_text(SLOW_SPEC)
    return tmp_path


def wait_for(path: Path, ended: int) -> None:
    def come() -> bool:
        try:
            view = StudyView(path)
        except automl.AutoMLError:
            return False
        with closing(view):
            return view.counts.ended >= ended

    wait_until(come, f"the search at {path} does not come on")


def test_a_killed_search_resumes_to_the_same_leaderboard(slow: Path) -> None:
    automl.search(slow / "space.yaml", path=slow / "whole")
    search = run("automl.search('space.yaml', path='killed')", cwd=slow)
    wait_for(slow / "killed", 5)
    search.kill()
    search.communicate()
    view = StudyView(slow / "killed")
    assert 5 <= view.counts.ended < 24, "the kill came too late to test anything"
    view.close()
    resumed = automl.resume(slow / "killed")
    assert resumed.counts.done == 24
    assert board(slow / "killed") == board(slow / "whole")


def test_ctrl_c_saves_and_ends_with_130_and_more_trials_can_be_added(slow: Path) -> None:
    search = run("automl.search('space.yaml', path='s')", cwd=slow)
    wait_for(slow / "s", 3)
    search.send_signal(signal.SIGINT)
    out, _ = search.communicate(timeout=PATIENCE_S)
    assert search.returncode == 130
    assert "saved" in out
    study = automl.resume(slow / "s", trials="+2")
    assert study.counts.done == 26
    assert all(t.step == 6 for t in study.history.trials)


def test_sigterm_ends_with_143(slow: Path) -> None:
    search = run("automl.search('space.yaml', path='s')", cwd=slow)
    wait_for(slow / "s", 2)
    search.terminate()
    search.communicate(timeout=PATIENCE_S)
    assert search.returncode == 143


def test_a_study_from_a_function_goes_on_at_its_path(tmp_path: Path) -> None:
    def train(trial: automl.Trial) -> None:
        trial.report(loss=trial["x"])

    for trials in (3, 5):
        study = automl.search(
            train, space={"x": automl.Float(0, 1)}, metric="loss", trials=trials, path=tmp_path / "s", executor="inline"
        )
        assert study.counts.done == trials
    with pytest.raises(SpecError, match="Python function"):
        automl.resume(tmp_path / "s")
    told = json.loads((tmp_path / "s" / "best" / "winner.json").read_text())
    assert told["trial"] == study.best.number  # type: ignore[union-attr]


def test_constraints_hold_for_every_trial(tmp_path: Path) -> None:
    (tmp_path / "flat_for_test.py").write_text("def train(trial):\n    trial.report(loss=1.0)\n")
    (tmp_path / "space.yaml").write_text(
        'train: flat_for_test:train\nmetric: loss\nconstraints: ["width % heads == 0"]\n'
        "space:\n  width: {int: [8, 64]}\n  heads: {choice: [1, 2, 4, 8], ordered: true}\n"
        "strategy: random\nstopper: none\nbudget: {trials: 30}\nfinalists: none\n"
    )
    study = automl.search(tmp_path / "space.yaml", dir=tmp_path, executor="inline")
    assert study.counts.done == 30
    assert all(t.config["width"] % t.config["heads"] == 0 for t in study.history.trials)  # type: ignore[operator]
