"""The built-in executors keep the contract; found through the registry, as a stranger's would be."""

import gc
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from multiprocessing import forkserver as stdlib_forkserver
from multiprocessing.process import BaseProcess
from pathlib import Path

import psutil
import pytest

import automl
from automl.core import plugins
from automl.driver.driver import Driver
from automl.errors import EnvironmentProblem
from automl.executors import devices, forkserver, local
from automl.executors.capture import LIMIT_BYTES, StreamCapture, shorten
from automl.executors.local import Local
from automl.tasks.function import FunctionSession, FunctionTask
from automl.testing.executors import ExecutorContract
from automl.worker.worker import Task
from tests.failures.kit import Notes
from tests.support.patience import PATIENCE_S, wait_until


class TestInline(ExecutorContract):
    executor = plugins.load("executors", "inline")
    isolates = False


class TestLocal(ExecutorContract):
    executor = plugins.load("executors", "local")


@pytest.mark.skipif(not forkserver.possible(), reason="workers are not forked on this machine")
class TestForked(ExecutorContract):
    """Workers from the fork server keep the same contract."""

    executor = partial(Local, forked=True)


SCRIPT = """
import sys, time
import automl

def train(trial):
    for step in trial.steps(1000):
        time.sleep(0.02)
        trial.report(loss=1.0 / step)

how = {"name": "local", "forked": sys.argv[2] == "forked"}
automl.search(train, space={"x": automl.Float(0, 1)}, metric="loss", trials=2, path=sys.argv[1], executor=how)
"""


def children(pid: int) -> list[int]:
    """And theirs: forked workers are children of the fork server."""
    with suppress(psutil.NoSuchProcess):
        return [process.pid for process in psutil.Process(pid).children(recursive=True)]
    return []


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("how", ["spawned", "forked"])
def test_workers_die_with_a_killed_driver_and_scripts_need_no_main_guard(tmp_path: Path, how: str) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    driver = subprocess.Popen([sys.executable, str(script), str(tmp_path / "s"), how], stdout=subprocess.PIPE)
    try:
        deadline = time.monotonic() + PATIENCE_S
        while not (workers := children(driver.pid)) or not list((tmp_path / "s").glob("logs/t*")):
            assert time.monotonic() < deadline, "no worker appeared"
            assert driver.poll() is None, "the script ended"
            time.sleep(0.05)
        os.kill(driver.pid, signal.SIGKILL)
        driver.wait()
        # the fork server goes when its last child has gone
        wait_until(lambda: not any(alive(pid) for pid in workers), "a worker outlived its driver")
    finally:
        driver.kill()
        driver.communicate()


@pytest.fixture
def own_fork_servers() -> Iterator[None]:
    """Fork servers of the test's own, in the place of the one that this process has, which later tests go on with."""
    server = vars(stdlib_forkserver)["_forkserver"]
    kept = dict(vars(server))
    server._forkserver_address = server._forkserver_alive_fd = server._forkserver_pid = None
    yield
    forkserver.forget()
    vars(server).update(kept)


@pytest.mark.skipif(not forkserver.possible(), reason="workers are not forked on this machine")
@pytest.mark.usefixtures("own_fork_servers")
def test_forked_workers_get_the_environment_of_now(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "queue.py").write_text("raise ImportError('a file of the user, which has the name of a library')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PYTHONSAFEPATH", raising=False)
    forkserver.begin()
    monkeypatch.setenv("SET_LATER", "17")
    parents: list[int] = []

    def train(trial: automl.Trial) -> None:
        parents.append(os.getppid())
        shared = gc.get_freeze_count() if gc.isenabled() else 0
        cores = int(os.environ["OMP_NUM_THREADS"])
        assert "PYTHONSAFEPATH" not in os.environ
        trial.report(loss=float(os.environ["SET_LATER"]), parent=os.getppid(), cores=cores, shared=shared)

    study = automl.search(
        train,
        space={"x": automl.Float(0, 1)},
        metric="loss",
        trials=1,
        path=tmp_path / "s",
        executor=Local(forked=True, threads=3),
        finalists=None,
    )
    [(_, told)] = study.reports(0)
    assert told["loss"] == 17
    assert told["cores"] == 3
    assert told["parent"] != os.getpid(), "the worker is no child of the fork server"
    assert told["shared"] > 100_000, "garbage collection would copy what the worker shares with the fork server"
    assert not parents, "the worker is a process of its own"


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


