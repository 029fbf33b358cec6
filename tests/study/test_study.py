"""The study: budget, asks, reports, ends, and what a second session finds."""

import math
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from automl import Float, Int, Study
from automl.core.space import Config
from automl.core.stopper import Kind
from automl.core.trial import State
from automl.errors import LedgerError, SpecError
from automl.leaderboard.rows import rows
from automl.study.reader import StudyView
from automl.view.pages.trial import text

SPACE = {"x": Float(0, 1), "n": Int(1, 9)}


def make(**options: object) -> Study:
    return Study(SPACE, **{"metric": "val_loss", "trials": 10, "seed": 3, **options})  # type: ignore[arg-type]


def test_ask_and_tell_until_the_budget_is_used_up() -> None:
    study = make()
    told = []
    while (trial := study.ask()) is not None:
        told.append(study.tell(trial, val_loss=trial.config["x"]))
    assert [t.number for t in told] == list(range(10))
    assert study.counts.done == 10
    assert study.best is not None
    assert study.best.loss == min(t.config["x"] for t in told)


def test_ask_for_a_batch_gives_what_asking_one_by_one_gives() -> None:
    batch = make().ask(n=10)
    study = make()
    one_by_one = [study.ask() for _ in range(10)]
    assert [t.config for t in batch] == [t.config for t in one_by_one if t]


def test_a_maximized_metric_is_flipped_inside_and_back_outside() -> None:
    study = make(metric="val_accuracy", trials=2)
    for value in (0.2, 0.9):
        trial = study.ask()
        assert trial is not None
        study.tell(trial, val_accuracy=value)
    assert study.best is not None
    assert study.best.loss == -0.9
    assert study.best_value == 0.9
    assert study.reports(1) == [(1, {"val_accuracy": 0.9})]


def test_a_metric_that_nobody_knows_needs_a_direction() -> None:
    with pytest.raises(SpecError, match="direction"):
        make(metric="niceness")
    assert make(metric={"name": "niceness", "direction": "maximize"}).metric.direction == "maximize"


def test_a_misnamed_metric_is_found_at_the_first_report() -> None:
    study = make()
    trial = study.ask()
    assert trial is not None
    with pytest.raises(SpecError, match="ranks on 'val_loss', which is missing; reported: 'val_los'"):
        study.report(trial, 1, {"val_los": 1.0})


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_value_that_is_not_finite_fails_that_trial_alone(value: float) -> None:
    study = make()
    first, second = study.ask(n=2)
    assert study.report(first, 1, {"val_loss": 0.5}).kind is Kind.CONTINUE
    assert study.report(first, 2, {"val_loss": value}).kind is Kind.STOP
    assert study.history.trials[0].state is State.FAILED
    failure = study.history.trials[0].failure
    assert failure is not None
    assert (failure.kind, failure.step) == ("nan", 2)
    assert study.report(second, 1, {"val_loss": 0.1}).kind is Kind.CONTINUE


@pytest.mark.parametrize(("value", "stored"), [(np.float32(0.5), 0.5), (np.array([0.25]), 0.25), (3, 3.0)])
def test_numbers_of_other_libraries_are_taken(value: object, stored: float) -> None:
    study = make()
    trial = study.ask()
    assert trial is not None
    study.tell(trial, val_loss=value)
    assert study.history.trials[0].loss == stored


@pytest.mark.parametrize("value", ["0.5", True, None, [1, 2], object()])
def test_what_is_no_number_fails_the_trial(value: object) -> None:
    study = make()
    trial = study.ask()
    assert trial is not None
    study.report(trial, 1, {"val_loss": value})
    failure = study.history.trials[0].failure
    assert failure is not None
    assert failure.kind == "metric"


def test_the_budget_of_steps_ends_the_search_and_stops_what_runs() -> None:
    study = make(steps=5, trials=None)
    a, b = study.ask(n=2)
    for step in (1, 2, 3):
        study.report(a, step, {"val_loss": 1.0})
    study.report(b, 1, {"val_loss": 1.0})
    verdict = study.report(b, 2, {"val_loss": 1.0})
    assert verdict.kind is Kind.STOP
    assert "budget" in verdict.reason
    assert study.ask() is None


def test_a_grid_ends_the_study_when_it_is_used_up() -> None:
    study = Study({"n": Int(1, 3)}, metric="val_loss", strategy="grid", trials=100)
    values = []
    while (trial := study.ask()) is not None:
        values.append(trial.config["n"])
        study.tell(trial, val_loss=0.0)
    assert sorted(values) == [1, 2, 3]  # type: ignore[type-var]


