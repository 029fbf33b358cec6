"""A metric without a value on some rows is told as such, and is no number: by all three ways to compute it."""

import math

import numpy as np
import pytest
import torch

from automl import metrics
from automl.metrics import rows
from automl.metrics.batched import Meter
from automl.metrics.defined import undefined


def three_ways(outputs, y, scale):
    """R2 as trials alone, fused trials and the final evaluation compute it."""
    alone = metrics.compute("regression", outputs, y, scale=scale)["r2"]
    meter = Meter("regression", 1, torch.device("cpu"), scale=scale)
    for chunk in range(0, len(y), 7):
        meter.add(outputs[None, chunk : chunk + 7], y[chunk : chunk + 7], None)
    final = rows.sample("r2", "regression", outputs, y, scale=scale).value
    return [alone, float(meter.result()["r2"][0]), final]


@pytest.mark.parametrize("value", [0.0, 3.0, -1e-3, 1e6, 0.1, 1 / 3])
@pytest.mark.parametrize("scale", [1.0, 1e-9, 1e9])
def test_r2_of_a_constant_target_is_no_number(value, scale):
    y = torch.full((101, 1), value, dtype=torch.float32)
    outputs = torch.randn(101, 1, generator=torch.Generator().manual_seed(0))
    assert all(math.isnan(found) for found in three_ways(outputs, y, torch.tensor([scale])))
    assert undefined("r2", "regression", y) == "all 101 rows have the same target"


@pytest.mark.parametrize("scale", [1.0, 1e-9, 1e9])
@pytest.mark.parametrize("spread", [1.0, 1e-3])
def test_r2_of_a_target_that_varies_is_the_same_number_three_times(spread, scale):
    generator = torch.Generator().manual_seed(1)
    y = 0.5 + spread * torch.randn(101, 1, generator=generator)
    outputs = y + 0.3 * spread * torch.randn(101, 1, generator=generator)
    residual, centred = (outputs - y).double(), (y - y.double().mean()).double()
    right = 1 - float(residual.square().sum() / centred.square().sum())
    assert three_ways(outputs, y, torch.tensor([scale])) == pytest.approx([right] * 3, rel=1e-6)
    assert undefined("r2", "regression", y) == ""


def test_r2_of_several_targets_needs_each_of_them_to_vary():
    y = torch.stack([torch.arange(9.0), torch.full((9,), 2.0)], 1)
    assert all(math.isnan(found) for found in three_ways(y + 1, y, torch.ones(2)))
    assert undefined("r2", "regression", y)


@pytest.mark.parametrize(
    ("name", "kind", "y", "reason"),
    [
        ("auroc", "classification", [1, 1, 1], "all 3 rows are of one class"),
        ("auroc", "classification", [1, 0, 1], ""),
        ("accuracy", "classification", [1, 1, 1], ""),
        ("balanced_accuracy", "classification", [1, 1, 1], ""),
        ("auroc", "classification", [1], "there is a single row"),
        ("rmse", "regression", [[2.0], [2.0]], ""),
        ("r2", "regression", [[2.0]], "there is a single row"),
        ("accuracy", "classification", [], "there is no row"),
        ("perplexity", "next_token", [[1, 1]], ""),
    ],
)
def test_what_a_metric_needs(name, kind, y, reason):
    assert undefined(name, kind, torch.tensor(np.array(y))) == reason
