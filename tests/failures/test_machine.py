"""The failure catalogue, part two: what goes wrong around trials: processes, signals, disk, devices, terminals."""

import errno
import multiprocessing
import os
import signal
import subprocess
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import automl
from automl.core.trial import State
from automl.driver.signals import Interrupted
from automl.driver.watchdog import Watchdog
from automl.errors import EnvironmentProblem, LedgerError
from automl.executors.local import Local
from automl.study import checkpoint
from automl.study.paths import LEDGER
from automl.study.reader import StudyView
from automl.study.study import Study
from automl.testing.executors import bowl
from automl.view.screens.wrappers import GuardedScreen
from tests.failures.kit import (
    board,
    driver,
    parabola,
    python,
    search,
    trials_begun,
    wait_for_reports,
)
from tests.support.patience import PATIENCE_S, wait_until
from tests.support.screens import Notes

SLOW = """
import automl, time, sys
def train(trial):
    total = (trial.load() or {"total": 0.0})["total"]
    for step in trial.steps(5):
        time.sleep(0.03)
        total = total / 2 + (trial["x"] - 0.3) ** 2 + trial.seed % 97 / step
        try:
            trial.report(loss=total)
        finally:
            trial.save({"total": total})
"""


def searching(workers: int = 1) -> str:
    """A program that searches in `s`, eight trials of five steps."""
    return SLOW + (
        "automl.search(train, space={'x': automl.Float(0, 1)}, metric='loss', trials=8, seed=1, strategy='random', "
        f"workers={workers}, executor='local', path='s')"
    )


def searched(path: Path) -> list[tuple[object, ...]]:
    """Begin the search of `searching` at `path`, or go on with it there, in this process; what it ends with."""
    namespace: dict[str, object] = {}
    exec(SLOW.replace("time.sleep(0.03)", "pass"), namespace)
    search(namespace["train"], path, trials=8)  # type: ignore[arg-type]
    return board(path)


@pytest.fixture
def whole(tmp_path: Path) -> list[tuple[object, ...]]:
    """What the search of `searching` ends with when nothing happens to it."""
    return searched(tmp_path / "whole")


def killed_for_memory(trial: automl.Trial, marker: Path) -> None:
    if trial.number == 1 and not marker.exists():
        marker.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    trial.report(loss=1.0)


@pytest.mark.catalogue(
    4, "the system runs out of memory and kills a worker", "retried; the search goes on with one worker less", 0
)
def test_a_worker_killed_for_memory_is_not_replaced(tmp_path: Path) -> None:
    marker = tmp_path / "killed"
    screen = Notes()
    train = partial(killed_for_memory, marker=marker)
    run = driver(train, tmp_path / "s", Local(oom_kills=marker.exists), workers=2, screen=screen)
    run.run()
    run.study.close()
    assert run.study.counts.done == 6
    assert run.study.history.trials[1].attempt == 2
    assert run.workers.usable == 1
    assert screen.notes == ["going on with one worker less: the system ran out of memory"]


@pytest.mark.catalogue(
    7, "the driver is killed (SIGKILL) at any instant", "workers die with it; `automl resume` ends with the same "
    "leaderboard and curves; at most one checkpoint interval is trained again", None,
)  # fmt: skip
def test_a_killed_driver(tmp_path: Path, whole: list[object]) -> None:
    for count in (3, 9, 20):
        victim = python(searching(), tmp_path)
        wait_for_reports(tmp_path / "s", count)
        victim.kill()
        victim.communicate()
    last = python(searching(), tmp_path)
    assert (last.communicate(timeout=PATIENCE_S), last.returncode) == (("", None), 0)
    assert board(tmp_path / "s") == whole


def dies_while_reporting(trial: automl.Trial) -> None:
    for step in trial.steps(3):
        if trial.number in (1, 2) and trial.attempt == 1 and step == 2:
            trial.save({"step": step})  # ahead of what the driver knows
            os.kill(os.getpid(), signal.SIGKILL)
        trial.load()
        trial.report(step, loss=float(step))


