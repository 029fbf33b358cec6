"""The command line, walked: every command and option has help, exit codes are the documented ones."""

import csv
import io
import json
import os
import re
import subprocess
import sys
import uuid
from pathlib import Path

import pytest
import typer

from automl.cli import describe_error, main
from automl.cli.app import app
from automl.core.space import Choice, Float
from automl.core.trial import Failure
from automl.errors import LedgerError, SearchFailed, SpecError
from automl.study.study import Study
from tests.support.golden import Golden
from tests.support.paths import ROOT
from tests.support.patience import PATIENCE_S

SPEC = """\
study: parabola
train: MODULE:train
metric: {name: loss, direction: minimize}
space:
  x: {float: [-1.0, 1.0]}
  kind: [good, bad]
budget: {trials: 6}
strategy: random
stopper: none
seed: 3
"""
TASK = """\
def train(trial):
    if trial["kind"] == "bad" and trial["x"] > 0.9:
        raise RuntimeError("boom")
    for step in trial.steps(3):
        trial.report(loss=trial["x"] ** 2 + 1.0 / step)
"""
ALWAYS_FAILS = "def train(trial):\n    raise RuntimeError('never works')\n"


def written(folder, task):
    """A spec and its training function, in a module no other test has imported."""
    module = f"task_{uuid.uuid4().hex}"
    (folder / f"{module}.py").write_text(task)
    (folder / "space.yaml").write_text(SPEC.replace("MODULE", module))
    return folder / "space.yaml"


@pytest.fixture
def spec(tmp_path):
    return written(tmp_path, TASK)


@pytest.fixture
def study(tmp_path):
    """studies/farm: five trials, one of them failed, one unfinished."""
    space = {"lr": Float(1e-3, 1.0, log=True), "act": Choice(("relu", "gelu"))}
    with Study(space, metric="val_loss", trials=5, seed=1, path=tmp_path / "studies" / "farm") as made:
        for k in range(5):
            trial = made.ask()
            if k == 3:
                made.fail(trial, Failure("exception", "RuntimeError: \x1b[2Jboom", 1, "logs/3.log"))
            elif k < 3:
                made.report(trial, 1, {"val_loss": 1.0 + k, "acc": 0.5})
                made.tell(trial, val_loss=0.5 + k, acc=0.75)
    return tmp_path / "studies" / "farm"


def walk(command=None, path=()):
    """Every (path, command) of the application, groups included."""
    command = command or typer.main.get_command(app)
    yield path, command
    for name, inner in getattr(command, "commands", {}).items():
        yield from walk(inner, (*path, name))


COMMANDS = [path for path, _ in walk() if path]


def test_every_command_and_option_has_help():
    for path, command in walk():
        assert command.help, path
        if path:
            assert len(command.get_short_help_str(60)) <= 60
            assert not command.get_short_help_str(60).endswith("..."), (path, command.help)
        for parameter in command.params:
            assert getattr(parameter, "help", ""), (path, parameter.name)


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_help_of_each_command(run, path):
    code, out, err = run(*path, "--help")
    assert code == 0
    assert out.startswith(f"Usage: automl {' '.join(path)}")
    assert err == ""


def test_every_command_and_exit_code_is_documented(run):
    helps = {path: run(*path, "--help")[1] for path, command in walk() if hasattr(command, "commands")}
    for path, command in walk():
        if path and not command.hidden:
            assert f"\n  {path[-1]} " in helps[path[:-1]], "a group of commands lists its own"
    text = " ".join(helps[()].split()).partition("Exit codes: ")[2]
    for code in (0, 1, 2, 3, 4, 5, 130, 143):
        assert f"{code} " in text


def test_version(run):
    code, out, _ = run("--version")
    assert code == 0
    assert out.strip()[0].isdigit()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["serch"], "'search'"),
        (["search"], "'SPEC'"),
        (["search", "x.yaml", "--trils", "3"], "--trials"),
        (["search", "digits", "--trials", "0"], "--trials"),
    ],
)
def test_wrong_usage_is_exit_code_2(run, arguments, message):
    code, out, err = run(*arguments)
    assert (code, out) == (2, "")
    assert message in " ".join(err.split())
    assert "Traceback" not in err


