"""Commands: how arguments are filled in, what counts as a report, how a program that fails is named."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from automl.core.messages import Assignment, Reported
from automl.errors import TaskError
from automl.tasks.command import CommandTask, exit_in_words, filled, parsed
from automl.worker.link import Place, Recorder
from automl.worker.trial import Trial

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


def test_an_argument_of_an_inactive_hyperparameter_is_left_out() -> None:
    argv = ("./run", "--lr={lr}", "--momentum={momentum}")
    assert filled(argv, trial({"lr": 0.1}), ["lr", "momentum"]) == ["./run", "--lr=0.1"]


def test_an_unknown_name_is_refused_with_the_nearest_one() -> None:
    with pytest.raises(TaskError, match="no hyperparameter 'momentun'; did you mean 'momentum'"):
        filled(("./run", "{momentun}"), trial({}), ["momentum"])


@pytest.mark.parametrize(
    ("line", "metrics"),
    [('{"val_loss": 0.5}\n', {"val_loss": 0.5}), ("loss 0.5\n", None), ("{broken\n", None), ("{}\n", None)],
)
def test_a_report_is_a_line_of_json(line: str, metrics: dict[str, float] | None) -> None:
    assert parsed(line) == metrics


@pytest.mark.parametrize("code", [0, 3])
def test_a_program_reports_and_its_exit_code_counts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], code: int
) -> None:
    (tmp_path / "program.py").write_text(PROGRAM)
    link = Recorder()
    task = CommandTask(("python", "program.py", "{x}", str(code)), ("x",), tmp_path, 2)
    if code:
        with pytest.raises(TaskError, match="ended with exit code 3"):
            task.open(("cpu",)).run(trial({"x": 1.0}, link))
    else:
        task.open(("cpu",)).run(trial({"x": 1.0}, link))
    points = [event.points[0] for event in link.sent if isinstance(event, Reported)]
    assert [(p.step, p.metrics["val_loss"], p.horizon) for p in points] == [(1, 1.0, 2), (2, 0.5, 2)]
    assert capsys.readouterr().out == "loading\n"


def test_a_program_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(TaskError, match=r"cannot start '\./none': No such file"):
        CommandTask(("./none",), (), tmp_path).run(trial({}))


def test_exit_codes_in_words() -> None:
    assert [exit_in_words(code) for code in (3, -9, -99)] == ["exit code 3", "signal SIGKILL", "signal 99"]