@pytest.mark.catalogue(8, "a worker is killed (SIGKILL)", "only its trial is tried again, from its checkpoint", 0)
@pytest.mark.catalogue(9, "the driver writes to a worker that is dead", "no error: the worker counts as lost", 0)
def test_a_killed_worker(tmp_path: Path) -> None:
    study = search(dies_while_reporting, tmp_path / "s", executor="local", workers=2)
    assert study.counts.done == 6
    assert [t.attempt for t in study.history.trials] == [1, 2, 2, 1, 1, 1]


@pytest.mark.catalogue(
    10, "a checkpoint is ahead of the ledger", "the attempt sends the curve again: no holes, no double points", 0
)
def test_a_checkpoint_ahead_of_the_ledger(tmp_path: Path) -> None:
    study = search(parabola, tmp_path / "whole", trials=1)
    curve = study.history.trials[0].curve
    run = driver(parabola, tmp_path / "s", trials=1)
    ledger = run.study.ledger
    ledger.report, report = (lambda *a, **k: _cut(report, *a, **k)), ledger.report  # type: ignore[method-assign]
    with pytest.raises(Interrupted):
        run.run()
    run.study.close()
    assert len(StudyView(tmp_path / "s").history.trials[0].curve) == 2
    saved = checkpoint.save(tmp_path / "s" / "trials" / "00000", 4, *_state(study, curve))
    assert saved is None
    assert search(parabola, tmp_path / "s", trials=1).history.trials[0].curve == curve


def _cut(report: object, trial: int, step: int, *rest: object, **more: object) -> object:
    """The driver dies before it hears of step 3."""
    if step == 3:
        raise KeyboardInterrupt
    return report(trial, step, *rest, **more)  # type: ignore[operator]


def _state(study: Study, curve: object) -> tuple[object, object]:
    return {"total": study.history.trials[0].loss}, [(s, {"loss": v}) for s, v in curve]  # type: ignore[attr-defined]


@pytest.mark.catalogue(11, "Ctrl-C once", "running epochs finish, their state is saved; says so", 130)
@pytest.mark.catalogue(12, "SIGTERM or SIGUSR1 (preemption)", "the same, within 15 s", 143)
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGUSR1, 143)])
def test_signals_save_and_end(tmp_path: Path, whole: list[object], number: int, code: int) -> None:
    victim = python(searching(2), tmp_path)
    wait_for_reports(tmp_path / "s", 6)
    victim.send_signal(number)
    out, _ = victim.communicate(timeout=PATIENCE_S)
    assert victim.returncode == code
    assert "everything is saved" in out
    attempts = sum(t.attempt for t in StudyView(tmp_path / "s").history.trials)
    assert searched(tmp_path / "s") == whole
    assert sum(t.attempt for t in StudyView(tmp_path / "s").history.trials) - attempts <= 9


@pytest.mark.catalogue(11, "Ctrl-C twice", "stops at once; everything reported is saved", 130)
def test_two_signals_stop_at_once(tmp_path: Path, whole: list[object]) -> None:
    victim = python(searching().replace("sleep(0.03)", "sleep(0.03 if trial.number < 2 else 600)"), tmp_path)
    wait_until(lambda: trials_begun(tmp_path / "s") == 3, "the third trial does not begin")
    time.sleep(0.2)
    victim.send_signal(signal.SIGINT)
    time.sleep(0.3)
    victim.send_signal(signal.SIGINT)
    out, _ = victim.communicate(timeout=PATIENCE_S)  # the third trial sleeps for twice as long
    assert victim.returncode == 130
    assert "stopped at once" in out
    assert searched(tmp_path / "s") == whole


