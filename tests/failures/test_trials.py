"""The failure catalogue, part one: what goes wrong inside trials."""

import ctypes
import math
import os
import random
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import automl
from automl.core.trial import State
from automl.driver.watchdog import Watchdog
from automl.errors import SearchFailed, SpecError, TaskError
from automl.executors.capture import LIMIT_BYTES
from automl.executors.local import Local
from tests.failures.kit import driver, search
from tests.support.patience import wait_until
from tests.support.screens import Notes


def raises(trial: automl.Trial) -> None:
    for step in trial.steps(3):
        trial.report(loss=1.0)
        if trial.number % 3 == 1 and step == 2:
            raise ValueError("no luck")


@pytest.mark.catalogue(
    1, "a trial raises", "that trial has failed, with traceback, step and message; it is not retried; others go on", 0
)
def test_a_trial_that_raises_fails_alone(tmp_path: Path) -> None:
    study = search(raises, tmp_path / "s")
    assert [t.number for t in study.history.failed] == [1, 4]
    record = study.history.trials[1]
    assert record.failure is not None
    assert (record.failure.kind, record.failure.step, record.attempt) == ("exception", 2, 1)
    assert record.failure.message == "ValueError: no luck"
    assert "in raises" in (tmp_path / "s" / record.failure.traceback).read_text()


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.catalogue(
    2, "loss is NaN or infinite", "that trial has failed (nan) with its step; strategies never meet a NaN", 0
)
def test_what_is_not_finite_fails_that_trial(tmp_path: Path, value: float) -> None:
    def train(trial: automl.Trial) -> None:
        for step in trial.steps(3):
            trial.report(loss=value if trial.number == 0 and step == 2 else 0.5)

    study = search(train, tmp_path / "s", strategy="tpe")
    record = study.history.trials[0]
    assert record.failure is not None
    assert (record.failure.kind, record.failure.step) == ("nan", 2)
    assert record.curve == ((1, 0.5),), "the last finite value is kept"
    assert study.counts.done == 5


class OutOfMemoryError(RuntimeError):
    """Named as torch's."""


def greedy(trial: automl.Trial) -> None:
    print(os.getpid())
    if trial.number == 1:
        raise OutOfMemoryError("CUDA out of memory. Tried to allocate 9 EiB")
    trial.report(loss=1.0)


@pytest.mark.catalogue(
    3,
    "out of GPU memory",
    "that trial has failed (oom), it is not retried; its worker is replaced by a fresh process",
    0,
)
def test_out_of_memory_fails_the_trial_and_recycles_the_worker(tmp_path: Path) -> None:
    study = search(greedy, tmp_path / "s", executor="local", workers=1, trials=4)
    failure = study.history.trials[1].failure
    assert failure is not None
    assert (failure.kind, study.history.trials[1].attempt) == ("oom", 1)
    pids = [(tmp_path / "s" / "logs" / f"t{k:05d}.log").read_text() for k in range(4)]
    assert pids[0] == pids[1] != pids[2] == pids[3]
    assert study.counts.done == 3


def hangs_once(trial: automl.Trial) -> None:
    for step in trial.steps(4):
        if trial.number == 2 and trial.attempt == 1 and step == 3:
            ctypes.PyDLL(None).sleep(600)  # in C, holding the interpreter's lock
        time.sleep(0.01)
        trial.report(loss=1.0 / step)


@pytest.mark.catalogue(
    5, "a trial hangs", "no report for 60 s and ten times the median step (before its first report: ten times what "
    "others needed for that): its stacks go to its log, its worker is killed, it is retried; then it has failed "
    "(timeout)", 0,
)  # fmt: skip
def test_a_hang_is_noticed_and_retried(tmp_path: Path) -> None:
    run = driver(hangs_once, tmp_path / "s", Local())
    run.watchdog.floor_s = 0.5
    run.run()
    run.study.close()
    assert run.study.counts.done == 6
    assert run.study.history.trials[2].attempt == 2
    log = (tmp_path / "s" / "logs" / "t00002.log").read_text()
    assert "in hangs_once" in log, "where it hung"


def endless(trial: automl.Trial) -> None:
    while trial.number == 1:
        time.sleep(0.01)
    trial.report(loss=1.0)


@pytest.mark.catalogue(5, "a trial takes longer than `trial_timeout`", "it has failed (timeout), it is not retried", 0)
def test_trial_timeout(tmp_path: Path) -> None:
    run = driver(endless, tmp_path / "s", Local(), trial_timeout_s=0.5, trials=3)
    run.run()
    run.study.close()
    record = run.study.history.trials[1]
    assert record.failure is not None
    assert (record.failure.kind, record.attempt) == ("timeout", 1)
    assert "in endless" in (tmp_path / "s" / record.failure.traceback).read_text()
    assert run.study.counts.done == 2


def crashes(trial: automl.Trial) -> None:
    ends: list[Callable[[], object]] = [lambda: ctypes.string_at(0), os.abort, lambda: os._exit(0)]
    if trial.number < 3:
        ends[trial.number]()
    trial.report(loss=1.0)


