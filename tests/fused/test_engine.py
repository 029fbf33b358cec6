"""Lanes against an independent plain loop: torch.nn, torch.optim, one trial, with the lane's own order and masks."""

import math
from functools import cache

import pytest
import torch
from torch import nn

from automl.core.seeds import derive
from automl.data.prepared import Part
from automl.fused.engine import Engine
from automl.fused.lane import LaneState
from automl.fused.problem import Entry, Options, Problem
from automl.fused.tensors import rng
from automl.fused.uniform.cohort_stepper import module_mode
from automl.fused.uniform.stepper import StackStepper
from automl.models.mlp import Residual
from tests.support.plain_training import assert_same, masked, trained

F64 = torch.float64


def build(config, inputs, outputs):
    width, layers = config["width"], []
    for _ in range(config.get("depth", 2)):
        layers.append(nn.Linear(inputs, width))
        if config.get("norm", True):
            layers.append(nn.BatchNorm1d(width))
        layers += [nn.ReLU(), nn.Dropout(config["dropout"])]
        inputs = width
    return nn.Sequential(*layers, nn.Linear(inputs, outputs))


def data(n, seed, dtype=F64):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(n, 12, generator=generator, dtype=dtype)
    y = (x[:, :3] + 0.3 * torch.randn(n, 3, generator=generator, dtype=dtype)).argmax(1)
    return Part(x, y)


def engine(fuse="require", dtype=F64, **options):
    problem = Problem(build, 12, 3, "classification", data(203, 0, dtype), data(90, 1, dtype))
    return Engine(problem, Options(fuse=fuse, dtype=dtype, max_parallel=16, **options))


BASE = {"width": 16, "batch_size": 20, "optimizer": "adamw"}
CONFIGS = [
    {**BASE, "lr": 1e-2, "dropout": 0.1, "schedule": "cosine", "weight_decay": 0.1},
    {**BASE, "lr": 3e-3, "dropout": 0.5, "label_smoothing": 0.1, "clip": 0.5},
    {**BASE, "lr": 3e-2, "dropout": 0.25, "beta1": 0.8, "schedule": "linear", "warmup": 0.2},
]


def plain_loop(config, seed, horizon, epochs, part, dtype=F64):
    """What a person would write for one trial; returns the module."""
    torch.manual_seed(derive(seed, "init"))
    module = masked(build(config, 12, 3).to(dtype), seed)
    betas = (config.get("beta1", 0.9), 0.999)
    optimizer = torch.optim.AdamW(
        module.parameters(), lr=config["lr"], betas=betas, weight_decay=config.get("weight_decay", 0.01)
    )
    return trained(module, optimizer, config, seed, horizon, epochs, part)


@cache
def twenty_epochs(t):
    return plain_loop(CONFIGS[t % 3], 11 + t, 20, 20, data(203, 0))


@pytest.mark.xdist_group("plain loops")
@pytest.mark.parametrize("fuse", ["require", "never"])
def test_two_hundred_steps_with_refills_equal_the_plain_loop(fuse):
    e = engine(fuse)
    e.admit([Entry(t, CONFIGS[t % 3], 11 + t, 20) for t in (0, 1, 2)])
    for _ in range(5):
        e.run_epoch()
    e.release([1])
    e.admit([Entry(t, CONFIGS[t % 3], 11 + t, 20) for t in (3, 4)])
    while set(e.trials) & {0, 2, 3, 4}:
        report = e.run_epoch()
        for t in report.ended():
            assert_same(e.weights(t), twenty_epochs(t), 1e-6)
        e.release(report.ended())


def test_metrics_equal_those_of_the_plain_module():
    e = engine()
    e.admit([Entry(t, CONFIGS[t], t, 3) for t in range(3)])
    for _ in range(3):
        report = e.run_epoch()
    for t in range(3):
        module = plain_loop(CONFIGS[t], t, 3, 3, e.problem.train).eval()
        out, y = module(e.problem.val.x), e.problem.val.y
        i = report.trials.index(t)
        assert report.metrics["val_loss"][i] == pytest.approx(nn.functional.cross_entropy(out, y).item(), abs=1e-8)
        assert report.metrics["val_accuracy"][i] == pytest.approx((out.argmax(1) == y).double().mean().item())