@pytest.mark.catalogue(
    13, "disk full: the ledger cannot grow", "one clear line; goes on with `automl resume` when there is space", 5
)
def test_a_full_disk_under_the_ledger(tmp_path: Path) -> None:
    search(bowl, tmp_path / "whole", trials=40)
    run = driver(bowl, tmp_path / "s", trials=40)
    pages = run.study.ledger._db.execute("PRAGMA page_count").fetchone()[0]
    run.study.ledger._db.execute(f"PRAGMA max_page_count={pages + 2}")
    with pytest.raises(EnvironmentProblem, match="the ledger cannot be written: database or disk is full") as caught:
        run.run()
    run.study.close()
    assert caught.value.exit_code == 5
    view = StudyView(tmp_path / "s")
    assert 0 < view.counts.done < 40
    assert view.counts.failed == 0
    search(bowl, tmp_path / "s", trials=40)
    assert board(tmp_path / "s") == board(tmp_path / "whole")


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EROFS])
@pytest.mark.catalogue(
    13, "disk full: a checkpoint cannot be written", "the trial has not failed; the last good checkpoint stays", 5
)
def test_a_full_disk_under_checkpoints(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    search(parabola, tmp_path / "whole")
    write, count = checkpoint.write, 0

    def full(file: Path, content: bytes) -> None:
        nonlocal count
        count += file.suffix == ".ckpt"
        if count > 3:
            raise OSError(code, os.strerror(code))
        write(file, content)

    monkeypatch.setattr(checkpoint, "write", full)
    with pytest.raises(EnvironmentProblem, match="the disk is full or cannot be written"):
        search(parabola, tmp_path / "s")
    monkeypatch.undo()
    view = StudyView(tmp_path / "s")
    assert view.counts.failed == 0
    assert len(list((tmp_path / "s" / "trials" / "00001").glob("*.ckpt"))) == 1
    search(parabola, tmp_path / "s")
    assert board(tmp_path / "s") == board(tmp_path / "whole")


def test_a_full_disk_while_the_winner_is_published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    search(parabola, tmp_path / "whole")
    rename, count = os.rename, 0

    def full(source: object, target: object) -> None:
        nonlocal count
        count += "best" in str(target)
        if count == 2:
            raise OSError(errno.ENOSPC, "No space left on device")
        rename(source, target)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "rename", full)
    with pytest.raises(EnvironmentProblem, match="No space left"):
        search(parabola, tmp_path / "s")
    monkeypatch.undo()
    search(parabola, tmp_path / "s")
    assert board(tmp_path / "s") == board(tmp_path / "whole")
    for name in ("winner.json",):
        both = [(tmp_path / s / "best" / name).read_text().replace('"s"', '"whole"') for s in ("s", "whole")]
        assert both[0] == both[1]


@pytest.mark.catalogue(14, "the folder cannot be written", "refused before the first trial", 5)
def test_a_folder_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(EnvironmentProblem, match="cannot write here") as caught:
        search(parabola, tmp_path / "file" / "s")
    assert caught.value.exit_code == 5
    opened = Path.open

    def read_only(file: Path, mode: str = "r", *rest: Any, **more: Any) -> Any:
        if set(mode) & set("wa+"):
            raise OSError(errno.EROFS, "Read-only file system")
        return opened(file, mode, *rest, **more)

    monkeypatch.setattr(Path, "open", read_only)
    with pytest.raises(EnvironmentProblem, match=r"cannot write here \(Read-only file system\)"):
        search(parabola, tmp_path / "s")


@pytest.mark.skipif(os.geteuid() != 0, reason="takes write access away by becoming another user")
@pytest.mark.catalogue(14, "`automl top` in a folder without write access", "reads", 0)
def test_reading_without_write_access() -> None:
    with tempfile.TemporaryDirectory() as temporary:  # pytest's own folders are closed to others
        folder = Path(temporary)
        folder.chmod(0o755)
        search(parabola, folder / "s")
        if (pid := os.fork()) == 0:
            code = 1
            try:
                os.setuid(65534)
                code = 0 if not os.access(folder / "s", os.W_OK) and StudyView(folder / "s").counts.done == 6 else 2
            finally:
                os._exit(code)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


