"""The contract every executor keeps: `class TestMine(ExecutorContract): executor = Mine` is an author's whole test.

Each test drives a real search over tasks that report, stop, raise, die or hang, and looks at what the study knows.
"""

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

from automl.core.space import Float
from automl.core.trial import State
from automl.driver.driver import Driver
from automl.driver.executor import Executor
from automl.errors import TaskError
from automl.study.study import Study
from automl.tasks.function import FunctionTask, ReferencedTask
from automl.worker.trial import Trial
from automl.worker.worker import Task


def bowl(trial: Trial) -> None:
    """Five steps down a bowl with its bottom at x = 0.3."""
    for step in trial.steps(5):
        trial.report(loss=(trial["x"] - 0.3) ** 2 + 1 / step)


def raises(trial: Trial) -> None:
    """Every third trial raises after its first step."""
    trial.report(loss=1.0)
    if trial.number % 3 == 0:
        raise ValueError(f"no luck with {trial.number}")


def quits(trial: Trial) -> None:
    """`sys.exit` is a trial's failure, not its worker's end."""
    if trial.number == 1:
        raise SystemExit(3)
    trial.report(loss=1.0)


def prints(trial: Trial) -> None:
    """A training function that prints to its log."""
    print(f"trial {trial.number} says hello")
    trial.report(loss=1.0)


def dies_once(trial: Trial) -> None:
    """The second trial's first attempt kills its own worker."""
    for step in trial.steps(3):
        if trial.number == 1 and trial.attempt == 1 and step == 2:
            os.kill(os.getpid(), signal.SIGKILL)
        trial.report(loss=float(step))


def dies_always(trial: Trial) -> None:
    """A training function whose second trial kills its worker at every attempt."""
    if trial.number == 1:
        os._exit(7)
    trial.report(loss=1.0)


def goes_on(trial: Trial) -> None:
    """Saves after each step; the first attempt of trial 0 dies after the third."""
    begun = trial.load() or 0
    for step in trial.steps(6):
        trial.report(loss=float(begun + step) if begun == 0 else float(step))
        trial.save(step)
        if trial.number == 0 and trial.attempt == 1 and step == 3:
            os.kill(os.getpid(), signal.SIGKILL)


class ExecutorContract:
    """Laws of an executor. `executor` makes one; `isolates`: its workers are processes of their own."""

    executor: ClassVar[Callable[[], Executor]]
    isolates: ClassVar[bool] = True
    workers: ClassVar[int] = 2
    os_exit: ClassVar[str] = "exit code 7"  # how it tells that a trial ended its worker by `os._exit(7)`

    def drive(self, train: Callable[[Trial], None] | Task, folder: Path | None, **options: Any) -> Study:
        """A search of nine random trials to its end."""
        study = Study(
            {"x": Float(0, 1)},
            **{"metric": "loss", "strategy": "random", "trials": 9, "seed": 5, "path": folder, **options},
        )
        task = FunctionTask.of(train) if callable(train) else train
        try:
            Driver(study, task, type(self).executor(), self.workers).run()
        finally:
            study.close()
        return study

    def test_every_trial_runs_and_reports(self, tmp_path: Path) -> None:
        study = self.drive(bowl, tmp_path / "s")
        assert study.counts.done == 9
        assert all(t.step == 5 for t in study.history.trials)
        for t in study.history.trials:
            assert t.curve[-1][1] == (float(t.config["x"]) - 0.3) ** 2 + 1 / 5  # type: ignore[arg-type]

    def test_the_same_trials_whatever_the_workers(self, tmp_path: Path) -> None:
        study = self.drive(bowl, tmp_path / "s")
        alone = Study({"x": Float(0, 1)}, metric="loss", strategy="random", trials=9, seed=5)
        assert [t.config for t in study.history.trials] == [t.config for t in alone.ask(n=9)]

    def test_stopped_trials_leave_at_once(self, tmp_path: Path) -> None:
        study = self.drive(bowl, tmp_path / "s", stopper={"name": "asha", "eta": 2})
        assert study.counts.stopped > 0
        assert study.counts.done > 0
        assert all(t.step in (1, 2, 4) and t.reason for t in study.history.stopped)

    def test_without_a_folder(self) -> None:
        assert self.drive(bowl, None).counts.done == 9

    def test_what_raises_fails_alone(self, tmp_path: Path) -> None:
        study = self.drive(raises, tmp_path / "s")
        assert (study.counts.failed, study.counts.done) == (3, 6)
        failure = study.history.trials[3].failure
        assert failure is not None
        assert "no luck with 3" in failure.message
        assert failure.step == 1
        assert "no luck with 3" in (tmp_path / "s" / failure.traceback).read_text()

    def test_exit_in_a_trial_fails_that_trial(self, tmp_path: Path) -> None:
        study = self.drive(quits, tmp_path / "s")
        assert study.history.trials[1].state is State.FAILED
        assert study.counts.done == 8

    def test_prints_go_to_the_trials_log(self, tmp_path: Path, capfd: Any) -> None:
        self.drive(prints, tmp_path / "s")
        assert (tmp_path / "s" / "logs" / "t00004.log").read_text() == "trial 4 says hello\n"
        assert "hello" not in "".join(capfd.readouterr())

    def test_a_task_that_cannot_be_opened_ends_the_search(self, tmp_path: Path) -> None:
        try:
            self.drive(ReferencedTask("json:lods"), tmp_path / "s")
        except TaskError as error:
            assert "did you mean 'loads'" in str(error)  # noqa: PT017
        else:
            raise AssertionError("the search should have ended")

    def test_a_dead_worker_costs_one_attempt(self, tmp_path: Path) -> None:
        if not self.isolates:
            return
        study = self.drive(dies_once, tmp_path / "s")
        assert study.counts.done == 9
        assert study.history.trials[1].attempt == 2
        assert study.history.trials[1].curve == ((1, 1.0), (2, 2.0), (3, 3.0))

    def test_a_trial_that_kills_its_worker_twice_has_failed(self, tmp_path: Path) -> None:
        if not self.isolates:
            return
        study = self.drive(dies_always, tmp_path / "s")
        failure = study.history.trials[1].failure
        assert failure is not None
        assert failure.kind == "killed"
        assert self.os_exit in failure.message
        assert study.counts.done == 8

    def test_a_trial_goes_on_from_its_checkpoint(self, tmp_path: Path) -> None:
        if not self.isolates:
            return
        study = self.drive(goes_on, tmp_path / "s")
        assert study.counts.done == 9
        assert study.history.trials[0].attempt == 2
        assert [step for step, _ in study.history.trials[0].curve] == [1, 2, 3, 4, 5, 6]

    def test_stop_leaves_nobody_behind(self, tmp_path: Path) -> None:
        executor = type(self).executor()
        executor.start(FunctionTask.of(_sleeps), self.workers, tmp_path)
        begun = time.monotonic()
        executor.stop(0.2)
        executor.stop(0.2)
        assert time.monotonic() - begun < 10


def _sleeps(trial: Trial) -> None:
    time.sleep(60)
