"""Workers that share a GPU, through the real driver and real processes; NVML, memory and speed are made up."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import automl
from automl import specfile
from automl.core import plugins
from automl.driver.driver import Driver
from automl.errors import EnvironmentProblem, SpecError
from automl.executors import forkserver
from automl.executors.local import Local
from automl.study.reader import StudyView
from automl.study.study import Study
from automl.tasks.function import FunctionSession, FunctionTask
from automl.worker.worker import Task, Worker
from tests.gpu_emulated import fake_sharing
from tests.support.paths import ROOT
from tests.support.screens import Notes

STEP_S = 0.02
pytestmark = pytest.mark.skipif(not forkserver.possible(), reason="workers are not forked on this machine")


def training(slots: int, memory: int, large: Mapping[int, int] | None = None) -> FunctionTask:
    """A function that takes memory of its GPU, and some time a step.

    Args:
        slots: processes that the GPU trains at full speed.
        memory: of 1000.
        large: memory of single trials.
    """
    wanted = dict(large or {})

    def train(trial: automl.Trial) -> None:
        from tests.gpu_emulated import fake_sharing

        with fake_sharing.training():
            fake_sharing.take(wanted.get(trial.number, memory))
            for step in trial.steps(4):
                fake_sharing.work(STEP_S, slots)
                trial.report(loss=(trial["x"] - 0.3) ** 2 + 1 / step)

    return FunctionTask.of(train)


@pytest.fixture
def gpus(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[int], None]:
    """Makes up so many GPUs."""

    def made(count: int) -> None:
        folder = tmp_path / "gpus"
        folder.mkdir(exist_ok=True)
        monkeypatch.setenv(fake_sharing.FOLDER, str(folder))
        monkeypatch.setitem(sys.modules, "pynvml", fake_sharing.machine(count))
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)

    return made


def search(task: Task, path: Path, trials: int, workers: int = 0, **options: Any) -> tuple[Study, Driver, list[str]]:
    """A random search, its driver and its notes; numbers of workers are judged after a third of a second."""
    notes = Notes()
    study = Study({"x": automl.Float(0, 1)}, metric="loss", strategy="random", trials=trials, seed=1, path=path,
                  **options)  # fmt: skip
    driver = Driver(study, task, Local(forked=True), workers, notes)  # a forked worker begins at once
    driver.sharing.least_s = 0.3
    try:
        driver.run()
    finally:
        study.close()
    return study, driver, notes.notes


def as_by_one_worker(study: Study) -> bool:
    """Whether the study has the configs and losses that a search with one worker would have."""
    alone = Study(study.space, metric="loss", strategy="random", trials=len(study.history), seed=1)
    configs = [assignment.config for assignment in alone.ask(len(study.history))]
    assert configs == [record.config for record in study.history.trials]
    expected = [pytest.approx((config["x"] - 0.3) ** 2 + 1 / 4) for config in configs]
    return [record.loss for record in study.history.trials] == expected


def told(notes: list[str]) -> list[str]:
    return [note for note in notes if "on each GPU" in note]


def test_workers_are_added_until_one_more_does_not_pay_off(gpus: Callable[[int], None], tmp_path: Path) -> None:
    gpus(1)
    study, driver, notes = search(training(slots=2, memory=100), tmp_path / "study", 120)
    assert study.counts.done == 120
    assert study.facts["sharing"] == {"workers": 2, "settled": True, "peak": pytest.approx(0.1, abs=0.05)}
    (note,) = told(notes)
    assert note.startswith("2 workers on each GPU: one more changed trials an hour by -")
    assert [state.given_up for state in driver.workers] == [False, False, True]
    assert as_by_one_worker(study), "the leaderboard is the same"


@pytest.mark.parametrize("count", [1, 2])
def test_no_worker_is_added_for_which_there_is_no_memory(
    gpus: Callable[[int], None], tmp_path: Path, count: int
) -> None:
    gpus(count)
    study, driver, notes = search(training(slots=10, memory=400), tmp_path / "study", 60 * count)
    assert study.counts.done == 60 * count
    assert len(driver.workers) == 2 * count
    assert told(notes) == ["2 workers on each GPU: one more would take the memory to 120 %"]


def begun_with(workers: int, path: Path) -> None:
    """A study that has found out its number of workers, and is interrupted."""
    study = Study({"x": automl.Float(0, 1)}, metric="loss", strategy="random", trials=1, seed=1, path=path)
    study.keep_facts({"sharing": {"workers": workers, "settled": True, "peak": 0.3}})
    study.close()


@pytest.mark.catalogue(
    3,
    "out of GPU memory beside other trials",
    "it begins again, with one worker less on the GPU, and has not failed",
    0,
)
def test_a_trial_out_of_memory_fits_once_it_is_alone(gpus: Callable[[int], None], tmp_path: Path) -> None:
    gpus(1)
    begun_with(3, tmp_path / "study")
    study, _, notes = search(training(slots=3, memory=300, large={5: 900}), tmp_path / "study", 14)
    assert study.counts.done == 14
    assert study.counts.failed == 0
    assert study.history.trials[5].attempt > 1, "its first attempts ran out of memory"
    assert not study.history.trials[5].failure
    for note, left, count in zip(told(notes), ("2 workers", "1 worker"), (3, 2), strict=True):
        full = r"the memory was \d+ % full"  # seen before the trial that wants more says so
        assert re.fullmatch(f"{left} on each GPU: (memory ran out with {count}|{full})", note)
    assert study.facts["sharing"]["workers"] == 1
    ends = [row["outcome"] for row in StudyView(tmp_path / "study").attempts(5)]
    assert ends == ["interrupted"] * (len(ends) - 1) + ["finished"]


def test_a_trial_that_does_not_fit_alone_has_failed_and_the_workers_come_back(
    gpus: Callable[[int], None], tmp_path: Path
) -> None:
    gpus(1)
    begun_with(2, tmp_path / "study")
    study, _, notes = search(training(slots=2, memory=300, large={5: 1200}), tmp_path / "study", 30)
    assert study.counts.done == 29
    failure = study.history.trials[5].failure
    assert failure is not None
    assert failure.kind == "oom"
    assert told(notes) == [
        "1 worker on each GPU: memory ran out with 2",
        "2 workers on each GPU: the trial does not fit alone either",
    ]
    assert study.facts["sharing"]["workers"] == 2


def test_a_search_that_is_nearly_over_begins_with_no_more_workers_than_trials(
    gpus: Callable[[int], None], tmp_path: Path
) -> None:
    gpus(1)
    begun_with(3, tmp_path / "study")
    study, driver, _ = search(training(slots=3, memory=300), tmp_path / "study", 2)
    assert study.counts.done == 2
    assert len(driver.workers) == 2
    assert study.facts["sharing"]["workers"] == 3


def test_a_further_worker_that_is_killed_is_replaced(gpus: Callable[[int], None], tmp_path: Path) -> None:
    gpus(1)
    begun_with(2, tmp_path / "study")

    def train(trial: automl.Trial) -> None:
        for step in trial.steps(4):
            fake_sharing.work(STEP_S, 2)
            if trial.number == 6 and trial.attempt == 1:
                os.kill(os.getpid(), signal.SIGKILL)
            trial.report(loss=float(step))

    study, driver, _ = search(FunctionTask.of(train), tmp_path / "study", 16)
    assert study.counts.done == 16
    assert [state.given_up for state in driver.workers] == [False, False]


class TellsShare(FunctionSession):
    """Writes down which share of the GPU's memory its process may take."""

    def serve(self, worker: Worker) -> None:
        Path(os.environ[fake_sharing.FOLDER], f"share-{worker.place.worker}").write_text(f"{worker.place.gpu_share:g}")
        super().serve(worker)


