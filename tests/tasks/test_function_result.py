"""What a training function may hand back: a number, a dict, values one after another, a coroutine, an exit."""

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from automl.core.trial import State
from automl.errors import SpecError
from automl.worker.trial import Trial
from tests.failures.kit import search


def number(trial: Trial) -> object:
    return trial["x"]


def mapping(trial: Trial) -> object:
    return {"loss": trial["x"], "other": 2}


def one_dict(trial: Trial) -> None:
    trial.report({"loss": trial["x"]})


async def coroutine(trial: Trial) -> object:
    await asyncio.sleep(0)
    return trial["x"]


def leaves(trial: Trial) -> None:
    trial.report(loss=trial["x"])
    sys.exit(0)


def numbers(trial: Trial) -> Iterator[object]:
    for step in trial.steps(3):
        yield trial["x"] + 3 - step


def mappings(trial: Trial) -> Iterator[object]:
    for step in trial.steps(3):
        yield {"loss": trial["x"] + 3 - step}


async def later(trial: Trial) -> AsyncIterator[object]:
    for step in trial.steps(3):
        await asyncio.sleep(0)
        yield trial["x"] + 3 - step


@pytest.mark.parametrize("train", [number, mapping, one_dict, coroutine, leaves, numbers, mappings, later])
@pytest.mark.parametrize("executor", ["inline", "local"])
def test_results_count(train: Callable[[Trial], object], executor: str, tmp_path: Path) -> None:
    study = search(train, tmp_path / "s", executor=executor, workers=1, trials=3)
    steps = 3 if train in (numbers, mappings, later) else 1
    assert [(t.state, t.step, t.loss) for t in study.history.trials] == [
        (State.DONE, steps, pytest.approx(t.config["x"])) for t in study.history.trials
    ]


def test_a_generator_is_stopped_early(tmp_path: Path) -> None:
    study = search(numbers, tmp_path / "s", trials=9, stopper={"name": "asha", "eta": 3}, horizon=3)
    assert study.counts.stopped > 0
    assert study.counts.failed == 0


@pytest.mark.parametrize("options", [{"trials": None, "time_s": 0.1}, {"trials": 9, "stopper": "asha"}])
def test_what_is_returned_is_a_trial_of_full_length(options: dict[str, Any], tmp_path: Path) -> None:
    """Not one that was stopped by a comparison, or because the time of the search was used up before it ended."""

    def train(trial: Trial) -> float:
        time.sleep(0.2 if "time_s" in options else 0)
        return float(trial["x"])

    study = search(train, tmp_path / "s", **options)
    assert study.best is not None
    assert {trial.state for trial in study.history.trials} == {State.DONE}


def test_what_is_returned_after_a_report_is_no_result(tmp_path: Path) -> None:
    def train(trial: Trial) -> object:
        trial.report(loss=trial["x"])
        return -1.0

    study = search(train, tmp_path / "s", trials=2)
    assert [t.loss for t in study.history.trials] == [t.config["x"] for t in study.history.trials]


@pytest.mark.parametrize(("result", "said"), [(None, ""), ("good", r" \(it returned a str\)")])
def test_the_first_trial_without_a_report_ends_the_search(result: object, said: str, tmp_path: Path) -> None:
    begun = tmp_path / "begun"

    def train(trial: Trial) -> object:
        with begun.open("a") as file:
            print(trial.number, file=file)
        return result

    remedy = r"Call trial.report\(loss=value\) after each epoch, or end the function with: return value"
    with pytest.raises(SpecError, match=rf"train ended without reporting loss{said}. {remedy}$"):
        search(train, tmp_path / "s", trials=60)
    assert begun.read_text().split() == ["0"]


def test_an_exit_with_an_error_fails_the_trial(tmp_path: Path) -> None:
    def train(trial: Trial) -> None:
        trial.report(loss=1.0)
        sys.exit(3 if trial.number else 0)

    study = search(train, tmp_path / "s", trials=2)
    assert [t.state for t in study.history.trials] == [State.DONE, State.FAILED]
    failure = study.history.trials[1].failure
    assert failure is not None
    assert "sys.exit(3)" in failure.message
