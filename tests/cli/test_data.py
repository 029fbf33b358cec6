"""`automl data`; how facts travel from the worker to the study; the first line of commands that take seconds."""

import io
import json
import os
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest

from automl.cli import progress
from automl.data.summary.facts import FACT, of_study
from automl.study.study import Study
from tests.support.paths import ROOT
from tests.support.patience import PATIENCE_S

SPEC = """\
study: churn
data: churn.csv
target: churn
model: mlp
epochs: 1
metric: val_accuracy
executor: inline
space:
  lr: {float: [0.0000001, 0.000001], log: true}
budget: {trials: 2}
stopper: none
finalists: none
"""


@pytest.fixture
def table(tmp_path):
    """churn.csv: 400 rows, 90 % "no", with an identifier, a constant, sentences, and a leaking column."""
    rng = np.random.default_rng(0)
    y = np.where(np.arange(400) % 10 == 0, "yes", "no")
    sentences = [" ".join(rng.choice(["good", "bad", "late", "fast"], 6)) + f" {k}" for k in range(400)]
    frame = pd.DataFrame({"customer_id": np.arange(400) + 1000, "age": rng.integers(18, 80, 400), "country": "NL",
                          "review": sentences, "result": np.where(y == "yes", "R2", "R0"), "churn": y})  # fmt: skip
    frame.to_csv(tmp_path / "churn.csv", index=False)
    (tmp_path / "space.yaml").write_text(SPEC)
    return frame


def test_a_table_is_shown_column_by_column(run, table):
    code, out, err = run("data", "churn.csv")
    assert code == 0
    assert "target: churn, the last column; --target names another" in err
    first = {line.split()[0]: line for line in out.partition("\n\n")[0].splitlines()}
    assert list(first) == ["column", *["churn", "customer_id", "age", "country", "review", "result"]]
    assert "an identifier" in first["customer_id"]
    assert "constant ('NL')" in first["country"]
    assert first["churn"].split()[:5] == ["churn", "target", "category", "0", "2"]
    rest = " ".join(out.partition("\n\n")[2].split())
    assert "rows 400 (200 train, 100 val, 100 test)" in rest
    assert "no 360 90.0 % 180" in rest
    assert "baseline always 'no': val_accuracy 0.9000" in rest
    assert "result alone predicts the target" in rest
    assert "review holds sentences and is left out; `prepare: {text: review}`" in rest


def test_several_targets_of_a_table_are_all_targets(run, table):
    code, out, _ = run("data", "churn.csv", "--target", "age", "--target", "customer_id", "--json")
    assert code == 0
    roles = {column["name"]: column["role"] for column in json.loads(out)["columns"]}
    assert [name for name, role in roles.items() if role == "target"] == ["age", "customer_id"]


def test_a_specification_and_its_overrides_are_used(run, table):
    code, out, err = run("data", "space.yaml", "--set", "prepare.drop=[result]", "--json")
    assert code == 0
    assert "reading the data of space.yaml" in err
    made = json.loads(out)
    assert (made["schema"], made["source"], made["metric"]) == (1, "space.yaml", "val_accuracy")
    roles = {column["name"]: column["role"] for column in made["columns"]}
    assert roles["result"] == "dropped"
    assert made["leaks"] == {}
    assert made["baselines"]["val_accuracy"] == pytest.approx(0.9)