@dataclass(frozen=True)
class TellingTask(Task):
    """A task with that session."""

    task: FunctionTask

    def open(self, devices: tuple[str, ...]) -> FunctionSession:
        return TellsShare(self.task.open(devices).function)


def test_further_workers_may_take_the_memory_that_others_leave(gpus: Callable[[int], None], tmp_path: Path) -> None:
    gpus(1)
    begun_with(2, tmp_path / "study")
    search(TellingTask(training(slots=2, memory=300)), tmp_path / "study", 4)
    shares = [(tmp_path / "gpus" / f"share-{worker}").read_text() for worker in range(2)]
    assert shares == ["1", "0.6"], "the first one may take all: what fits alone fits there"


@dataclass(frozen=True)
class OpensOnce(Task):
    """A second worker beside the first cannot open it."""

    task: FunctionTask

    def open(self, devices: tuple[str, ...]) -> FunctionSession:
        if fake_sharing.used("0"):
            raise EnvironmentProblem("the data do not fit beside it")
        return self.task.open(devices)


def test_a_further_worker_that_cannot_begin_does_not_end_the_search(
    gpus: Callable[[int], None], tmp_path: Path
) -> None:
    gpus(1)
    study, _, notes = search(OpensOnce(training(slots=2, memory=300)), tmp_path / "study", 40)
    assert study.counts.done == 40
    assert told(notes) == ["1 worker on each GPU: another one cannot begin: the data do not fit beside it"]


