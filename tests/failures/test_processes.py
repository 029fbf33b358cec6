"""Failure catalogue: what training code starts ends with it."""

import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

import automl
from tests.failures.kit import search


def forks(trial: automl.Trial) -> None:
    subprocess.Popen(["sleep", "611"], start_new_session=True)
    if (pid := os.fork()) == 0:  # a daemon: its parent ends, it goes on in a session of its own
        if os.fork() == 0:
            os.setsid()
            time.sleep(611)
        os._exit(0)
    os.waitpid(pid, 0)
    trial.report(loss=1.0)
    if trial.number == 1:
        os.kill(os.getpid(), 9)


def _marked(mark: str) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("AUTOML_WORKER", "").startswith(mark) and process.status() != "zombie":
                found.append(process)
        except (psutil.Error, OSError):
            continue
    return found


@pytest.mark.skipif(sys.platform != "linux", reason="looks at the environment of other processes")
@pytest.mark.catalogue(
    36,
    "training code leaves processes behind",
    "they end with their worker, also daemons; nothing outlives the search",
    0,
)
def test_nothing_that_a_trial_started_outlives_the_search(tmp_path: Path) -> None:
    before = psutil.Process().children()
    study = search(forks, tmp_path / "s", executor="local", workers=1, trials=2, retries=0)
    assert study.counts.done == 1
    new = [process for process in psutil.Process().children() if process not in before]
    assert [process for process in new if process.status() == "zombie"] == []
    assert _marked(f"{tmp_path / 's'}/") == []


def forks_unmarked(trial: automl.Trial) -> None:
    """Leaves a process with an emptied environment, in a session of its own, whose parent has ended."""
    line = f"sleep 612.{trial['x']} & echo $!"
    with subprocess.Popen(["/bin/sh", "-c", line], env={}, start_new_session=True, stdout=subprocess.PIPE) as shell:
        assert shell.stdout is not None
        child = int(shell.stdout.readline())
        shell.kill()
    trial.report(loss=1.0, child=child)
    if trial.number == 1:
        os.kill(os.getpid(), 9)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux hands such processes to the worker or the driver")
def test_nor_does_what_began_with_an_emptied_environment(tmp_path: Path) -> None:
    study = search(forks_unmarked, tmp_path / "s", executor="local", workers=1, trials=3, retries=0)
    children = [int(study.reports(n)[0][1]["child"]) for n in range(3)]
    running = [pid for pid in children if psutil.pid_exists(pid) and psutil.Process(pid).status() != "zombie"]
    assert running == []
    assert study.counts.done == 2
