"""The recorded step, run eagerly on its own tables: what a GPU replays gives the numbers of the ordinary step."""

import pytest
import torch
from torch import nn

from automl.data.prepared import Part
from automl.fused.modules.blueprint import Blueprint
from automl.fused.uniform.cohort import UniformCohort
from automl.fused.uniform.cohort_stepper import cohort_stepper
from automl.fused.uniform.cuda_graph import StepGraphs
from automl.fused.uniform.epoch import Epoch

X = torch.randn(100, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
DATA = Part(X, (X[:, 0] > 0).long() + (X[:, 1] > 0).long())


def mlp(c, i, o):
    return nn.Sequential(nn.Linear(i, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(c["dropout"]), nn.Linear(8, o))


def attention_free_but_general(c, i, o):
    return nn.Sequential(nn.Linear(i, 8), nn.Softplus(), nn.Dropout(c["dropout"]), nn.Linear(8, o))


def trained(build, graphed, device="cpu", optimizer="nadam"):
    """Losses, weights and averages of three epochs, the last one with another lane in one of the slots."""
    blueprint = Blueprint(build, 6, 3, torch.device(device), torch.float64)
    config = {"batch_size": 20, "optimizer": optimizer, "ema": 0.9, "clip": 0.5, "label_smoothing": 0.1}
    cohort = UniformCohort(blueprint, {**config, "dropout": 0.3}, ema=True)
    cohort.resize(4)
    stepper, graphs = cohort_stepper(cohort), StepGraphs(record=device == "cuda")
    for j in range(3):
        cohort.admit(j, {**config, "dropout": 0.2 * j, "lr": 1e-2 * (j + 1)}, j, 3, None)
    logs = []
    for round in range(3):
        if round == 2:  # a new lane: contents change, the graph stays
            cohort.release(1)
            cohort.admit(7, {**config, "dropout": 0.4, "lr": 3e-2}, 7, 3, None)
        epoch = Epoch(stepper, "classification", DATA.to(device), graphs=graphs if graphed else None)
        epoch.train()
        logs.append(epoch.log)
        for lane in cohort.lanes:
            lane.epoch += 1
    assert len(graphs.graphs) == (1 if graphed else 0)
    assert not graphs.refused
    return torch.stack(logs).cpu(), cohort.rows["param"].cpu().clone(), cohort.rows["ema"].cpu().clone()


@pytest.mark.parametrize("build", [mlp, attention_free_but_general])
def test_a_recordable_step_equals_the_ordinary_one(build):
    for ours, theirs in zip(trained(build, True), trained(build, False), strict=True):
        assert torch.equal(ours, theirs)


def test_a_recordable_step_does_not_use_kernels_that_read_the_host():
    """adamw has such a kernel on the CPU; the rule that stands in for it gives the same numbers to rounding."""
    for ours, theirs in zip(trained(mlp, True, optimizer="adamw"), trained(mlp, False, optimizer="adamw"), strict=True):
        assert (ours - theirs).abs().max() < 1e-6


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("build", [mlp, attention_free_but_general])
def test_a_recorded_graph_equals_the_ordinary_step(build):
    for ours, theirs in zip(trained(build, True, "cuda"), trained(build, False), strict=True):
        assert (ours - theirs).abs().max() < 1e-6