LAYERS = {
    "batch norm": lambda: [nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.5)],
    "batch norm without scale": lambda: [nn.BatchNorm1d(16, affine=False), nn.Tanh()],
    "layer norm": lambda: [nn.LayerNorm(16), nn.GELU(), nn.Dropout(0.5)],
    "layer norm without scale": lambda: [nn.LayerNorm(16, elementwise_affine=False), nn.Sigmoid()],
    "in place": lambda: [nn.SiLU(inplace=True), nn.Linear(16, 16, bias=False), nn.LeakyReLU(0.2, inplace=True)],
    "shortcut": lambda: [Residual(nn.Sequential(nn.Linear(16, 16), nn.ReLU(), nn.Dropout(0.5)))],
}


@pytest.mark.parametrize("averaged", [0.0, 0.9])
@pytest.mark.parametrize("kind", LAYERS)
def test_a_stack_is_evaluated_as_the_general_path_does(kind, averaged):
    def made(config, inputs, outputs):
        return nn.Sequential(nn.Flatten(), nn.Linear(inputs, 16), *LAYERS[kind](), nn.Linear(16, outputs))

    problem = Problem(made, 12, 3, "classification", data(203, 0), data(90, 1))
    e = Engine(problem, Options(fuse="require", dtype=F64))
    e.admit([Entry(t, {"lr": 1e-2, "ema": averaged, "batch_size": 20}, t, 2) for t in range(3)])
    e.run_epoch()
    (runner,) = e.runners[e.signature({"batch_size": 20, "ema": averaged})]
    (piece,) = runner.stepper().pieces
    assert isinstance(piece, StackStepper)
    with module_mode(runner.group, batched=True, training=False):
        by_hand = piece.predict(problem.val.x).clone()
        general = piece.general.predict(problem.val.x)
    torch.testing.assert_close(by_hand, general, rtol=1e-12, atol=1e-12)


def run_among(companions, slot_first, epochs=4):
    """Weights of trial 0 after some epochs in a bucket of 8, with `slot_first` lanes before it and others behind it."""
    e = engine(dtype=torch.float32, fixed_bucket=8)
    before = [Entry(100 + j, CONFIGS[j % 3], 900 + j, 50) for j in range(slot_first)]
    after = [Entry(200 + j, CONFIGS[(j + 1) % 3], 700 + j, 50) for j in range(companions)]
    e.admit([*before, Entry(0, CONFIGS[0], 42, 50), *after])
    for _ in range(epochs):
        e.run_epoch()
    return e.weights(0)


def test_a_lane_is_bitwise_the_same_in_any_slot_among_any_companions():
    alone = run_among(0, 0)
    for companions, first in ((7, 0), (2, 3), (0, 7)):
        other = run_among(companions, first)
        assert all(torch.equal(alone[n], other[n]) for n in alone)


def test_a_snapshot_moves_a_lane_bitwise(tmp_path):
    straight = run_among(3, 0, epochs=6)
    e = engine(dtype=torch.float32, fixed_bucket=8)
    e.admit([Entry(0, CONFIGS[0], 42, 50)])
    for _ in range(3):
        e.run_epoch()
    torch.save(e.snapshot([0])[0].to_dict(), tmp_path / "lane.pt")
    state = LaneState.from_dict(torch.load(tmp_path / "lane.pt", weights_only=True))
    other = engine(dtype=torch.float32, fixed_bucket=8)
    other.admit([*(Entry(10 + j, CONFIGS[1], j, 50) for j in range(4)), Entry(0, CONFIGS[0], 42, 50, state)])
    for _ in range(3):
        report = other.run_epoch()
    assert report.epochs[report.trials.index(0)] == 6
    moved = other.weights(0)
    assert all(torch.equal(straight[n], moved[n]) for n in straight)


def test_a_snapshot_continues_alone():
    e = engine()
    e.admit([Entry(t, CONFIGS[t], t, 6) for t in range(3)])
    for _ in range(3):
        e.run_epoch()
    solo = engine("never")
    solo.admit([Entry(1, CONFIGS[1], 1, 6, e.snapshot([1])[1])])
    for _ in range(3):
        report = solo.run_epoch()
    assert report.status == ("done",)
    assert_same(solo.weights(1), plain_loop(CONFIGS[1], 1, 6, 6, e.problem.train), 1e-6)


def test_auroc_is_measured_after_the_last_epoch_also_when_lanes_have_moved():
    e = engine()
    e.admit([Entry(t, CONFIGS[t % 3], t, 1 if t < 7 else 2) for t in range(10)])
    report = e.run_epoch()
    ended = report.ended()
    assert ended == list(range(7))
    assert [math.isnan(value) for value in report.metrics["val_auroc"]] == [t not in ended for t in report.trials]
    e.release(ended)  # of 16 rows: the next epoch has 4
    report = e.run_epoch()
    assert not any(math.isnan(value) for value in report.metrics["val_auroc"])
    assert [e.slot(t) for t in report.trials] == [0, 1, 2]