@pytest.mark.catalogue(
    6, "segmentation fault, abort, `os._exit`", "retried once in a fresh process; then it has failed (killed), with "
    "the signal or exit code and the stack in its log; exit 0 without a result is a failure too", 0,
)  # fmt: skip
def test_crashes_of_the_process(tmp_path: Path) -> None:
    study = search(crashes, tmp_path / "s", executor="local", workers=1, trials=5, retries=0)
    failures = [t.failure for t in study.history.trials[:3]]
    for failure, why in zip(failures, ("SIGSEGV", "SIGABRT", "exit code 0"), strict=True):
        assert failure is not None
        assert failure.kind == "killed"
        assert why in failure.message
    assert failures[0] is not None
    assert "Segmentation fault" in (tmp_path / "s" / failures[0].traceback).read_text()
    assert study.counts.done == 2


@pytest.mark.catalogue(
    28, "one trial is far slower than the others", "the user is warned once; other trials do not wait for it", 0
)
def test_stragglers_are_told(tmp_path: Path) -> None:
    folder = tmp_path / "seen"
    folder.mkdir()

    def train(trial: automl.Trial) -> None:
        if trial.number == 0:
            wait_until((folder / "1").exists, "the other worker does not begin")
        for step in trial.steps(6):
            if trial.number == 1 and step == 3:
                (folder / "1").touch()
                time.sleep(1.6)
                wait_until(lambda: len(list(folder.iterdir())) == 6, "the others do not end")
            time.sleep(0.01)
            trial.report(loss=1.0)
        time.sleep(0.5 if trial.number == 1 else 0)
        (folder / f"{trial.number}").touch()

    screen = Notes()
    run = driver(train, tmp_path / "s", Local(), workers=2, screen=screen)
    run.run()
    run.study.close()
    assert [n for n in screen.notes if "slow" in n] == ["trial 1 is slow: a step takes more than four times the median"]
    ended = [t.number for t in run.study.history.done]
    assert ended.index(1) == 5, "five others ended before it"


def test_the_watchdog_knows_nothing_before_the_first_steps() -> None:
    watchdog = Watchdog()
    assert not watchdog.hangs(1e6)
    for _ in range(5):
        watchdog.step(20.0)
    assert not watchdog.hangs(150)
    assert watchdog.hangs(250)


@pytest.mark.catalogue(
    30, "the metric is misnamed or missing", "the search ends at the first report, with the nearest name", 2
)
def test_a_misnamed_metric_ends_the_search_at_once(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="ranks on 'loss', which is missing; reported: 'los'"):
        search(lambda trial: trial.report(los=1.0), tmp_path / "s")


@pytest.mark.parametrize("value", ["0.5", True, None, [1.0], object(), lambda: 1, "x" * 10**7])
@pytest.mark.catalogue(31, "the metric is no number", "that trial has failed (metric), with the type it got", 0)
def test_a_metric_that_is_no_number(tmp_path: Path, value: object) -> None:
    study = search(lambda trial: trial.report(loss=value), tmp_path / "s", trials=2)
    failure = study.history.trials[0].failure
    assert failure is not None
    assert (failure.kind, failure.message) == ("metric", f"loss must be a number, got {type(value).__name__}")


@pytest.mark.catalogue(
    1, "an error's message holds any characters, also the character zero", "it is kept; the study can be read", 0
)
def test_a_message_of_any_characters(tmp_path: Path) -> None:
    def train(trial: automl.Trial) -> None:
        raise ValueError("zero \0, escape \x1b[2J, half a pair \ud800")

    search(train, tmp_path / "s", trials=2)
    (failure, _) = (trial.failure for trial in automl.Study.open(tmp_path / "s").history.trials)
    assert failure is not None
    assert failure.message == "ValueError: zero \ufffd, escape \x1b[2J, half a pair \ud800"


def test_metrics_and_step_as_other_loggers_take_them(tmp_path: Path) -> None:
    def train(trial: automl.Trial) -> None:
        trial.report({"loss": trial.get("x")}, step=2)
        trial.report({"loss": dict(trial)["x"]}, step=4)

    for trial in search(train, tmp_path / "s", trials=2).history.trials:
        assert [step for step, _ in trial.curve] == [2, 4]


def odd(trial: automl.Trial) -> None:
    import numpy as np

    good = (np.float32(0.5), np.array([0.5]), 1, 0.5)
    trial.report(loss=good[trial.number % 4], extra=threading.Lock(), picture=np.zeros((2, 2)))


@pytest.mark.catalogue(
    31, "objects beside the metric that cannot be sent", "numbers of other libraries count, objects are ignored", 0
)
def test_objects_in_reports_stay_in_their_process(tmp_path: Path) -> None:
    study = search(odd, tmp_path / "s", executor="local", workers=1, trials=4)
    assert study.counts.done == 4
    assert study.reports(0) == [(1, {"loss": 0.5})]