@pytest.mark.catalogue(15, "another driver holds the study", "refused: which process, where, since when", 3)
@pytest.mark.catalogue(15, "the driver that held the study was killed", "its lock is gone with it", None)
def test_two_drivers(tmp_path: Path) -> None:
    victim = python(searching().replace("0.03", "0.2"), tmp_path)
    wait_for_reports(tmp_path / "s", 1)
    with pytest.raises(LedgerError, match=rf"is being driven by process {victim.pid} on .* since \d{{4}}-") as caught:
        search(parabola, tmp_path / "s", trials=8)
    assert caught.value.exit_code == 3
    victim.kill()
    victim.communicate()
    assert search(parabola, tmp_path / "s", trials=8).counts.done == 8


@pytest.mark.catalogue(
    24, "the clock jumps by a day", "durations come from a clock that never jumps: no budget is used up", None
)
def test_jumps_of_the_clock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    jumps = iter(range(10**6))
    monkeypatch.setattr(time, "time", lambda: 1.7e9 + 86_400 * (-1) ** next(jumps))
    study = search(parabola, tmp_path / "s", time_s=3600)
    assert study.counts.done == 6
    assert 0 <= study.elapsed_s < 60
    assert all(0 <= t.started_s <= (t.ended_s or 0) < 60 for t in study.history.trials)


@pytest.mark.catalogue(
    24, "the machine sleeps, or the driver is stopped (SIGSTOP)", "no worker counts as hanging because of it", None
)
def test_time_in_which_the_driver_did_not_run_counts_for_nobody() -> None:
    watchdog = Watchdog()
    assert [watchdog.suspended_s(now) for now in (0.0, 0.25, 3600.25, 3600.5)] == [0, 0, 3600, 0]


def bad_device(trial: automl.Trial, always: bool = False) -> None:
    if trial.number == 1 and (trial.attempt == 1 or always):
        raise RuntimeError("CUDA error: uncorrectable ECC error encountered")
    trial.report(loss=1.0)


def one_bad_device(trial: automl.Trial, losses: Path) -> None:
    """The device of worker 1 always fails; the other worker waits until that has happened twice."""
    if multiprocessing.current_process().name == "automl-worker-1":
        (losses / f"{trial.number}-{trial.attempt}").touch()
        raise RuntimeError("CUDA error: uncorrectable ECC error encountered")
    wait_until(lambda: len(list(losses.iterdir())) == 2, "worker 1 gets no second trial")
    trial.report(loss=1.0)


@pytest.mark.catalogue(
    25,
    "a GPU fails (Xid, ECC, lost)",
    "the trial is tried again in a fresh process; after two losses in a row the device is used no more; never reset",
    0,
)
@pytest.mark.catalogue(25, "the last GPU fails", "one clear line; everything is saved", 5)
def test_a_lost_device(tmp_path: Path) -> None:
    study = search(bad_device, tmp_path / "s", executor="local", workers=1, trials=3)
    assert study.counts.done == 3
    assert study.history.trials[1].attempt == 2
    with pytest.raises(EnvironmentProblem, match="no worker is left: cpu0 fails: RuntimeError: CUDA error"):
        search(partial(bad_device, always=True), tmp_path / "t", executor="local", workers=1, trials=3, retries=5)
    assert StudyView(tmp_path / "t").counts.failed == 0


@pytest.mark.catalogue(25, "one GPU of several fails", "the search goes on without it", 0)
def test_a_device_that_is_given_up_gets_no_more_trials(tmp_path: Path) -> None:
    screen = Notes()
    losses = tmp_path / "losses"
    losses.mkdir()
    train = partial(one_bad_device, losses=losses)
    run = driver(train, tmp_path / "s", Local(), workers=2, screen=screen, trials=6, retries=5)
    run.run()
    run.study.close()
    assert run.study.counts.done == 6
    assert run.workers.usable == 1
    assert [note.partition(": ")[0] for note in screen.notes] == ["going on with one worker less"]
    assert len(list(losses.iterdir())) == 2, "a third trial has been given to the device"