WRONG = [  # arguments, and what the message names
    (["search", "digits", "--time", "soon"], "'soon'"),
    (["search", "digits", "--set", "seed"], "'seed'"),
    (["search", "digitz"], "'digits'"),
    (["search", "nope.yaml"], "nope.yaml"),
    (["validate", "nope.yaml"], "nope.yaml"),
    (["top", "nope"], "'nope'"),
    (["resume", "nope"], "'nope'"),
    (["resume", "farm", "--trials", "many"], "'many'"),
    (["top", "farn"], "'farm'"),
    (["top", "empty"], "ledger.sqlite"),
    (["show", "farm", "99"], "99"),
    (["show", "farm", "first"], "'first'"),
    (["top", "farm", "--where", "lrr<1"], "'lr'"),
    (["top", "farm", "--where", "lr"], "'lr'"),
    (["top", "farm", "--sort", "speed"], "'speed'"),
    (["spaces", "digit"], "'digits'"),
    (["compare", "farm"], "STUDY"),
    (["export", "farm"], "--optuna"),
    (["predict", "nope", "rows.csv"], "'nope'"),
    (["plot", "histroy", "farm"], "'history'"),
    (["plot", "importance", "farm"], "importance"),
    (["mup-check", "digits", "--widths", "64"], "'64'"),
]


@pytest.mark.parametrize(("arguments", "named"), WRONG, ids=[" ".join(arguments) for arguments, _ in WRONG])
def test_wrong_input_is_exit_code_2_and_one_message(golden: Golden, run, study, arguments, named):
    (study.parent / "empty").mkdir()
    code, out, err = run(*arguments)
    assert (code, out) == (2, "")
    assert named in err
    assert "Traceback" not in err
    golden.entry("errors", " ".join(arguments), " ".join((err.partition("Error: ")[2] or err).split()))


def test_every_message_is_that_of_a_test(golden: Golden):
    golden.only("errors", ["unexpected error", *(" ".join(arguments) for arguments, _ in WRONG)])


def test_a_damaged_ledger_is_exit_code_3(run, study):
    (study / "ledger.sqlite").write_bytes(b"this is no database" * 100)
    code, out, err = run("top", "farm")
    assert code == 3
    assert out == ""
    assert "Traceback" not in err


