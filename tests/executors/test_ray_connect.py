"""A node of Ray that is late on a busy machine is started once more."""

import subprocess
import sys
from pathlib import Path
from types import ModuleType

import psutil
import pytest

from automl.executors import ray_connect

LATE = "The current node timed out during startup."


@pytest.fixture
def ray(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Where Ray is installed, without Ray."""
    module = ModuleType("ray")
    module.__file__ = str(tmp_path / "ray" / "__init__.py")
    monkeypatch.setitem(sys.modules, "ray", module)
    return tmp_path / "ray"


def test_the_second_start_counts_and_what_the_first_left_is_gone(ray: Path) -> None:
    left: list[subprocess.Popen[bytes]] = []
    sleeping = [sys.executable, "-c", "import time; time.sleep(60)"]
    other = subprocess.Popen(sleeping)

    def start() -> str:
        if left:
            return "started"
        left.append(subprocess.Popen([*sleeping, str(ray / "raylet")]))
        raise RuntimeError(LATE)

    try:
        assert ray_connect.patiently(start) == "started"
        assert not psutil.pid_exists(left[0].pid)
        left[0].wait()
        assert other.poll() is None
    finally:
        other.kill()
        other.wait()


@pytest.mark.parametrize(("message", "times"), [(LATE, 2), ("no such address", 1)])
@pytest.mark.usefixtures("ray")
def test_other_errors_and_a_second_one_are_raised(message: str, times: int) -> None:
    tried = []

    def start() -> None:
        tried.append(1)
        raise RuntimeError(message)

    with pytest.raises(RuntimeError, match=message):
        ray_connect.patiently(start)
    assert len(tried) == times