def test_defaults_come_first_then_given_configs() -> None:
    study = Study({"x": Float(0, 1, default=0.25)}, metric="loss", trials=5, first=[{"x": 0.75}])
    asked = study.ask(n=3)
    assert [t.config["x"] for t in asked[:2]] == [0.25, 0.75]
    assert [t.origin for t in study.history.trials] == ["default", "user", ""]


def test_results_from_elsewhere_inform_and_do_not_count() -> None:
    study = make(trials=2)
    study.add({"x": 0.5, "n": 3}, val_loss=0.31)
    assert len(study.ask(n=5)) == 2
    with pytest.raises(SpecError, match="outside"):
        study.add({"x": 5.0, "n": 3}, val_loss=0.31)


def test_value_best_counts_the_best_report() -> None:
    study = make(value="best")
    trial = study.ask()
    assert trial is not None
    for step, loss in enumerate((0.5, 0.2, 0.4), 1):
        study.report(trial, step, {"val_loss": loss})
    study.finish(trial)
    assert study.history.trials[0].loss == 0.2


def test_late_reports_of_an_earlier_attempt_are_dropped() -> None:
    study = make()
    trial = study.ask()
    assert trial is not None
    study.report(trial, 1, {"val_loss": 0.5}, attempt=1)
    study.lost(0, "signal SIGKILL")
    again = study.ask()
    assert again is not None
    assert (again.number, again.attempt, again.seed) == (0, 2, trial.seed)
    assert study.report(0, 2, {"val_loss": 0.1}, attempt=1).kind is Kind.STOP
    assert study.history.trials[0].step == 1
    assert study.report(0, 1, {"val_loss": 0.7}, attempt=2).kind is Kind.CONTINUE, "known steps change nothing"
    assert study.history.trials[0].curve == ((1, 0.5),)
    study.lost(0, "signal SIGKILL")
    failure = study.history.trials[0].failure
    assert failure is not None
    assert failure.kind == "killed"


def test_a_second_session_goes_on_where_the_first_one_was(tmp_path: Path) -> None:
    whole = make()
    configs = [t.config for t in whole.ask(n=10)]
    with make(path=tmp_path / "s") as study:
        first, second = study.ask(n=2)
        study.tell(first, val_loss=0.5)
        study.report(second, 1, {"val_loss": 0.4})
    with make(path=tmp_path / "s") as study:
        assert study.counts.done == 1
        again = study.ask()
        assert again is not None
        assert (again.number, again.attempt, again.step) == (1, 2, 1)
        assert [first.config, again.config] + [t.config for t in study.ask(n=20)] == configs
        assert study.history.trials[0].curve == ((1, 0.5),)


@pytest.mark.catalogue(
    20,
    "a study goes on with another number of epochs",
    "all trials are compared by what they reported up to the shorter length; the user is told",
    0,
)
def test_trials_of_other_lengths_are_compared_at_equal_steps(tmp_path: Path) -> None:
    path, curves = tmp_path / "s", ([0.9, 0.5], [0.9, 0.6, 0.1, 0.0], [0.9, 0.4], [0.9])
    for horizon, curve in zip((2, 4, None, 4), curves, strict=True):
        with make(path=path, horizon=horizon) as study:
            trial = study.ask()
            for step, loss in enumerate(curve, 1):
                study.report(trial, step, {"val_loss": loss}, horizon=len(curve))
            study.finish(trial.number)
            notes = [note for note in study.notes if "compared" in note]
            assert len(notes) == (horizon != 2)
            assert not notes or notes[0].endswith("all trials are compared at step 2")
        with closing(StudyView(path)) as view:
            assert [t.loss for t in view.history.trials] == [t.loss for t in study.history.trials]
            assert view.history.trials == study.history.trials
    assert [t.loss for t in study.history.trials] == [0.5, 0.6, 0.4, 0.9]
    assert [t.number for t in study.history.ranked()] == [2, 0, 1, 3]
    assert [(t.step, t.counted) for t in study.history.trials] == [(2, None), (4, 2), (2, None), (1, None)]
    assert [row.note for row in rows(study.history)][:3] == ["", "", "compared at step 2"]