def test_options_for_a_table_are_set_like_entries_of_a_specification(run, table):
    code, out, _ = run(
        "data", "churn.csv", "--target", "churn", "--set", "prepare.text=review", "--set", "seed=3", "--json"
    )
    assert code == 0
    assert json.loads(out)["inputs"].startswith("texts of ")


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["churn.csv", "--target", "churm"], 2, "target 'churm' is not a column; did you mean 'churn'?"),
        (
            ["churn.csv", "--set", "target=age"],
            2,
            "--set target: for data without a specification set prepare.X, split.X",
        ),
        (["churn.csv", "--set", "seed=x"], 2, "--set seed=x: expected a whole number"),
        (["churn.csv", "--set", "prepare.drop=[a"], 2, "--set prepare.drop=[a"),
        (["space.yaml", "--target", "age"], 2, "a specification has its own"),
        (["churn.csv", "--target", "age", "--target", "age"], 2, "'age' is named twice"),
        (["churn.csv", "--plan", "--target", "age", "--target", "result"], 2, "a streamed table has one target"),
        (["nothing.yaml"], 2, "nothing.yaml"),
        (["space.yaml", "--set", "prepare.drop=[resultt]"], 2, "prepare.drop: no column 'resultt'; did you mean"),
        (["space.yaml", "--set", "prepare.drop=churn"], 2, "prepare.drop: 'churn' is the target"),
        (["own.yaml"], 2, "own.yaml: trains your own command, which reads its data itself"),
    ],
)
def test_wrong_uses_say_what_to_do(run, table, tmp_path, arguments, code, message):
    own = "command: [python, train.py]\nepochs: 1\nmetric: {name: loss, direction: minimize}\n"
    (tmp_path / "own.yaml").write_text(own + "space: {lr: {float: [0, 1]}}\nbudget: {trials: 1}\n")
    found, out, err = run("data", *arguments)
    assert (found, out) == (code, "")
    assert message in err
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("drop", "message"),
    [
        ("[result, resultt]", "the table has no column 'resultt'; did you mean 'result'?"),
        ("churn", "'churn' is the target, which is learned from"),
        ("{result: 1}", "expected a column or a list of columns, such as [result, total]"),
    ],
)
def test_validate_refuses_columns_that_cannot_be_dropped(run, table, drop, message):
    code, _, err = run("validate", "space.yaml", "--set", f"prepare.drop={drop}")
    assert code == 2
    assert "prepare.drop" in err or "prepare:" in err
    assert message in err


@pytest.mark.catalogue(
    58, "a column alone predicts the target", "a warning before the first trial, with the entry that drops it", 0
)
def test_a_search_keeps_what_was_decided_and_shows_it_before_the_first_trial(run, table, tmp_path):
    code, out, err = run("search", "space.yaml", "--json", "--events", "events.jsonl")
    assert code == 0
    verbs = [line.split()[1] for line in err.splitlines()]
    assert verbs[0] == "begin"
    assert verbs.index("data") < verbs.index("done")
    assert "always 'no' would score val_accuracy 0.9000" in err
    events = [json.loads(line)["event"] for line in (tmp_path / "events.jsonl").read_text().splitlines()]
    assert events.index("data") < events.index("ended")
    made = json.loads(out)
    assert made["data"]["leaks"] == {"result": "each class has a value of its own"}
    assert made["baseline"]["value"] == pytest.approx(0.9)
    kept = of_study(Study.open(tmp_path / "studies" / "churn").facts)
    assert kept is not None
    assert kept.rows == {"train": 200, "val": 100, "test": 100}

    code, out, _ = run("data", "studies/churn")
    assert code == 0
    assert "result alone predicts the target" in " ".join(out.split())
    code, out, err = run("resume", "churn", "--trials", "+1", "--json")
    assert code == 0
    assert " data " not in err  # it was shown when the study was begun
    assert json.loads(out)["data"]["left_out"]["country"] == "constant ('NL')"


def test_a_study_of_an_earlier_version_gets_it_when_it_goes_on(run, table, tmp_path):
    assert run("search", "space.yaml", "-q")[0] == 0
    path = tmp_path / "studies" / "churn"
    from automl.study.ledger.ledger import Ledger

    ledger = Ledger.open(path)
    ledger._db.execute("DELETE FROM study WHERE key = ?", (FACT,))
    ledger.close()
    code, _, err = run("data", "studies/churn")
    assert code == 2
    assert "this study has kept nothing about its data" in err
    code, _, err = run("resume", "churn", "--trials", "+1")
    assert code == 0
    assert " data   target: churn, 2 classes" in err
    assert of_study(Study.open(path).facts) is not None


@pytest.mark.catalogue(58, "the winner is no better than a constant guess", "told in the final block", 0)
def test_a_winner_below_the_majority_is_told_so(run, table, tmp_path):
    (tmp_path / "space.yaml").write_text(SPEC.replace("metric: val_accuracy", "metric: val_log_loss"))
    code, out, err = run("search", "space.yaml", "--set", "prepare.drop=result", "-q")
    assert (code, err) == (0, "")
    assert "the winner is no better than a guess without a model: the shares of the classes" in " ".join(out.split())


