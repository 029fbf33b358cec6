"""Functions as tasks: random numbers begin at the trial's seed, and what a function changes ends with it."""

import os
import pickle
import random
import threading
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from automl.core.messages import Assignment
from automl.errors import SpecError, TaskError
from automl.tasks.function import FunctionTask
from automl.worker.link import Place, Recorder
from automl.worker.trial import Trial
from automl.worker.worker import ending_of


def run(task: FunctionTask, seed: int) -> None:
    task.open(("cpu",)).run(Trial(Assignment(0, {}, 1, seed), Place(), Recorder()))


def test_random_numbers_depend_on_the_seed_alone() -> None:
    drawn: list[tuple[float, ...]] = []

    def train(trial: Trial) -> None:
        drawn.append((random.random(), float(np.random.rand()), float(torch.rand(()))))  # noqa: NPY002
        trial.report(loss=1.0)

    session = FunctionTask.of(lambda trial: None).open(("cpu",))
    session.function = train  # a pickled function would have a list of its own
    for seed in (1, 2, 1):
        session.run(Trial(Assignment(0, {}, 1, seed), Place(), Recorder()))
    assert drawn[0] == drawn[2] != drawn[1]


def test_what_a_function_changes_ends_with_it(tmp_path: Path) -> None:
    def train(trial: Trial) -> None:
        os.chdir(tmp_path)
        os.environ["LEFT_BEHIND"] = "1"
        torch.set_default_dtype(torch.float64)
        trial.report(loss=1.0)

    folder, state = Path.cwd(), random.getstate()
    run(FunctionTask.of(train), 1)
    assert Path.cwd() == folder
    assert "LEFT_BEHIND" not in os.environ
    assert torch.get_default_dtype() == torch.float32
    assert random.getstate() == state


def _two(trial: Trial, width: int) -> None: ...


@pytest.mark.catalogue(37, "a training function that cannot be called with a trial", "refused before the search", 2)
@pytest.mark.parametrize(
    ("function", "said"),
    [
        (lambda: 1, r"must take one argument, the trial \(too many positional arguments\)$"),
        (_two, r"^_two must take one argument, the trial \(missing a required argument: 'width'\)$"),
        (3, r"^what is to be trained must be a function, a spec file or its name; got 3$"),
    ],
    ids=["none", "two", "no function"],
)
def test_what_cannot_be_called_with_a_trial_is_refused_before_the_search(function: Any, said: str) -> None:
    with pytest.raises(SpecError, match=said):
        FunctionTask.of(function)


@pytest.mark.parametrize(
    "function", [partial(_two, width=3), max, type("C", (), {"__call__": lambda self, trial: 1})()]
)
def test_other_callables_may_be_trained(function: Any) -> None:
    FunctionTask.of(function)


def test_a_function_that_cannot_be_sent_is_refused() -> None:
    lock = threading.Lock()
    with pytest.raises(TaskError, match=r"cannot be sent to a worker process .*inside the function"):
        pickle.dumps(FunctionTask.of(lambda trial: lock.acquire()))


@pytest.mark.parametrize("n", [3, 3.0, np.int64(3), torch.tensor(3)])
def test_whole_numbers_of_any_type_are_numbers_of_steps(n: Any) -> None:
    assert list(Trial(Assignment(0, {}, 1, 1), Place(), Recorder()).steps(n)) == [1, 2, 3]


@pytest.mark.parametrize("n", [-1, 2.5, "3", None])
def test_other_numbers_of_steps_are_refused(n: Any) -> None:
    with pytest.raises(SpecError, match=r"^trial\.steps takes a whole number of steps, 0 or more; got "):
        list(Trial(Assignment(0, {}, 1, 1), Place(), Recorder()).steps(n))


def _trial() -> Trial:
    return Trial(Assignment(0, {"x": 1.0}, 1, 1, metric="loss"), Place(), Recorder())


def test_a_metric_without_a_name_and_a_step_out_of_range_are_refused_with_a_remedy() -> None:
    with pytest.raises(SpecError, match=r"^metrics are given by name: trial\.report\(1, loss=0\.5\)$"):
        _trial().report(1, 0.5)  # type: ignore[arg-type]
    with pytest.raises(SpecError, match=r"^a step must be a whole number, from 0 to 2\*\*53; got"):
        _trial().report(2**60, loss=0.5)


def test_the_config_of_a_trial_is_a_copy() -> None:
    assignment = Assignment(0, {"x": 1.0}, 1, 1)
    Trial(assignment, Place(), Recorder()).config["x"] = 2.0  # type: ignore[index]
    assert assignment.config == {"x": 1.0}


def test_an_error_of_generators_fails_the_trial_alone() -> None:
    def train(trial: Trial) -> None:
        raise GeneratorExit("left")

    with ending_of(_trial()) as ending:
        train(_trial())
    assert ending.failure is not None
    assert "GeneratorExit" in ending.failure.message