@pytest.fixture
def light_fork_servers(own_fork_servers: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fork servers of the test's own, which import nothing."""
    monkeypatch.setattr(forkserver, "PRELOAD", [])


@pytest.mark.catalogue(
    8,
    "the process that workers are forked from is killed",
    "another one is started and the user is told; its workers' trials are tried again",
    0,
)
@pytest.mark.skipif(not forkserver.possible(), reason="workers are not forked on this machine")
@pytest.mark.usefixtures("light_fork_servers")
def test_a_killed_fork_server_is_replaced(tmp_path: Path) -> None:
    def train(trial: automl.Trial) -> None:
        if trial.number in (1, 3) and trial.attempt == 1:
            os.kill(os.getppid(), signal.SIGKILL)
            time.sleep(600)
        trial.report(loss=trial["x"], parent=os.getppid())

    screen = Notes()
    study = automl.search(
        train, space={"x": automl.Float(0, 1)}, metric="loss", strategy="random", trials=6, path=tmp_path / "s",
        executor=Local(forked=True), workers=1, finalists=None, screen=screen,
    )  # fmt: skip
    assert study.counts.done == 6
    assert screen.notes == ["worker 0 is replaced: the process that workers are forked from was killed"]
    parents = [study.reports(n)[-1][1]["parent"] for n in range(6)]
    assert len(set(parents)) == 3
    assert os.getpid() not in parents


@pytest.mark.skipif(not forkserver.possible(), reason="workers are not forked on this machine")
@pytest.mark.usefixtures("light_fork_servers")
def test_workers_that_die_with_their_fork_server_are_no_crashes_of_their_own(tmp_path: Path) -> None:
    opened, kills = tmp_path / "opened", local.CRASHES_AT_START + 1

    class KillsTheServer(Task):
        """A task whose first workers kill the process that they were forked from before they say anything."""

        def open(self, devices: tuple[str, ...]) -> FunctionSession:
            opened.mkdir(exist_ok=True)
            (opened / str(os.getpid())).touch()
            if len(list(opened.iterdir())) <= kills:
                os.kill(os.getppid(), signal.SIGKILL)
                time.sleep(600)
            return FunctionSession(lambda trial: trial.report(loss=1.0))

    study = automl.Study({"x": automl.Float(0, 1)}, metric="loss", strategy="random", trials=1, path=tmp_path / "s")
    try:
        Driver(study, KillsTheServer(), Local(forked=True), 1).run()
    finally:
        study.close()
    assert study.counts.done == 1
    assert len(list(opened.iterdir())) == kills + 1


@pytest.mark.skipif(not forkserver.possible(), reason="workers are not forked on this machine")
def test_a_fork_server_that_is_killed_again_and_again_ends_the_search(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    context, tries = forkserver.context(), []
    assert context is not None

    def refused(process: BaseProcess) -> None:
        tries.append(process)
        raise ConnectionRefusedError(111, "Connection refused")

    monkeypatch.setattr(context.Process, "start", refused)
    monkeypatch.setattr(local, "KILLS_AT_START", 3)
    study = automl.Study({"x": automl.Float(0, 1)}, metric="loss", strategy="random", trials=1, path=tmp_path / "s")
    try:
        with pytest.raises(EnvironmentProblem, match="was killed 3 times while it started a worker"):
            Driver(study, FunctionTask.of(lambda trial: trial.report(loss=1.0)), Local(forked=True), 1).run()
    finally:
        study.close()
    assert len(tries) == 3


@pytest.mark.skipif(not forkserver.possible(), reason="workers are not forked on this machine")
def test_a_fork_server_that_is_about_to_end_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """For a moment it takes no connection any more, and has not ended yet."""
    context = forkserver.context()
    assert context is not None
    start, refused = context.Process.start, []

    def late(process: BaseProcess) -> None:
        if len(refused) < 3:
            refused.append(time.monotonic())
            raise ConnectionRefusedError(111, "Connection refused")
        start(process)

    monkeypatch.setattr(context.Process, "start", late)
    study = automl.search(
        lambda trial: trial["x"], space={"x": automl.Float(0, 1)}, metric="loss", strategy="random", trials=1,
        path=tmp_path / "s", executor=Local(forked=True), workers=1, finalists=None,
    )  # fmt: skip
    assert study.counts.done == 1
    assert refused[2] - refused[0] >= 0.1


def test_there_are_never_more_workers_than_trials(tmp_path: Path) -> None:
    study = automl.Study({"x": automl.Float(0, 1)}, metric="loss", strategy="random", trials=2)
    executor = Local()
    driver = Driver(study, FunctionTask.of(lambda trial: trial.report(loss=1.0)), executor, 8)
    driver.run()
    assert len(driver.workers) == 2


@pytest.mark.parametrize(("said", "threads"), [("1", 1), ("2,1", 2), ("", None)])
def test_the_callers_number_of_threads_holds(
    said: str, threads: int | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def train(trial: automl.Trial) -> object:
        import torch

        return torch.get_num_threads()

    monkeypatch.setenv("OMP_NUM_THREADS", said)
    study = automl.search(
        train, space={"x": automl.Float(0, 1)}, metric="loss", strategy="random", trials=1, workers=1,
        path=tmp_path / "s", finalists=None,
    )  # fmt: skip
    assert study.history.trials[0].loss == (threads or devices.cores())
