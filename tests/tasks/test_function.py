"""Functions as tasks: random numbers begin at the trial's seed, and what a function changes ends with it."""

import os
import random
import threading
from pathlib import Path

import numpy as np
import pytest
import torch

from automl.core.messages import Assignment
from automl.errors import TaskError
from automl.tasks.function import FunctionTask
from automl.worker.link import Place, Recorder
from automl.worker.trial import Trial


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


def test_a_function_that_cannot_be_sent_is_refused() -> None:
    lock = threading.Lock()
    with pytest.raises(TaskError, match=r"cannot be sent to a worker process .*inside the function"):
        FunctionTask.of(lambda trial: lock.acquire())
