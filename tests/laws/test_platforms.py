"""On Windows, without file locks and some signals, the package can be imported and says what does not work."""

import subprocess
import sys
from pathlib import Path

import pytest

AS_ON_WINDOWS = """
import signal, sys
sys.modules["fcntl"] = None
for name in ("SIGUSR1", "SIGUSR2", "SIGHUP", "SIGKILL"):
    delattr(signal, name)
import automl
"""


def run(code: str, folder: Path) -> str:
    """What the program prints."""
    done = subprocess.run(
        [sys.executable, "-c", AS_ON_WINDOWS + code], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_study_in_memory_works_and_every_plugin_is_found(tmp_path: Path) -> None:
    code = """
from automl.core import plugins
plugins.load("executors", "local"), plugins.load("executors", "inline")
with automl.Study({"x": automl.Float(0, 1)}, metric="loss", trials=3) as study:
    while (trial := study.ask()) is not None:
        study.tell(trial, loss=trial["x"])
print(study.counts.done)
"""
    assert run(code, tmp_path) == "3\n"


@pytest.mark.parametrize("executor", ["local", "inline"])
def test_a_search_says_what_does_not_work(tmp_path: Path, executor: str) -> None:
    code = f"""
from automl.errors import EnvironmentProblem
try:
    automl.search(lambda trial: trial.report(loss=1.0), space={{"x": automl.Float(0, 1)}}, metric="loss", trials=1,
                  executor={executor!r}, screen=None)
except EnvironmentProblem as error:
    print(error)
"""
    told = run(code, tmp_path)
    assert "file locks of Linux or macOS" in told
    assert len(told.splitlines()) == 1
