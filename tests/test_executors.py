"""The built-in executors keep the contract; found through the registry, as a stranger's would be."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from automl import plugins
from automl.executors.capture import LIMIT_BYTES, StreamCapture, shorten
from automl.testing.executors import ExecutorContract


class TestInline(ExecutorContract):
    executor = plugins.load("executors", "inline")
    isolates = False


class TestLocal(ExecutorContract):
    executor = plugins.load("executors", "local")


SCRIPT = """
import sys, time
import automl

def train(trial):
    for step in trial.steps(1000):
        time.sleep(0.02)
        trial.report(loss=1.0 / step)

automl.search(train, space={"x": automl.Float(0, 1)}, metric="loss", trials=2, path=sys.argv[1])
"""


def children(pid: int) -> list[int]:
    out = subprocess.run(["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, text=True, check=False).stdout
    return [int(line) for line in out.split()]


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_workers_die_with_a_killed_driver_and_scripts_need_no_main_guard(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    driver = subprocess.Popen([sys.executable, str(script), str(tmp_path / "s")], stdout=subprocess.PIPE)
    try:
        deadline = time.monotonic() + 60
        while not (workers := children(driver.pid)) or not list((tmp_path / "s").glob("logs/t*")):
            assert time.monotonic() < deadline, "no worker appeared"
            assert driver.poll() is None, "the script ended"
            time.sleep(0.05)
        os.kill(driver.pid, signal.SIGKILL)
        driver.wait()
        deadline = time.monotonic() + 5
        while any(alive(pid) for pid in workers):
            assert time.monotonic() < deadline, "a worker outlived its driver"
            time.sleep(0.05)
    finally:
        driver.kill()
        driver.communicate()


def test_a_long_log_keeps_its_head_and_tail(tmp_path: Path) -> None:
    path = tmp_path / "t.log"
    path.write_bytes(b"head" + b"x" * (2 * LIMIT_BYTES) + b"tail")
    shorten(path)
    content = path.read_bytes()
    assert content.startswith(b"head")
    assert content.endswith(b"tail")
    assert len(content) < LIMIT_BYTES + 100


def test_breakpoint_gets_the_terminal_back(tmp_path: Path) -> None:
    before = sys.stdout
    seen = []
    hook, sys.breakpointhook = sys.breakpointhook, lambda *a, **k: seen.append(sys.stdout)
    try:
        with StreamCapture(tmp_path)(3):
            print("into the log")
            breakpoint()
        assert seen == [before]
    finally:
        sys.breakpointhook = hook
    assert (tmp_path / "t00003.log").read_text() == "into the log\n"
