"""Commands: how arguments are filled in, what counts as a report, how a program that fails is named."""

import json
import math
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from automl.core.messages import Assignment, Reported
from automl.errors import NoReport, TaskError
from automl.tasks.command import CommandTask, exit_in_words, filled
from automl.tasks.command_output import CommandOutput, Report
from automl.worker.link import Place, Recorder
from automl.worker.trial import Trial
from tests.support.patience import PATIENCE_S

PROGRAM = """
import os, sys
print("loading")
for step in (1, 2):
    print('{"val_loss": %s, "step": %d}' % (float(sys.argv[1]) / step, step), flush=True)
assert os.environ["AUTOML_TRIAL"] == "7"
sys.exit(int(sys.argv[2]))
"""


def trial(config: dict[str, Any], link: Recorder | None = None) -> Trial:
    return Trial(Assignment(7, config, 1, 5), Place(), link or Recorder())


def test_names_stand_for_hyperparameters_and_facts_of_the_trial() -> None:
    argv = ("./run", "--lr={lr}", "--trial={trial}", "--seed={seed}", "{config}")
    assert filled(argv, trial({"lr": 0.1}))[:4] == ["./run", "--lr=0.1", "--trial=7", "--seed=5"]
    assert json.loads(filled(argv, trial({"lr": 0.1}))[4]) == {"lr": 0.1}
    assert filled(("python", "x.py"), trial({})) == [sys.executable, "x.py"]


def test_the_trials_folder_is_there_wherever_the_program_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "spec").mkdir()
    code = (
        "import os, sys\nopen(sys.argv[1] + '/a', 'w')\nopen(os.environ['AUTOML_FOLDER'] + '/b', 'w')\nprint('loss 1')"
    )
    here = Trial(Assignment(7, {}, 1, 5), Place(folder=Path("studies/s")), Recorder())
    CommandTask(("python", "-c", code, "{folder}"), folder=tmp_path / "spec", report=r"loss (?P<loss>\d)").run(here)
    assert here.folder is not None
    assert {file.name for file in here.folder.iterdir()} == {"a", "b"}
    assert here.folder.absolute().is_relative_to(tmp_path / "studies" / "s")


def test_an_argument_of_an_inactive_hyperparameter_is_left_out() -> None:
    argv = ("./run", "--lr={lr}", "--momentum={momentum}")
    assert filled(argv, trial({"lr": 0.1}), ["lr", "momentum"]) == ["./run", "--lr=0.1"]


def test_an_unknown_name_is_refused_with_the_nearest_one() -> None:
    with pytest.raises(TaskError, match="no hyperparameter 'momentun'; did you mean 'momentum'"):
        filled(("./run", "{momentun}"), trial({}), ["momentum"])


def read(text: str, pattern: str | None = None) -> list[Report | str]:
    """What the output of a program is taken for; a carriage return ends a line, as it does for a pipe in text mode."""
    output = CommandOutput("val_loss", pattern)
    parts = [part for line in text.replace("\r", "\n").splitlines(keepends=True) for part in output.read(line)]
    return [*parts, *output.end()]


