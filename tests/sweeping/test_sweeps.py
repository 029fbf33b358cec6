"""Programs of Hydra's swept by `hydra/sweeper=automl`, as a user starts them."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from automl.study.study import Study
from tests.support.paths import ROOT
from tests.support.patience import PATIENCE_S

pytest.importorskip("hydra", reason="needs the extra hydra: pip install 'automl-search[hydra]'")

PROGRAM = """
import time, hydra, automl
from sibling import loss

@hydra.main(version_base=None, config_path="conf", config_name="config")
def main(cfg):
    if cfg.fails and cfg.model.lr > 0.5:
        raise RuntimeError("too fast")
    for epoch in range(cfg.epochs):
        time.sleep(cfg.pause)
        automl.report(val_loss=loss(cfg) + 1 / (epoch + 1))
    return eval(cfg.returns)

if __name__ == "__main__":
    main()
"""
SIBLING = "def loss(cfg):\n    return (cfg.model.lr - 0.3) ** 2 + 0.01 * cfg.model.get('depth', 3)\n"
CONFIG = """
defaults: [_self_, model: tree]
epochs: 0
pause: 0.0
fails: false
returns: loss(cfg)
"""
LR = "model.lr=interval(0.01,1.0)"


@pytest.fixture
def project(tmp_path):
    (tmp_path / "conf" / "model").mkdir(parents=True)
    for name, text in {
        "train.py": PROGRAM, "sibling.py": SIBLING, "conf/config.yaml": CONFIG,
        "conf/model/tree.yaml": "{lr: 0.1, depth: 3}", "conf/model/linear.yaml": "{lr: 0.1}",
    }.items():  # fmt: skip
        (tmp_path / name).write_text(text)
    return tmp_path


def command(*arguments, out="out"):
    return [sys.executable, "train.py", "-m", "hydra/sweeper=automl", f"hydra.sweep.dir={out}", *arguments]


def environment():
    return {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, (ROOT, ROOT / "strategies", ROOT / "search_spaces")))}


def sweep(project, *arguments, out="out"):
    """Exit code and what was printed, of a sweep in one process."""
    own = ["hydra.sweeper.executor=inline", *arguments]
    done = subprocess.run(
        command(*own, out=out), cwd=project, capture_output=True, text=True, timeout=300, env=environment()
    )
    return done.returncode, done.stdout + done.stderr


def opened(project, out="out"):
    return Study.open(project / out / "train")


def board(study):
    return [(r.number, r.state, dict(r.config), r.loss, r.step) for r in study.history.trials]


def test_a_conditional_sweep_stops_bad_jobs_and_keeps_each_in_its_folder(project):
    code, told = sweep(
        project, "model=tree,linear", LR, "model.depth=range(1,6)", "epochs=4", "hydra.sweeper.trials=10",
        "hydra.sweeper.metric=val_loss", "hydra.sweeper.stopper=median",
    )  # fmt: skip
    assert code == 0, told
    study = opened(project)
    assert len(study.history.trials) == 10
    for record in study.history.trials:
        job = project / "out" / str(record.number)
        assert ("model.depth" in record.config) == (record.config["model"] == "tree")
        overrides = yaml.safe_load((job / ".hydra" / "overrides.yaml").read_text())
        assert f"model={record.config['model']}" in overrides
        assert yaml.safe_load((job / ".hydra" / "config.yaml").read_text())["model"]["lr"] == record.config["model.lr"]
        assert (job / "train.log").exists()
    assert study.counts.stopped > 0
    result = yaml.safe_load((project / "out" / "optimization_results.yaml").read_text())
    assert result["best_evaluated_params"] == dict(study.best.config)
    assert result["best_evaluated_result"] == study.best.loss


def test_a_job_that_raises_is_a_failed_trial_and_the_sweep_goes_on_where_it_was(project):
    own = (LR, "fails=true", "hydra.sweeper.strategy=random", "hydra.sweeper.seed=1")
    assert sweep(project, *own, "hydra.sweeper.n_trials=6")[0] == 0
    first = board(opened(project))
    failed = {record.number: record for record in opened(project).history.failed}
    assert failed
    assert all("too fast" in record.failure.message and record.config["model.lr"] > 0.5 for record in failed.values())
    assert sweep(project, *own, "hydra.sweeper.n_trials=8")[0] == 0
    assert (board(opened(project))[:6], len(opened(project).history.trials)) == (first, 8)


def test_without_a_budget_all_combinations_run_as_with_hydras_own_sweeper(project):
    code, told = sweep(project, "model.lr=0.1,0.2", "model=tree,linear", "hydra.sweeper.storage=sqlite:///x")
    assert code == 0, told
    assert "hydra.sweeper.storage is of the Optuna sweeper, and not used" in told
    configs = [tuple(sorted(map(str, r.config.values()))) for r in opened(project).history.trials]
    assert len(configs) == len(set(configs)) == 4


@pytest.mark.slow
@pytest.mark.parametrize(
    ("returns", "sweeper", "loss"),
    [
        ("{'val_loss': 1.5, 'size': 3}", ["metric=val_loss"], [1.5]),
        ("(1.5, 3)", ["metric=[error,size]", "direction=[minimize,maximize]"], [1.5, 3]),
        ("2.5", ["direction=maximize"], [-2.5]),
    ],
)
def test_what_a_job_may_return(project, returns, sweeper, loss):
    (project / "conf" / "config.yaml").write_text(CONFIG.replace("loss(cfg)", json.dumps(returns)))
    code, told = sweep(project, LR, "hydra.sweeper.trials=1", *(f"hydra.sweeper.{one}" for one in sweeper))
    assert code == 0, told
    study = opened(project)
    (record,) = study.history.trials
    if len(loss) == 1:
        assert record.loss == loss[0]
    else:
        assert list(study.history.objectives.values(record.vector).values()) == loss
        result = yaml.safe_load((project / "out" / "optimization_results.yaml").read_text())
        assert [one["best_evaluated_result"] for one in result["solutions"]] == [loss]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ([LR, "hydra.sweeper.trials=2", "returns=null"], 2, "the job returned nothing; end the function that"),
        (["model.lrr=interval(0,1)", "hydra.sweeper.trials=2"], 2, "did you mean 'model.lr'?"),
        (["model=tree,forest", "hydra.sweeper.trials=2"], 2, "Could not find 'model/forest'"),
        ([LR], 2, "so a budget is needed: hydra.sweeper.trials=50"),
        ([], 2, "nothing is swept"),
        (
            ["model.lr=interval(0.6,1)", "fails=true", "hydra.sweeper.trials=2"],
            4,
            "no job has a result, 2 failed; the last one: RuntimeError: too fast",
        ),
        ([LR, "hydra.sweeper.trials=2", "hydra.sweeper.time=soon"], 2, "hydra.sweeper.time: needs a duration"),
    ],
)
def test_what_is_wrong_is_told_in_one_line(project, arguments, code, message):
    if "returns=null" in arguments:
        arguments = [a for a in arguments if a != "returns=null"]
        (project / "conf" / "config.yaml").write_text(CONFIG.replace("loss(cfg)", "'None'"))
    ended, told = sweep(project, *arguments)
    assert (ended, message in told, "Traceback" in told) == (code, True, False), told


@pytest.mark.slow
def test_our_own_space_in_the_config_and_one_changed_line(project):
    (project / "conf" / "config.yaml").write_text(
        CONFIG.replace("model: tree]", "model: tree, override hydra/sweeper: automl]")
        + "hydra:\n  sweeper:\n    trials: 4\n    space:\n      model: [tree, linear]\n"
        + "      model.lr: {float: [0.01, 1], log: true}\n      model.depth: {int: [1, 4], when: {model: tree}}\n"
    )
    done = subprocess.run(
        [sys.executable, "train.py", "-m", "hydra.sweep.dir=out", "hydra.sweeper.workers=2"], cwd=project,
        capture_output=True, text=True, timeout=300, env=environment(),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert opened(project).counts.done == 4


@pytest.mark.slow
def test_a_killed_sweep_goes_on_to_the_leaderboard_of_an_undisturbed_one(project):
    own = ("model=tree,linear", LR, "epochs=3", "pause=0.3", "hydra.sweeper.trials=10",
           "hydra.sweeper.workers=2", "hydra.sweeper.metric=val_loss", "hydra.sweeper.stopper=median",
           "hydra.sweeper.deterministic=true")  # fmt: skip
    killed = subprocess.Popen(
        command(*own, out="killed"), cwd=project, start_new_session=True, env=environment(),
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        _wait_for_a_trial(project / "killed" / "train", killed)
    finally:
        killed.send_signal(signal.SIGKILL)
        killed.wait()
    for out in ("killed", "whole"):
        subprocess.run(command(*own, out=out), cwd=project, check=True, timeout=300, env=environment())
    assert board(opened(project, "killed")) == board(opened(project, "whole"))


def _wait_for_a_trial(study: Path, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        assert process.poll() is None, "it ended before it was killed"
        if (study / "ledger.sqlite").exists() and len(list(study.glob("logs/t*.log"))) >= 2:
            return
        time.sleep(0.05)
    raise AssertionError("no trial began")
