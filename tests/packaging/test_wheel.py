"""The wheel, installed outside the tree, searches with its own code."""

import json
import os
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

from tests.support.paths import ROOT

WHERE = """
import json, automl, automl_strategies, automl_search_spaces
print(json.dumps([package.__file__ for package in (automl, automl_strategies, automl_search_spaces)]))
"""


def run(*command: str | Path, cwd: Path) -> str:
    """What `command` prints; it runs without our paths, and must end with exit code 0."""
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run([str(part) for part in command], cwd=cwd, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """The programs of an environment that has the wheel and, by a path file, what we depend on."""
    run(sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", tmp_path, cwd=ROOT)
    (wheel,) = tmp_path.glob("*.whl")
    venv.create(tmp_path / "env", symlinks=True)
    programs = tmp_path / "env" / "bin"
    pip = (sys.executable, "-m", "pip", "--python", programs / "python", "install", "--quiet", "--no-cache-dir")
    run(*pip, "--no-deps", "--no-index", wheel, cwd=tmp_path)
    (packages,) = (tmp_path / "env" / "lib").glob("python*/site-packages")
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return programs


@pytest.mark.slow
def test_a_search_from_the_wheel(installed: Path, tmp_path: Path) -> None:
    places = json.loads(run(installed / "python", "-c", WHERE, cwd=tmp_path))
    assert all(Path(place).is_relative_to(installed.parent) for place in places), places
    run(installed / "automl", "search", "digits", "--trials", "4", "--dir", "studies", "--workers", "1", cwd=tmp_path)
    best = next(tmp_path.glob("studies/*/best/winner.json"))
    assert json.loads(best.read_text())