@pytest.mark.parametrize(
    ("text", "reports"),
    [
        ('{"val_loss": 0.5}\n', [Report(None, {"val_loss": 0.5})]),
        ('{"step": 3, "val_loss": 0.5, "acc": 1}', [Report(3, {"val_loss": 0.5, "acc": 1})]),
        ('{"epoch": 2, "val_loss": 0.5}', [Report(2, {"val_loss": 0.5})]),
        ('{"step": "1", "val_loss": "0.5"}', [Report(1, {"val_loss": 0.5})]),
        ('{"step": 1, "metrics": {"val_loss": 0.5, "a": 1}}', [Report(1, {"val_loss": 0.5, "a": 1})]),
        ("{'step': 1, 'val_loss': 0.5}", [Report(1, {"val_loss": 0.5})]),
        ('{\n  "step": 1,\n  "val_loss": 0.5\n}\n', [Report(1, {"val_loss": 0.5})]),
        ('\r 0%|\r80%|####{"step": 1, "val_loss": 0.5}', [Report(1, {"val_loss": 0.5})]),
        ('{"val_loss": 0.5, "self": 1, "values": 2}', [Report(None, {"val_loss": 0.5, "self": 1, "values": 2})]),
        ('{"val_loss": 0.5, "name": "run 3", "ok": true, "list": [1]}', [Report(None, {"val_loss": 0.5})]),
        ('{"level": "info", "msg": "start", "ts": 1}\n', []),
        ('{"step": 1, "train_loss": 0.5}\n', []),
        ('{"val_loss": true}\n{"val_loss": "low"}\n{"val_loss": null}\n{"val_loss": [0.5]}\n', []),
        ('loss 0.5\n{broken\n{}\n[1, 2]\n"text"\n', []),
        ('{\n "level": "info"\n}\n{"val_loss": 0.5}\n', [Report(None, {"val_loss": 0.5})]),
        ("{\n" + "x\n" * 300 + '{"val_loss": 0.5}\n', [Report(None, {"val_loss": 0.5})]),
        ("{" * 100_000 + "\n", []),
        ('{\nstray\n{"val_loss": 0.5}\nmore\n', [Report(None, {"val_loss": 0.5})]),
        ('{\n{"val_loss": 0.5}\n{"val_loss": 0.4}', [Report(None, {"val_loss": 0.5}), Report(None, {"val_loss": 0.4})]),
        ('{\n "step": 2,\n "metrics": {"val_loss": 0.5}\n}\n', [Report(2, {"val_loss": 0.5})]),
        ('{\n  epoch 3: {"val_loss": 0.5}\n', [Report(None, {"val_loss": 0.5})]),
        ("{'epoch': np.int64(3), 'val_loss': np.float64(0.5)}\n", [Report(3, {"val_loss": 0.5})]),
        ("{'step': 1, 'val_loss': tensor(0.5, grad_fn=<MseLossBackward0>)}\n", [Report(1, {"val_loss": 0.5})]),
        ("{'step': 1, 'val_loss': inf}\n", [Report(1, {"val_loss": math.inf})]),
        ("{'val_loss': open('x')}\n", []),
    ],
    ids=range(25),
)
def test_a_report_is_json_with_the_metric(text: str, reports: list[Report]) -> None:
    parts = read(text)
    assert [part for part in parts if isinstance(part, Report)] == reports
    if not reports:
        assert "".join(part for part in parts if isinstance(part, str)) == text


@pytest.mark.parametrize("text", ['{"step": 1, "val_loss": NaN}', "{'step': 1, 'val_loss': nan}"])
def test_not_a_number_is_a_report_which_fails_the_trial(text: str) -> None:
    (report,) = read(text)
    assert isinstance(report, Report)
    assert str(report.metrics["val_loss"]) == "nan"


def test_a_pattern_finds_reports_in_text() -> None:
    pattern = r"[Ee]poch (?P<epoch>\d+).*val_loss[=:] ?(?P<val_loss>[0-9.]+%?)"
    parts = read("Epoch 1: lr=3 val_loss=0.50\nsaved\nepoch 2 val_loss: 25%\n", pattern)
    assert parts == [Report(1, {"val_loss": 0.5}), "saved\n", Report(2, {"val_loss": 0.25})]


def test_a_program_that_never_reports_is_told_how_to() -> None:
    code = "for k in range(30): print('epoch', k)"
    with pytest.raises(NoReport, match=r"without reporting val_acc\. Print a line of JSON") as caught:
        CommandTask(("python", "-c", code), metric="val_acc").run(trial({}))
    assert "epoch 29" in str(caught.value)
    assert "epoch 3\n" not in str(caught.value)
    assert "report: 'val_acc=(?P<val_acc>[0-9.]+)'" in str(caught.value)


def test_a_pattern_that_fits_nothing_is_named() -> None:
    task = CommandTask(("python", "-c", "print('accuracy: 0.5')"), metric="acc", report="acc=(?P<acc>[0-9.]+)")
    with pytest.raises(NoReport, match=r"(?s)no line that it printed has a number where report: 'acc=\(.*accuracy: 0"):
        task.run(trial({}))