KILLED = """
import os, signal, sys
from pathlib import Path
from tests.gpu_emulated import fake_sharing, test_sharing
from automl.driver.sharing.device_sharing import DeviceSharing

sys.modules["pynvml"] = fake_sharing.machine(1)
kept = DeviceSharing._changed

def changed(self, rule):
    kept(self, rule)
    if rule.settled:
        os.kill(os.getpid(), signal.SIGKILL)

DeviceSharing._changed = changed
test_sharing.search(test_sharing.training(slots=10, memory=400), Path(sys.argv[1]), 80)
"""


def test_a_killed_search_goes_on_with_the_number_it_had_found(gpus: Callable[[int], None], tmp_path: Path) -> None:
    gpus(1)
    killed = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path / "study")], cwd=ROOT, timeout=300)
    assert killed.returncode == -signal.SIGKILL
    study, driver, notes = search(training(slots=10, memory=400), tmp_path / "study", 80)
    assert study.counts.done == 80
    assert len(driver.workers) == 2
    assert not told(notes), "it is told once"
    assert as_by_one_worker(study)


def test_what_is_asked_for_is_not_changed(gpus: Callable[[int], None], tmp_path: Path) -> None:
    """Nothing is added where the user gives a number, or results must not depend on timing, or may be times."""
    gpus(1)
    task = training(slots=10, memory=100)
    metrics: list[str | Mapping[str, str]] = ["loss", {"name": "seconds", "direction": "minimize"}]
    assert search(task, tmp_path / "wanted", 3, workers=1)[1].sharing.rule is None
    assert search(task, tmp_path / "deterministic", 3, deterministic=True)[1].sharing.rule is None
    study = Study({"x": automl.Float(0, 1)}, metric=metrics, strategy="random", trials=3)
    driver = Driver(study, task, Local(), 0)
    driver.executor.start(task, 1, None)
    driver.sharing.begin(1, fixed=False)
    driver.executor.stop(0.0)
    assert driver.sharing.rule is None


@pytest.mark.parametrize(("gpus_of_worker", "known"), [("auto", True), (1.0, False), (0.5, False)])
def test_only_auto_shares(gpus: Callable[[int], None], gpus_of_worker: Any, known: bool) -> None:
    gpus(1)
    executor = Local(gpus=gpus_of_worker)
    executor.start(training(1, 1), 1, None)
    try:
        assert (executor.load() is not None) is known
        if known:
            further = executor.add(0, 0.4)
            executor.restart(further)
            assert executor.device(further) == executor.device(0) == "gpu0"
    finally:
        executor.stop(0.0)


def test_it_can_be_asked_for_in_a_specification() -> None:
    tree = {"train": "math:sqrt", "metric": "val_loss", "budget": {"trials": 3}, "space": {"lr": {"float": [0.1, 1.0]}}}
    assert specfile.from_json({**tree, "resources": {"gpus": "auto"}}, name="x").resources == {}
    assert specfile.from_json({**tree, "resources": {"gpus": 0.5}}, name="x").resources == {"gpus": 0.5}
    executor = specfile.from_json({**tree, "executor": {"name": "local", "gpus": "auto"}}, name="x").executor
    assert plugins.make("executors", executor) == Local()
    for gpus in ("all", -1):
        with pytest.raises(SpecError, match=r"resources\.gpus"):
            specfile.from_json({**tree, "resources": {"gpus": gpus}}, name="x")
