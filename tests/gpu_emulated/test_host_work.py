"""What the host does for an epoch on a GPU: measured on torch's meta device, whose tensors hold nothing."""

import time
from typing import Any

import pytest
import torch

from automl.core.trial import Metric
from automl.data.prepared import Part
from automl.data.shapes import Inputs, Outputs
from automl.fused.modules.blueprint import Blueprint
from automl.fused.problem import Entry
from automl.fused.uniform.cohort import UniformCohort
from automl.fused.uniform.epoch import CPU_ROWS, GPU_ROWS, rows_of
from automl.fused.uniform.piece import PieceEpoch
from automl.fused.uniform.stepper import StackStepper, VmapStepper
from automl.models import build
from automl.training.loop.best_epoch import BestEpoch
from tests.fused.test_engine import CONFIGS, engine

LANES, ROWS = 128, 50_000
MOST_US = 60
"""Microseconds of CPU time a step; about 14 were measured, and 360 where the host makes the orders."""


def test_the_tables_of_an_epoch_take_the_host_little_time() -> None:
    config = {"width": 128, "batch_size": 32, "dropout": 0.2, "lr": 1e-3, "label_smoothing": 0.1}
    made = Blueprint(build("mlp"), Inputs((64,)), Outputs(10), torch.device("meta"))
    cohort = UniformCohort(made, dict(config))
    cohort.resize(LANES)
    for trial in range(LANES):
        cohort.admit(trial, {**config, "lr": 1e-3 * (1 + trial)}, trial, 100, None)
    stepper = StackStepper.of(VmapStepper(cohort, 0, LANES))
    assert stepper is not None
    data, spent = Part(torch.empty(ROWS, 64), torch.empty(ROWS, dtype=torch.int64)).to("meta"), []
    for _ in range(3):
        begun = time.process_time()
        steps = PieceEpoch(stepper, "classification", data, recordable=True).steps
        spent.append((time.process_time() - begun) / steps)
    assert 1e6 * min(spent) < MOST_US


def test_an_evaluation_takes_as_many_samples_at_once_as_suit_the_device() -> None:
    few, many = Part(torch.empty(4, 64), torch.empty(4)), Part(torch.empty(4, 3, 224, 224), torch.empty(4))
    assert rows_of(torch.device("cpu"), few) == CPU_ROWS
    assert rows_of(torch.device("cuda"), few) == GPU_ROWS
    assert CPU_ROWS > rows_of(torch.device("cuda"), many) > 500


def test_the_weights_of_the_lanes_that_are_better_are_copied_at_once() -> None:
    made = engine()
    made.admit([Entry(t, CONFIGS[t % 3], t, 3) for t in range(6)])
    made.run_epoch()
    found = made.weights_of([4, 1])
    assert sorted(found) == [1, 4]
    for trial, weights in found.items():
        assert all(torch.equal(value, made.weights(trial)[name]) for name, value in weights.items())


@pytest.mark.parametrize(("count", "expected"), [("best", [1, 3]), ("last", [4])])
def test_it_is_known_beforehand_whose_weights_will_be_kept(count: Any, expected: list[int]) -> None:
    best, asked = BestEpoch(Metric("val_loss", count=count), 4), []

    def weights() -> dict[str, Any]:
        asked.append(step)
        return {}

    for step, loss in enumerate([0.5, 0.6, 0.4, 0.45], start=1):
        wanted = best.wants(step, {"val_loss": loss})
        best.update(step, {"val_loss": loss}, weights)
        assert wanted is (step in asked)
    assert asked == expected