@pytest.mark.parametrize(
    ("argument", "config", "text"),
    [
        ("{amp?--amp}", {"amp": True}, "--amp"),
        ("{amp?--amp}", {"amp": False}, None),
        ("{amp?--amp}", {}, None),
        ("--amp={amp:on|off}", {"amp": False}, "--amp=off"),
        ("--amp={amp:json}", {"amp": True}, "--amp=true"),
        ("--x={amp:json}", {"amp": None}, "--x=null"),
        ("--lr={amp:.1e}", {"amp": 0.01}, "--lr=1.0e-02"),
        ("{{{amp}}}", {"amp": 1}, "{1}"),
    ],
)
def test_flags_and_formats(argument: str, config: dict[str, Any], text: str | None) -> None:
    assert filled(("./run", argument), trial(config), ["amp"]) == (["./run", text] if text else ["./run"])


@pytest.mark.parametrize(
    "argument", ["{lr:>3000000000}", "{lr!r}", "{lr.real}", "{lr[0]}", "{lr:{lr}}", "{lr", "{}", "{lr:q}"]
)
def test_templates_that_are_refused(argument: str) -> None:
    with pytest.raises(TaskError):
        filled(("./run", argument), trial({"lr": 0.1}), ["lr"])


@pytest.mark.parametrize("code", [0, 3])
def test_a_program_reports_and_its_exit_code_counts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], code: int
) -> None:
    (tmp_path / "program.py").write_text(PROGRAM)
    link = Recorder()
    task = CommandTask(("python", "program.py", "{x}", str(code)), ("x",), tmp_path, 2, metric="val_loss")
    if code:
        with pytest.raises(TaskError, match="ended with exit code 3"):
            task.open(("cpu",)).run(trial({"x": 1.0}, link))
    else:
        task.open(("cpu",)).run(trial({"x": 1.0}, link))
    points = [event.points[0] for event in link.sent if isinstance(event, Reported)]
    assert [(p.step, p.metrics["val_loss"], p.horizon) for p in points] == [(1, 1.0, 2), (2, 0.5, 2)]
    assert capsys.readouterr().out == "loading\n"


def run(folder: Path, program: str) -> list[Any]:
    """What a program of one trial reports."""
    (folder / "p.py").write_text("import json, os, subprocess, sys, time\n" + program)
    link = Recorder()
    CommandTask(("python", "p.py"), folder=folder, metric="val_loss").run(trial({}, link))
    return [message for message in link.sent if isinstance(message, Reported)]


def _alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() not in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD)
    except psutil.NoSuchProcess:
        return False


def test_what_a_program_leaves_behind_is_ended_and_not_waited_for(tmp_path: Path) -> None:
    program = """
left = subprocess.Popen(["sleep", "600"])
print(json.dumps({"val_loss": left.pid}))
"""
    started = time.monotonic()
    reported = run(tmp_path, program)
    assert time.monotonic() - started < PATIENCE_S
    left = int(reported[0].points[0].metrics["val_loss"])
    while _alive(left):  # a signal arrives a moment after it is sent
        assert time.monotonic() - started < PATIENCE_S
        time.sleep(0.01)


def test_reports_in_colour_and_without_an_end_of_line(tmp_path: Path) -> None:
    program = r"""
sys.stderr.write("\r10%|#")
sys.stdout.write("\x1b[32m{\"val_loss\": 1.5}\x1b[0m\r\n\xff")
sys.stdout.write("{\"val_loss\": 2.5}")
"""
    assert [report.points[0].metrics["val_loss"] for report in run(tmp_path, program)] == [1.5, 2.5]


@pytest.mark.parametrize("program", ["raise ValueError('no such column')", "print('no such column'); sys.exit(3)"])
def test_a_program_that_fails_is_quoted(tmp_path: Path, program: str) -> None:
    with pytest.raises(TaskError, match=r"python ended with exit code \d: .*no such column; its output"):
        run(tmp_path, program)


def test_a_program_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(TaskError, match=r"cannot start '\./none': No such file"):
        CommandTask(("./none",), (), tmp_path).run(trial({}))


def test_exit_codes_in_words() -> None:
    assert [exit_in_words(code) for code in (3, -9, -99)] == ["exit code 3", "signal SIGKILL", "signal 99"]