def test_a_study_of_another_space_is_refused(tmp_path: Path) -> None:
    make(path=tmp_path / "s").close()
    with pytest.raises(SpecError, match="another space"):
        Study({"y": Float(0, 1)}, metric="val_loss", path=tmp_path / "s", seed=3)


def test_two_drivers_cannot_hold_one_study(tmp_path: Path) -> None:
    with make(path=tmp_path / "s"), pytest.raises(LedgerError, match="being driven by process"):
        make(path=tmp_path / "s")
    make(path=tmp_path / "s").close()


def test_a_study_can_be_read_while_it_is_driven(tmp_path: Path) -> None:
    with make(path=tmp_path / "s") as study:
        trial = study.ask()
        assert trial is not None
        study.tell(trial, val_loss=0.5)
        view = Study.open(tmp_path / "s")
        assert view.best is not None
        assert view.best.loss == 0.5
        view.close()


def test_a_lost_worker_takes_nothing_from_a_trial_that_was_paused_or_goes_on_elsewhere() -> None:
    study = make(stopper={"name": "asha", "eta": 2, "mode": "promote"}, retries=3)
    first, second = study.ask(n=2)
    for trial, loss in ((first, 0.1), (second, 0.9)):
        assert study.report(trial, 1, {"val_loss": loss}).kind is Kind.PAUSE
    study.lost(second.number, "signal SIGKILL", attempt=second.attempt)
    (again,) = study.ask(n=1)
    assert (again.number, again.attempt) == (first.number, 2), "the paused one waits, the promoted one goes on"
    study.lost(first.number, "signal SIGKILL", attempt=1)
    assert study.ask(n=1)[0].number == 2, "its second attempt runs elsewhere: nothing is handed out twice"
    study.lost(first.number, "signal SIGKILL", attempt=2)
    assert study.ask(n=1)[0].attempt == 3


def test_a_log_that_another_attempt_tidied_away_is_no_error(tmp_path: Path) -> None:
    code = (
        "import pathlib, sys\nfrom automl.executors.capture import DescriptorCapture\n"
        "folder = pathlib.Path(sys.argv[1])\nwith DescriptorCapture(folder, 0)(3):\n"
        "    (folder / 't00003.log').unlink()\n"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True)


def test_going_on_after_a_pause_is_no_retry() -> None:
    study = make()
    study.ask()
    study.history.pause(0)
    study.history.again(0, 2)
    assert (study.history.trials[0].resumed, study.history.trials[0].retries) == (1, 0)
    study.history.again(0, 3)  # its worker was lost
    assert (study.history.trials[0].resumed, study.history.trials[0].retries) == (1, 1)
    told = text(study, 0, 100)
    assert "attempt 3: continued after 1 pause, its worker was lost 1 time" in told


def test_an_heir_has_its_parents_checkpoint_whatever_becomes_of_the_parent(tmp_path: Path) -> None:
    from automl.core.history import History
    from automl.core.strategy import Heir, Strategy
    from automl.study import checkpoint, paths

    class Heirs(Strategy):
        def suggest(self, history: History, n: int) -> list[Config]:
            return [Heir({"x": 0.7}, of=0)] if history.paused else [{"x": 0.5}]

    with Study(
        {"x": Float(0, 1)},
        metric="loss",
        strategy=Heirs(),
        stopper={"name": "population", "size": 2, "ready": 1},
        horizon=3,
        trials=2,
        path=tmp_path,
    ) as study:
        trial = study.ask()
        assert trial is not None
        folder = paths.trial(tmp_path, 0)
        checkpoint.save(folder, 1, {"w": 1}, [(1, {"loss": 0.5})], identity="parent")
        left = paths.trial(tmp_path, 1)
        checkpoint.save(left, 1, {"w": 9}, [], identity="left by a driver that was killed")
        study.report(trial, 1, {"loss": 0.5})
        (heir,) = study.ask(1)
        assert heir.parent is not None
        assert (heir.parent.number, heir.parent.step, heir.step) == (0, 1, 1)
        checkpoint.clear(folder)
        saved = checkpoint.load(left, identity="parent")
        assert saved is not None
        assert (saved.step, saved.state, saved.curve) == (1, {"w": 1}, ())
        assert checkpoint.inherit(folder, left, 1), "it has it already"
        assert study.report(heir, 1, {"loss": 9.0}).kind == "continue", "a step of its parent says nothing"
        assert study.history.trials[1].curve == ()
        study.report(heir, 2, {"loss": 0.4})
        assert study.history.steps_spent == 2