@pytest.mark.catalogue(
    40, "spaces, newlines, dashes and other alphabets in paths", "work: nothing passes through a shell", 0
)
def test_strange_paths(tmp_path: Path) -> None:
    folder = tmp_path / "-rf é\n 空 $(touch x); *"
    folder.mkdir()
    (folder / "mine train.py").write_text("import json, sys\nprint(json.dumps({'loss': float(sys.argv[1])}))\n")
    (folder / "space.yaml").write_text(
        'command: [python, "mine train.py", "{x}"]\nmetric: loss\nspace: {x: {float: [0, 1]}}\nbudget: {trials: 3}\n'
        "stopper: none\nfinalists: none\n"
    )
    study = automl.search(folder / "space.yaml", path=folder / "-s é\n", workers=1)
    assert study.counts.done == 3
    assert automl.resume(folder / "-s é\n", trials="+1").counts.done == 4
    assert not list(tmp_path.rglob("x"))


@pytest.mark.catalogue(53, "a screen or a logger fails", "the user is warned once; the search goes on", 0)
def test_a_broken_screen(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    class Broken(Notes):
        def ended(self, study: Study, record: object) -> None:
            raise ConnectionError("no route to the logger")

    study = search(parabola, tmp_path / "s", screen=GuardedScreen(Broken()))  # type: ignore[arg-type]
    assert study.counts.done == 6
    assert capsys.readouterr().err.count("no route to the logger") == 1


@pytest.mark.catalogue(54, "the study's folder is moved", "resumes where it is: nothing in it is an absolute path", 0)
@pytest.mark.catalogue(54, "two searches of one name", "the second gets a number behind its name", 0)
def test_moved_and_equal_names(tmp_path: Path) -> None:
    names = [search(parabola, None, dir=tmp_path, name="s").path for _ in range(2)]  # type: ignore[arg-type]
    assert names == [tmp_path / "s", tmp_path / "s-2"]
    (tmp_path / "s").rename(tmp_path / "elsewhere")
    study = search(parabola, tmp_path / "elsewhere", trials=9)
    assert study.counts.done == 9
    assert str(tmp_path).encode() not in (tmp_path / "elsewhere" / LEDGER).read_bytes()


@pytest.mark.catalogue(55, "the terminal is closed (SIGHUP)", "the search goes on", 0)
def test_a_closed_terminal(tmp_path: Path, whole: list[object]) -> None:
    victim = python(searching(), tmp_path, stdout=subprocess.DEVNULL)
    wait_for_reports(tmp_path / "s", 2)
    victim.send_signal(signal.SIGHUP)
    assert victim.wait(PATIENCE_S) == 0
    assert board(tmp_path / "s") == whole


def test_the_paused_of_an_interrupted_search_are_not_lost(tmp_path: Path) -> None:
    run = driver(parabola, tmp_path / "s", stopper={"name": "asha", "mode": "promote", "eta": 2}, trials=9)
    run.run()
    run.study.close()
    assert run.study.counts.paused == 0, "a finished search leaves nobody waiting"
    assert all(t.state is not State.RUNNING for t in run.study.history.trials)


def test_the_disk_use_of_a_study_is_bounded(tmp_path: Path) -> None:
    """Of trials that have ended nothing stays but what the user's code wrote: no checkpoints."""
    study = search(parabola, tmp_path / "s", trials=20)
    assert study.counts.done == 20
    assert not list((tmp_path / "s").rglob("*.ckpt"))
    assert not (tmp_path / "s" / "trials").exists() or not list((tmp_path / "s" / "trials").iterdir())
    wait_until(lambda: not list((tmp_path / "s").glob(".best*")), "an old winner stays")