# -- the first line ----------------------------------------------------------------------------------------------------

SLOW = """\
import sys
print("TORCH IS IMPORTED", file=sys.stderr, flush=True)
raise ImportError("the torch of a test")
"""


@pytest.mark.parametrize(
    ("arguments", "first"),
    [
        (["search", "space.yaml"], "automl search space.yaml: "),
        (["search", "space.yaml", "--dry-run"], "automl search space.yaml: "),
        (["data", "churn.csv"], "reading churn.csv"),
        (["data", "space.yaml"], "reading the data of space.yaml"),
    ],
)
def test_something_is_on_the_screen_before_torch_is_imported(table, tmp_path, arguments, first):
    (tmp_path / "slow" / "torch").mkdir(parents=True)
    (tmp_path / "slow" / "torch" / "__init__.py").write_text(SLOW)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path / "slow"), str(ROOT)])}
    program = [sys.executable, "-c", "from automl.cli import main; main()", *arguments]
    done = subprocess.run(program, cwd=tmp_path, env=environment, stdin=subprocess.DEVNULL, capture_output=True,
                          text=True, timeout=PATIENCE_S, check=False)  # fmt: skip
    lines = done.stderr.splitlines()
    assert first in lines[0]
    assert "TORCH IS IMPORTED" in lines[1:]


def test_a_quick_command_says_what_it_does_only_when_it_is_late(monkeypatch, capsys):
    monkeypatch.setattr(progress, "LATE_S", 30.0)
    with progress.saying_if_late("checking"):
        pass
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(progress, "LATE_S", 0.0)
    with progress.saying_if_late("checking space.yaml"):
        deadline = time.monotonic() + PATIENCE_S
        while "checking" not in capsys.readouterr().err and time.monotonic() < deadline:
            time.sleep(0.01)
        assert time.monotonic() < deadline


def test_the_first_line_has_no_escapes_and_quiet_has_no_line(capsys):
    progress.say("reading \x1b[31mx\n", quiet=False)
    progress.say("hidden", quiet=True)
    line = capsys.readouterr().err
    assert line.endswith(" begin  reading ?[31mx?\n")
    assert line.count("\n") == 1


def test_a_terminal_that_is_gone_ends_nothing(monkeypatch):
    gone = io.StringIO()
    gone.close()
    for stream in (gone, None):
        monkeypatch.setattr(sys, "stderr", stream)
        progress.say("reading")


def test_a_folder_of_tables_is_shown_as_one(run, table, tmp_path):
    for year in (2023, 2024):
        (tmp_path / f"sales/year={year}").mkdir(parents=True)
        table.to_csv(tmp_path / f"sales/year={year}/a.csv", index=False)
    code, out, _ = run("data", "sales", "--target", "churn", "--json")
    shown = json.loads(out)
    assert code == 0
    assert sum(shown["rows"].values()) == 800
    assert "year" in [column["name"] for column in shown["columns"]]
    assert run("data", "sales/*/*.csv", "--target", "churn", "--json")[1] == out.replace('"sales"', '"sales/*/*.csv"')


@pytest.mark.parametrize("source", ["churn.csv", "space.yaml"])
def test_what_preparing_takes_is_told_beforehand(run, table, cache, source):
    code, out, _ = run("data", source, "--plan")
    assert code == 0
    assert "rows (estimated)" in out.splitlines()[0]
    assert f"stay in {cache}" in out.splitlines()[1]
    assert "with 1 process" in out.splitlines()[2]
    told = json.loads(run("data", source, "--plan", "--json")[1])
    assert (told["source"], told["files"], told["done"]) == (source, 1, False)
    assert told["rows"] == pytest.approx(400, rel=0.05)
    assert not cache.exists()


def test_a_plan_is_for_tables_in_files(run):
    code, _, err = run("data", "digits", "--plan")
    assert code != 0
    assert "--plan is for tables in files" in err
