"""The referee from outside: functions, programs, specifications and trials; failures; campaigns; exit codes."""

import json
import random
from pathlib import Path

import pytest

import automl
from automl.errors import SpecError
from automl.judging import sides
from automl.judging.runs import RunFailed
from automl.study.reader import StudyView


def old(trial: automl.Trial) -> None:
    trial.report(loss=1 + random.Random(trial.seed).gauss(0, 0.1))


def new(trial: automl.Trial) -> None:
    trial.report(loss=0.7 + random.Random(trial.seed + 1).gauss(0, 0.1))


def broken(trial: automl.Trial) -> None:
    raise ValueError("no such layer")


def test_a_better_function_is_found_and_the_figures_are_those_of_its_runs(tmp_path: Path) -> None:
    made = automl.judge(old, new, metric="loss", dir=tmp_path)
    assert made.better is True
    assert made.delta is not None
    assert made.delta == pytest.approx(made.candidate["mean"] - made.baseline["mean"])
    assert made.interval is not None
    assert made.interval[1] < 0
    for name, told in (("baseline", made.baseline), ("candidate", made.candidate)):
        view = StudyView(made.path / name)
        assert [t.loss for t in view.history.trials] == told["values"]
        view.close()
    assert json.loads((made.path / "judgement.json").read_text()) == made.to_json()


def test_both_sides_have_the_same_seeds_and_every_judgement_has_others(tmp_path: Path) -> None:
    def seed(trial: automl.Trial) -> None:
        trial.report(loss=trial.seed % 10**6)

    first, second = (automl.judge(seed, seed, metric="loss", dir=tmp_path) for _ in range(2))
    assert first.baseline["values"] == first.candidate["values"]
    assert not set(first.baseline["values"]) & set(second.baseline["values"])
    assert first.better is False
    assert "exactly the same" in first.reason


def test_a_campaign_counts_its_looks(tmp_path: Path) -> None:
    for looks in (1, 2, 3):
        made = automl.judge(new, old, metric="loss", dir=tmp_path, campaign="mine")
        assert made.campaign["looks"] == looks
        assert made.campaign["family_wise_level"] == pytest.approx(1 - 0.95**looks)
    assert automl.judge(new, old, metric="loss", dir=tmp_path).campaign["looks"] == 1
    better = automl.judge(old, new, metric="loss", dir=tmp_path, campaign="mine")
    assert better.p is not None
    assert better.campaign["adjusted_p"] == pytest.approx(min(1, 4 * better.p))


def test_a_candidate_that_fails_is_not_better_and_a_baseline_that_fails_is_an_error(tmp_path: Path) -> None:
    made = automl.judge(old, broken, metric="loss", dir=tmp_path)
    assert (made.better, made.p, made.delta) == (False, None, None)
    assert "no such layer" in made.reason
    with pytest.raises(RunFailed, match="no such layer"):
        automl.judge(broken, old, metric="loss", dir=tmp_path)
    assert automl.judge(old, old, metric="loss", dir=tmp_path).campaign["looks"] == 2  # the error does not count


def test_what_cannot_be_compared_is_said(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="say what the sides report"):
        automl.judge(old, new, dir=tmp_path)
    with pytest.raises(SpecError, match="no argument has"):
        automl.judge(["python", "x.py"], new, metric="loss", dir=tmp_path)
    for lacking, says in (
        ("nothing_here {seed}", "there is no program"),
        ("python no.py {seed}", "there is no file 'no.py'"),
    ):
        with pytest.raises(SpecError, match=says):
            sides.of_command(lacking)
    with pytest.raises(SpecError, match="from 3 to 16"):
        automl.judge(old, new, metric="loss", seeds=2, dir=tmp_path)
    with pytest.raises(SpecError, match="is a path"):
        automl.judge(old, new, metric="loss", campaign="../x", dir=tmp_path)


SPEC = """study: {name}
model: mlp
data: iris
metric: val_log_loss
epochs: 3
space: {{width: 8, lr: {lr}}}
budget: {{trials: 2}}
finalists: none
"""


@pytest.mark.slow
def test_specifications_and_trials_are_judged_as_one_batched_model(run, tmp_path) -> None:
    Path("a.yaml").write_text(SPEC.format(name="a", lr=1e-5))
    Path("b.yaml").write_text(SPEC.format(name="b", lr=3e-2))
    code, out, err = run("judge", "a.yaml", "b.yaml", "--json", "--executor", "inline", "-q")
    made = json.loads(out)
    assert (code, made["better"], made["seeds"], err) == (0, True, 8, "")
    view = StudyView(Path(made["path"]) / "candidate")
    assert {str(view.attempts(k)[-1]["details"].get("lanes", 8)) for k in range(8)} == {"8"}
    view.close()
    text = SPEC.format(name="s", lr="{float: [1e-5, 1e-1], log: true}")
    Path("s.yaml").write_text(text)
    assert run("judge", "s.yaml", "b.yaml")[0] == 2
    assert run("search", "s.yaml", "-q", "--executor", "inline", "--set", "first=[{lr: 1e-5}, {lr: 0.03}]")[0] == 0
    code, out, _ = run("judge", "s", "0", "1", "--json", "--executor", "inline", "-q")
    assert (code, json.loads(out)["candidate"]["name"]) == (0, "s trial 1")
    assert run("judge", "s", "0", "7")[0] == 2


PROGRAM = """import random, sys
seed, shift = int(sys.argv[1]), float(sys.argv[2])
assert seed < 2**32
print("epoch 1: bpb", 1.0 + random.Random(seed).gauss(0, 0.01) - shift)
"""


@pytest.mark.slow
def test_programs_are_judged_by_what_they_print(run) -> None:
    Path("p.py").write_text(PROGRAM)
    one, other = ("python p.py {seed} 0", "python p.py {seed} 0.1")
    given = ("--metric", "val_loss", "--report", r"bpb (?P<val_loss>[0-9.]+)")
    code, out, err = run("judge", "--command", one, "--command", other, *given)
    assert code == 0, err
    assert out.startswith("better: val_loss -0.1")
    assert "seeds: mean difference" in err
    assert run("judge", "--command", one, "--command", "false {seed}", *given)[0] == 1
    assert run("judge", "--command", "false {seed}", "--command", one, *given)[0] == 4
    assert run("judge", "--command", one)[0] == 2
