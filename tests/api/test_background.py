"""A search in the background: its handle waits, stops, shows the board, and passes errors on."""

import time
from pathlib import Path

import pytest

import automl
from automl.driver.signals import Interrupted
from automl.errors import AutoMLError

OPTIONS = {"space": {"x": automl.Float(0, 1)}, "metric": "loss", "executor": "inline", "finalists": None}


def quick(trial: automl.Trial) -> None:
    trial.report(loss=trial["x"])


def slow(trial: automl.Trial) -> None:
    for _ in trial.steps(1000):
        time.sleep(0.02)
        trial.report(loss=trial["x"])


def fails(trial: automl.Trial) -> None:
    raise ValueError("never works")


def test_the_result_is_the_finished_study_and_shows_itself(tmp_path: Path) -> None:
    running = automl.search(quick, trials=5, block=False, path=tmp_path / "s", **OPTIONS)
    study = running.result(60)
    assert study.counts.done == 5
    assert not running.running
    assert "ended" in repr(running)
    for shown in (running._repr_html_(), study._repr_html_(), automl.Study.open(tmp_path / "s")._repr_html_()):
        assert "<table" in shown
        assert "5 done" in shown


def test_a_search_is_shown_while_it_runs_and_stops_when_asked(tmp_path: Path) -> None:
    running = automl.search(slow, trials=50, block=False, path=tmp_path / "s", **OPTIONS)
    with pytest.raises(AutoMLError, match="still runs"):
        running.result(0.3)
    assert "running" in running._repr_html_()
    assert running.stop()
    with pytest.raises(Interrupted):
        running.result()
    view = automl.Study.open(tmp_path / "s")
    assert view.counts.begun < 50
    assert view.counts.running == 1  # goes on with the next session
    view.close()


def test_an_error_of_the_search_is_passed_on(tmp_path: Path) -> None:
    running = automl.search(fails, trials=20, block=False, path=tmp_path / "s", **OPTIONS)
    with pytest.raises(AutoMLError, match="never works"):
        running.result(60)


def test_names_are_escaped_in_a_notebook(tmp_path: Path) -> None:
    study = automl.search(quick, trials=1, name="a<b>c", dir=tmp_path, **OPTIONS)
    assert "<b>" not in study._repr_html_()


def test_without_the_handle_nothing_has_changed(tmp_path: Path) -> None:
    assert automl.search(quick, trials=2, path=tmp_path / "s", **OPTIONS).counts.done == 2