def test_debug_shows_the_traceback(study, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    for arguments in (["--debug", "top", "nope"], ["top", "nope", "--debug"]):
        with pytest.raises(SpecError):
            main(arguments)


@pytest.mark.parametrize(
    ("error", "message", "code"),
    [
        (SpecError("space.yaml:7:14: lr: bad"), "space.yaml:7:14: lr: bad", 2),
        (LedgerError("locked"), "automl: locked", 3),
        (SearchFailed("x\x1b[2J"), "automl: x[2J", 4),
        (PermissionError(13, "Permission denied", "studies"), "automl: studies: Permission denied", 5),
    ],
)
def test_what_the_user_reads_of_an_error(error, message, code):
    assert describe_error(error) == (message, code)


def test_an_unexpected_error_is_called_a_bug(golden):
    message, code = describe_error(KeyError("x"))
    assert code == 1
    golden.entry("errors", "unexpected error", message)


def test_top_prints_the_board_and_programs_read_it(run, study):
    code, out, _ = run("top", "farm")
    assert code == 0
    lines = out.splitlines()
    assert lines[0].split()[:5] == ["rank", "trial", "state", "val_loss", "at"]
    assert [line.split()[1] for line in lines[1:6]] == ["t0000", "t0001", "t0002", "t0004", "t0003"]
    assert "\x1b" not in out
    assert run("top", study)[1] == out, "a path is as good as a name"
    document = json.loads(run("top", "farm", "--json")[1])
    assert [r["trial"] for r in document["rows"]] == [0, 1, 2, 4, 3]
    assert document["rows"][0]["value"] == 0.5
    table = list(csv.DictReader(io.StringIO(run("top", "farm", "--csv", "-n", "2")[1])))
    assert [r["trial"] for r in table] == ["0", "1"]


def test_top_picks_and_orders(run, study):
    def trials(*arguments):
        return [r["trial"] for r in json.loads(run("top", "farm", "--json", *arguments)[1])["rows"]]

    assert trials("-n", "1") == [0]
    assert trials("--where", "state=done", "--sort", "-value") == [2, 1, 0]
    assert trials("--where", "val_loss<1", "--where", "trial>=0") == [0]
    assert trials("--where", "state!=done") == [4, 3]
    assert trials("--sort", "-trial") == [4, 3, 2, 1, 0]
    by_lr = json.loads(run("top", "farm", "--json", "--sort", "lr")[1])["rows"]
    assert [r["config"]["lr"] for r in by_lr] == sorted(r["config"]["lr"] for r in by_lr)
    assert all(
        r["config"]["act"] == "relu" for r in json.loads(run("top", "farm", "--json", "--where", "act=relu")[1])["rows"]
    )


def test_show(golden: Golden, run, study):
    code, out, _ = run("show", "farm", "t0000")
    assert code == 0
    assert "acc" in out
    golden.entry("show", "done", _without_what_varies(out))
    document = json.loads(run("show", "farm", "0", "--json")[1])
    assert document["config"]["act"] in ("relu", "gelu")
    assert document["reports"] == [{"step": 1, "val_loss": 1.0, "acc": 0.5}, {"step": 2, "val_loss": 0.5, "acc": 0.75}]
    failed = run("show", "farm", "3")[1]
    assert "exception at step 1: RuntimeError: [2Jboom" in failed
    assert "logs/3.log" in failed
    golden.entry("show", "failed", _without_what_varies(failed))


def _without_what_varies(text):
    """Durations and random numbers replaced by `-`, and blanks at the ends of lines removed."""
    return "\n".join(re.sub(r"\b\d+(\.\d+)?s\b|\b0\.\d{6,}", "-", line).rstrip() for line in text.rstrip().splitlines())


def test_validate(golden: Golden, run, spec):
    code, out, err = run("validate", spec)
    assert (code, err) == (0, "")
    assert out.startswith(f"{spec}: ok\n")
    golden.text("plan", re.sub(r"task_\w+", "task", out.partition("\n")[2]))
    facts = json.loads(run("validate", spec, "--json", "--set", "budget.trials=9")[1])
    assert facts["ok"]
    assert facts["budget"]["trials"] == 9
    spec.write_text(SPEC.replace("[-1.0, 1.0]", "[1.0, -1.0]"))
    code, out, err = run("validate", spec)
    assert code == 2
    assert out == ""
    assert f"{spec}:5:" in err
    code, out, _ = run("validate", spec, "--json")
    assert code == 2
    assert not json.loads(out)["ok"]


def test_schema_strategies_spaces(run):
    assert json.loads(run("schema")[1])["properties"]["space"]
    listed = json.loads(run("strategies", "--json")[1])
    assert {"random", "grid"} <= {s["name"] for s in listed["strategies"]}
    assert {"asha", "none"} <= {s["name"] for s in listed["stoppers"]}
    assert all(s["summary"] for group in ("strategies", "stoppers") for s in listed[group] if not s["error"])
    text = run("strategies")[1]
    assert "resolution = 5" in text
    assert "digits" in run("spaces")[1]
    assert "epochs: 30" in run("spaces", "digits")[1]


def test_search_ends_with_the_block_and_exit_code_0(run, spec):
    code, out, err = run("search", spec, "--executor", "inline", "--workers", "1")
    assert code == 0, err
    assert out.startswith("Finished: 6 trials in ")
    assert out.splitlines()[1].startswith("best       t000")
    assert " start  study=parabola trials<=6" in err
    assert err.count(" done   ") + err.count(" fail   ") == 6


def test_search_json_is_exactly_one_document(run, spec, tmp_path):
    code, out, _ = run("search", spec, "--executor", "inline", "--json", "--name", "other", "--events", "events.jsonl")
    assert code == 0
    document = json.loads(out)
    assert document["study"] == "other"
    assert Path(document["path"]) == Path("studies/other")
    assert document["counts"]["done"] == 6
    assert document["best"]["value"] == pytest.approx(document["best"]["config"]["x"] ** 2 + 1 / 3)
    events = [json.loads(line)["event"] for line in (tmp_path / "events.jsonl").read_text().splitlines()]
    assert (events[0], events[-1], events.count("ended")) == ("begin", "finish", 6)
    best = json.loads(run("top", "other", "--json", "-n", "1")[1])["rows"][0]
    assert best["trial"] == document["best"]["trial"]


def test_quiet_prints_the_block_alone(run, spec):
    code, out, err = run("search", spec, "--executor", "inline", "-q", "--trials", "2")
    assert (code, err) == (0, "")
    assert out.startswith("Finished: 2 trials")


def test_fail_under(run, spec):
    code, _, err = run("search", spec, "--executor", "inline", "-q", "--fail-under", "0.0")
    assert code == 1
    assert "--fail-under" in err


def test_resume_adds_trials(run, spec):
    run("search", spec, "--executor", "inline", "-q", "--trials", "2")
    code, out, err = run("resume", "parabola", "--trials", "+3", "-q")
    assert code == 0, err
    assert out.startswith("Finished: 5 trials")


def test_options_come_from_the_environment_too(run, spec, monkeypatch):
    monkeypatch.setenv("AUTOML_SEARCH_TRIALS", "3")
    monkeypatch.setenv("AUTOML_DIR", "elsewhere")
    code, out, _ = run("search", spec, "--executor", "inline", "-q")
    assert code == 0
    assert out.startswith("Finished: 3 trials")
    assert Path("elsewhere/parabola/ledger.sqlite").is_file()


def test_nothing_but_failures_is_exit_code_4(run, tmp_path):
    code, out, err = run("search", written(tmp_path, ALWAYS_FAILS), "--executor", "inline", "--json")
    assert code == 4
    assert json.loads(out)["error"]["code"] == "search_failed"
    assert "never works" in err
    assert "Traceback" not in err


def test_so_it_is_where_the_budget_ends_before_the_fifth_failure(run, tmp_path):
    code, out, _ = run("search", written(tmp_path, ALWAYS_FAILS), "--executor", "inline", "-q", "--trials", "2")
    assert code == 4
    assert "never works" in out


def test_dry_run_of_a_function_shows_the_plan_and_calls_nothing(run, tmp_path):
    code, out, _ = run("search", written(tmp_path, ALWAYS_FAILS), "--dry-run", "--trials", "9", "--strategy", "grid")
    assert code == 0
    assert "9 trials" in out
    assert "grid" in out
    assert "batch     " in out
    assert not Path("studies").exists()


def test_dry_run_of_a_model_trains_one_batch(run):
    code, out, err = run("search", "digits", "--dry-run")
    assert code == 0, err
    assert re.search("rows +899 .* 449 .* 449 ", out)
    assert "batch     64 rows" in out
    code, out, _ = run("search", "digits", "--dry-run", "--json", "--set", "data=iris")
    assert json.loads(out)["batch"]["rows"]["train"] == 75
    code, _, err = run("search", "digits", "--dry-run", "--set", "data=nothing")
    assert code == 2
    assert "nothing" in err
    assert not Path("studies").exists()


HEAVY = ("torch", "ray", "optuna", "sklearn", "scipy", "skopt", "deap", "matplotlib", "pandas", "mlflow", "wandb")


LIGHT = (["--help"], ["search", "--help"], ["top", "farm"], ["validate", "space.yaml"], ["show", "farm", "0"])


def test_light_commands_import_nothing_heavy(study, spec, tmp_path):
    program = (
        "import sys\nfrom automl.cli import main, progress\nprogress.LATE_S = 60.0\n"
        f"for arguments in {LIGHT}:\n"
        "    try:\n        main(arguments)\n    except SystemExit as ended:\n        assert not ended.code, arguments\n"
        f"    print(arguments, [m for m in {HEAVY} if m in sys.modules], file=sys.stderr)"
    )
    path = os.pathsep.join(str(ROOT / p) for p in (".", "strategies", "search_spaces"))
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr.splitlines() == [f"{arguments} []" for arguments in LIGHT]


def test_ctrl_c_while_the_commands_are_imported_prints_no_traceback():
    program = (
        "import builtins, sys\nreal = builtins.__import__\n"
        "def slow(name, *rest):\n    if name == 'automl.cli.app':\n        raise KeyboardInterrupt\n"
        "    return real(name, *rest)\n"
        "builtins.__import__ = slow\nfrom automl.cli import main\nmain(['judge', 'a.yaml', 'b.yaml'])"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=PATIENCE_S)
    assert (ended.returncode, ended.stdout, ended.stderr) == (130, "", "automl: stopped\n")


def test_python_m_automl_is_the_command():
    ended = subprocess.run(
        [sys.executable, "-m", "automl", "--version"], capture_output=True, text=True, timeout=PATIENCE_S
    )
    assert (ended.returncode, ended.stdout.count(".")) == (0, 2)