@pytest.mark.catalogue(34, "a step is reported twice, or out of order", "the first report of a step counts", 0)
def test_repeated_and_earlier_steps_change_nothing(tmp_path: Path) -> None:
    def train(trial: automl.Trial) -> None:
        for step, loss in ((1, 0.1), (3, 0.3), (3, 9.0), (2, 9.0), (4, 0.4)):
            trial.report(step, loss=loss)

    study = search(train, tmp_path / "s", trials=1)
    assert study.history.trials[0].curve == ((1, 0.1), (3, 0.3), (4, 0.4))


def shouts(trial: automl.Trial) -> None:
    line = "\r\x1b[31mepoch 1 of 9\x1b[0m" * 4000 + "\n"
    for _ in range(700):
        sys.stdout.write(line)
    os.write(1, b"\xff\xfe no text at all")
    trial.report(loss=1.0)


@pytest.mark.catalogue(
    35, "a trial prints megabytes", "its log keeps head and tail, 10 MiB; nothing blocks, nothing reaches the screen", 0
)
def test_megabytes_of_output(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    study = search(shouts, tmp_path / "s", executor="local", workers=1, trials=1)
    assert study.counts.done == 1
    content = (tmp_path / "s" / "logs" / "t00000.log").read_bytes()
    assert len(content) < LIMIT_BYTES + 200
    assert content.endswith(b"no text at all")
    assert b"bytes were not kept" in content
    assert "epoch" not in "".join(capfd.readouterr())


@pytest.mark.catalogue(
    37, "the training function cannot be sent to a worker", "refused before the first trial, with what to do", 2
)
def test_what_cannot_be_sent_is_told(tmp_path: Path) -> None:
    lock = threading.Lock()
    with pytest.raises(
        TaskError, match=r"cannot be sent to a worker process .*create such objects inside the function"
    ):
        search(lambda trial: lock.acquire(), tmp_path / "s", executor="local")
    assert not (tmp_path / "s").exists()


def test_in_this_process_a_function_need_not_be_sent(tmp_path: Path) -> None:
    lock, seen = threading.Lock(), []

    def train(trial: automl.Trial) -> None:
        with lock:
            seen.append(trial.number)
        trial.report(loss=trial["x"])

    assert search(train, tmp_path / "s", trials=3).counts.done == 3
    assert seen == [0, 1, 2]


@pytest.mark.catalogue(
    38, "training code changes folder, environment or random state", "the next trial finds them as they were", 0
)
def test_global_state_ends_with_its_trial(tmp_path: Path) -> None:
    before, state, seen = os.getcwd(), random.getstate(), tmp_path / "seen"

    def train(trial: automl.Trial) -> None:
        with seen.open("a") as file:
            print(os.getcwd(), os.environ.get("MINE"), file=file)
        os.chdir("/")
        os.environ["MINE"] = "changed"
        trial.report(loss=random.random())

    first = search(train, tmp_path / "a", trials=3)
    assert set(seen.read_text().splitlines()) == {f"{before} None"}
    assert random.getstate() == state
    second = search(train, tmp_path / "b", trials=3)
    assert [t.loss for t in first.history.trials] == [t.loss for t in second.history.trials]


@pytest.mark.catalogue(
    39, "choices of mixed types: `[1, true, '1', null]`", "each stays what it is, also after a resume", 0
)
def test_mixed_choices_keep_their_types(tmp_path: Path) -> None:
    space = {"k": automl.Choice((1, True, "1", None, 2.5, "true"))}

    def train(trial: automl.Trial) -> None:
        trial.report(loss=float(str(type(trial["k"])).__len__()))

    for trials in (3, 6):
        study = search(train, tmp_path / "s", space=space, strategy="grid", trials=trials)
    tried = [t.config["k"] for t in study.history.trials]
    assert {(type(v).__name__, str(v)) for v in tried} == {
        ("int", "1"), ("bool", "True"), ("str", "1"), ("NoneType", "None"), ("float", "2.5"), ("str", "true"),
    }  # fmt: skip


@pytest.mark.catalogue(51, "every trial fails", "the search ends after five failures, with the most common cause", 4)
def test_nothing_but_failures_ends_the_search(tmp_path: Path) -> None:
    def train(trial: automl.Trial) -> None:
        raise RuntimeError("no GPU driver" if trial.number else "something else")

    with pytest.raises(SearchFailed, match=r"4 of 5\): RuntimeError: no GPU driver"):
        search(train, tmp_path / "s", trials=50)


def test_an_error_that_cannot_be_told(tmp_path: Path) -> None:
    class Silent(Exception):
        def __str__(self) -> str:
            raise RuntimeError("never")

    def train(trial: automl.Trial) -> None:
        trial.report(loss=1.0)
        if trial.number == 0:
            raise Silent

    study = search(train, tmp_path / "s", trials=2)
    assert study.history.trials[0].state is State.FAILED
    assert "cannot be made" in str(study.history.trials[0].failure)
