"""Running out of memory in the middle of an epoch. The stepper that runs out of it is handed to the runner."""

import pytest
import torch

from automl.fused.problem import Entry
from automl.fused.uniform.cohort_stepper import CohortStepper, cohort_stepper
from automl.fused.uniform.runner import UniformRunner
from tests.fused.test_engine import CONFIGS, assert_same, engine, plain_loop


class Scarce:
    """A piece's stepper that runs out of memory whenever `fails(lanes)` says so."""

    def __init__(self, stepper, fails):
        self.stepper, self.fails = stepper, fails

    def __getattr__(self, name):
        return getattr(self.stepper, name)

    def outputs(self, context, x):
        if self.fails(self.stepper.size):
            raise torch.OutOfMemoryError("no memory")
        return self.stepper.outputs(context, x)


def scarce(e, fails):
    """Let the only group of the engine run out of memory."""
    ((runner,),) = e.runners.values()
    assert isinstance(runner, UniformRunner)
    runner.make_stepper = lambda cohort: CohortStepper(
        cohort, [Scarce(piece, fails) for piece in cohort_stepper(cohort).pieces]
    )


def test_out_of_memory_halves_what_trains_at_once_and_loses_nothing():
    calls, sizes = [0], []

    def fails(size):
        calls[0] += 1
        sizes.append(size)
        return size > 2 and calls[0] % 7 == 5  # in the middle of an epoch

    e = engine()
    e.admit([Entry(t, CONFIGS[t % 3], t, 3) for t in range(7)])
    scarce(e, fails)
    for _ in range(3):
        report = e.run_epoch()
    assert report.status == ("done",) * 7
    assert sorted(set(sizes)) == [2, 4, 8]
    assert sizes[-1] == 2
    for t in (0, 4, 6):
        assert_same(e.weights(t), plain_loop(CONFIGS[t % 3], t, 3, 3, e.problem.train), 1e-6)


def test_a_lane_that_does_not_fit_alone_raises():
    e = engine()
    e.admit([Entry(t, CONFIGS[t], t, 3) for t in range(2)])
    scarce(e, lambda size: True)
    with pytest.raises(torch.OutOfMemoryError):
        e.run_epoch()