def test_a_diverged_lane_is_named_and_harms_no_other():
    e = engine()
    wild = {**CONFIGS[0], "lr": 1e300, "norm": False}
    tame = {**CONFIGS[0], "norm": False}
    e.admit([Entry(0, tame, 1, 3), Entry(1, wild, 2, 3), Entry(2, tame, 3, 3)])
    report = e.run_epoch()
    assert report.status == ("running", "diverged", "running")
    assert "trial 1 (lane 1)" in report.messages[1]
    assert "not finite at step" in report.messages[1]
    e.release([1])
    e.run_epoch()
    e.run_epoch()
    assert_same(e.weights(2), plain_loop(tame, 3, 3, 3, e.problem.train), 1e-6)


def test_averaged_weights_are_what_is_evaluated_and_returned():
    config = {**CONFIGS[0], "dropout": 0.0, "ema": 0.9, "norm": False}
    for fuse in ("require", "never"):
        e = engine(fuse)
        e.admit([Entry(t, {**config, "lr": 1e-2 * (t + 1)}, 5, 2) for t in range(2)])
        e.run_epoch()
        report = e.run_epoch()
        module = build(config, 12, 3).double()
        module.load_state_dict(e.weights(1))
        loss = nn.functional.cross_entropy(module(e.problem.val.x), e.problem.val.y).item()
        assert report.metrics["val_loss"][report.trials.index(1)] == pytest.approx(loss, abs=1e-12)


def test_signatures_ignore_what_varies_per_lane_and_nothing_else():
    e = engine()
    assert e.signature(CONFIGS[0]) == e.signature(CONFIGS[1])
    for name, value in (("width", 32), ("batch_size", 40), ("optimizer", "sgd"), ("ema", 0.5)):
        assert e.signature(CONFIGS[0]) != e.signature({**CONFIGS[0], name: value}), name


def test_two_architectures_train_side_by_side():
    e = engine()
    wide = {**CONFIGS[0], "width": 24}
    e.admit([Entry(0, CONFIGS[0], 1, 2), Entry(1, wide, 2, 2), Entry(2, CONFIGS[1], 3, 2)])
    e.run_epoch()
    report = e.run_epoch()
    assert sorted(report.trials) == [0, 1, 2]
    assert_same(e.weights(1), plain_loop(wide, 2, 2, 2, e.problem.train), 1e-6)


def test_a_trial_cannot_be_admitted_twice():
    e = engine()
    e.admit([Entry(0, CONFIGS[0], 1, 2)])
    with pytest.raises(ValueError, match="already running"):
        e.admit([Entry(0, CONFIGS[0], 1, 2)])


def regression_build(config, inputs, outputs):
    return nn.Sequential(nn.Linear(inputs, 8), nn.Tanh(), nn.Linear(8, outputs))


@pytest.mark.parametrize("fuse", ["require", "never"])
def test_regression_with_sample_weights(fuse):
    generator = torch.Generator().manual_seed(3)
    x = torch.randn(60, 4, generator=generator, dtype=F64)
    y = torch.stack([x.sum(1), x[:, 0] * x[:, 1]], 1)
    weight = torch.rand(60, generator=generator, dtype=F64)
    part = Part(x, y, weight)
    e = Engine(Problem(regression_build, 4, 2, "regression", part, part), Options(fuse=fuse, dtype=F64))
    config = {"optimizer": "sgd", "lr": 0.05, "batch_size": 16, "momentum": 0.9}
    e.admit([Entry(t, {**config, "lr": 0.02 * (t + 1)}, t, 3) for t in range(2)])
    for _ in range(3):
        report = e.run_epoch()
    torch.manual_seed(derive(1, "init"))
    module = regression_build({}, 4, 2).double()
    optimizer = torch.optim.SGD(module.parameters(), lr=0.04, momentum=0.9)
    for epoch in range(3):
        order = rng.permutations([1], [epoch], 60, "cpu")[0]
        for start in range(0, 60, 16):
            chosen = order[start : start + 16]
            errors = ((module(x[chosen]) - y[chosen]) ** 2).mean(1)
            optimizer.zero_grad()
            ((errors * weight[chosen]).sum() / weight[chosen].sum()).backward()
            optimizer.step()
    assert_same(e.weights(1), module, 1e-9)
    residual = module(x).detach() - y
    mse = ((residual**2).mean(1) * weight).sum() / weight.sum()
    assert report.metrics["val_loss"][1] == pytest.approx(mse.item())
    assert report.metrics["val_rmse"][1] == pytest.approx(mse.sqrt().item())
