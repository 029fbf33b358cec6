"""Lanes of different shapes in one program: against plain modules, and against themselves alone."""

from dataclasses import replace
from functools import cache, partial

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from automl.core.seeds import derive
from automl.data.prepared import Part
from automl.data.shapes import Inputs, Outputs
from automl.fused.engine import Engine
from automl.fused.lane import LaneState
from automl.fused.mixed import epoch
from automl.fused.mixed.blocks import read
from automl.fused.mixed.cohort import MixedCohort, NotMixable
from automl.fused.modules.activations import ACTIVATIONS
from automl.fused.modules.blueprint import Blueprint
from automl.fused.modules.swap import operate
from automl.fused.problem import Entry, Options, Problem
from automl.fused.signature import MIXES, group
from automl.fused.sizing.mixed_probe import probe_mixed
from automl.models.mlp import build
from tests.support.plain_training import assert_same, masked, trained

F64, F32 = torch.float64, torch.float32
INPUTS, OUTPUTS = Inputs((6, 2)), Outputs(3)


def data(n, seed, dtype=F64):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(n, 6, 2, generator=generator, dtype=dtype)
    return Part(x, (x[:, :3, 0] + 0.3 * torch.randn(n, 3, generator=generator, dtype=dtype)).argmax(1))


def engine(fuse="require", dtype=F64, measurements=None, mixing=MIXES["mlp"], problem=None, **options):
    made = problem or Problem(build, INPUTS, OUTPUTS, "classification", data(203, 0, dtype), data(90, 1, dtype),
                              mixes=mixing)  # fmt: skip
    return Engine(made, Options(fuse=fuse, dtype=dtype, max_parallel=64, measurements=measurements, **options))


CONFIGS = [
    {"width": 5, "depth": 1, "activation": "relu", "dropout": 0.2, "optimizer": "adamw", "lr": 1e-2, "batch_size": 20},
    {"width": 40, "depth": 3, "activation": "gelu", "norm": "batch", "dropout": 0.5, "optimizer": "sgd", "lr": 3e-2,
     "momentum": 0.8, "nesterov": True, "batch_size": 20, "schedule": "cosine"},
    {"width": 33, "depth": 2, "activation": "silu", "norm": "layer", "residual": True, "dropout": 0.1,
     "optimizer": "adam", "lr": 3e-3, "weight_decay": 0.1, "batch_size": 20, "clip": 0.5},
    {"width": 64, "depth": 4, "activation": "tanh", "norm": "batch", "residual": True, "dropout": 0.3,
     "optimizer": "nadam", "lr": 1e-3, "batch_size": 20, "label_smoothing": 0.1, "warmup": 0.2, "schedule": "linear"},
    {"width": 17, "depth": 2, "activation": "relu", "optimizer": "rmsprop", "lr": 1e-3, "batch_size": 32},
    {"width": 70, "depth": 1, "activation": "gelu", "norm": "layer", "dropout": 0.4, "optimizer": "adamw", "lr": 1e-2,
     "batch_size": 64, "schedule": "wsd"},
]  # fmt: skip


OPTIMIZERS = {
    "adamw": lambda p, c: torch.optim.AdamW(p, lr=c["lr"], weight_decay=c.get("weight_decay", 0.01)),
    "adam": lambda p, c: torch.optim.Adam(p, lr=c["lr"], weight_decay=c.get("weight_decay", 0.0)),
    "sgd": lambda p, c: torch.optim.SGD(p, lr=c["lr"], momentum=c["momentum"], nesterov=c["nesterov"]),
    "nadam": lambda p, c: torch.optim.NAdam(p, lr=c["lr"]),
    "rmsprop": lambda p, c: torch.optim.RMSprop(p, lr=c["lr"], alpha=0.99),
}


def plain_module(config, seed):
    torch.manual_seed(derive(seed, "init"))
    return masked(build(config, INPUTS, OUTPUTS).double(), seed)


def plain_loop(config, seed, horizon, epochs, part):
    """What a person would write for one trial; returns the module."""
    module = plain_module(config, seed)
    optimizer = OPTIMIZERS[config["optimizer"]](module.parameters(), config)
    return trained(module, optimizer, config, seed, horizon, epochs, part)


@cache
def twenty_epochs(t):
    return plain_loop(CONFIGS[t % 6], 50 + t, 20, 20, data(203, 0))


@pytest.mark.xdist_group("plain loops of many shapes")
@pytest.mark.parametrize("fuse", ["require", "never"])
def test_two_hundred_steps_of_different_shapes_with_refills_equal_the_plain_loop(fuse):
    e, epochs = engine(fuse), 20  # 220, 140 or 80 steps
    e.admit([Entry(t, CONFIGS[t], 50 + t, epochs) for t in (0, 1, 2)])
    for _ in range(4):
        e.run_epoch()
    e.release([1])
    e.admit([Entry(t, CONFIGS[t % 6], 50 + t, epochs) for t in (3, 4, 5, 7)])
    left = {0, 2, 3, 4, 5, 7}
    while left:
        report = e.run_epoch()
        for t in report.ended():
            assert_same(e.weights(t), twenty_epochs(t), 1e-6)
            i = report.trials.index(t)
            assert report.status[i] == "done"
        left -= set(report.ended())
        e.release(report.ended())


def test_scores_are_those_of_the_plain_module():
    e = engine()
    e.admit([Entry(t, config, t, 3) for t, config in enumerate(CONFIGS)])
    for _ in range(3):
        report = e.run_epoch()
    for t, config in enumerate(CONFIGS):
        module = plain_loop(config, t, 3, 3, e.problem.train).eval()
        out, y, i = module(e.problem.val.x), e.problem.val.y, report.trials.index(t)
        assert report.metrics["val_loss"][i] == pytest.approx(nn.functional.cross_entropy(out, y).item(), abs=1e-8)
        assert report.metrics["val_accuracy"][i] == pytest.approx((out.argmax(1) == y).double().mean().item())


@pytest.mark.parametrize("optimizer", ["adamw", "lion", "rmsprop"])
def test_averages_and_clipping_are_those_of_a_cohort_of_one_shape(optimizer):
    """The lanes of uniform cohorts are themselves tested against torch."""
    configs = [{**config, "optimizer": optimizer, "ema": 0.9, "clip": 0.1, "lr": 1e-3} for config in CONFIGS]
    mixed, narrow, seen = engine(), engine("never", mixing=()), []
    for e in (mixed, narrow):
        e.admit([Entry(t, config, t, 3) for t, config in enumerate(configs)])
        for _ in range(3):
            report = e.run_epoch()
        assert report.status == ("done",) * len(configs)
        seen.append(dict(zip(report.trials, report.metrics["val_loss"], strict=True)))
    for t in range(len(configs)):
        one, other = mixed.weights(t), narrow.weights(t)
        assert all((one[n].double() - other[n].double()).abs().max() < 1e-6 for n in other)
    assert seen[0] == pytest.approx(seen[1], abs=1e-6)


def test_regression_with_weights_and_several_targets():
    generator = torch.Generator().manual_seed(3)
    x = torch.randn(60, 6, 2, generator=generator, dtype=F64)
    part = Part(
        x, torch.stack([x.sum((1, 2)), x[:, 0, 0] * x[:, 1, 1]], 1), torch.rand(60, generator=generator, dtype=F64)
    )
    outputs, unit = Outputs(2), torch.tensor([2.0, 0.5], dtype=F64)
    found = []
    for mixing in (MIXES["mlp"], ()):
        problem = Problem(build, INPUTS, outputs, "regression", part, part, unit, mixing)
        e = engine("require" if mixing else "never", problem=problem)
        e.admit([Entry(t, config, t, 2) for t, config in enumerate(CONFIGS)])
        e.run_epoch()
        report = e.run_epoch()
        found.append({n: dict(zip(report.trials, v, strict=True)) for n, v in report.metrics.items()})
    for name, values in found[0].items():
        assert values == pytest.approx(found[1][name], rel=1e-6), name


def weights_among(others, first, epochs=3, config=CONFIGS[1], cache_bytes=epoch.CACHE_BYTES):
    """Trial 0's weights after some epochs among lanes of other shapes, `first` of which were there before."""
    e = engine(dtype=F32)
    lanes = [Entry(100 + j, CONFIGS[(j * 5) % 6], 900 + j, 50) for j in range(others)]
    e.admit([*lanes[:first], Entry(0, config, 42, 50), *lanes[first:]])
    ((runner,),) = e.runners.values()
    runner.cache_bytes = cache_bytes
    for _ in range(epochs):
        e.run_epoch()
    return e.weights(0)


OF_WHOLE_MATRICES = [{**CONFIGS[3], "optimizer": name, "lr": 1e-3} for name in ("muon", "adafactor")]


@pytest.mark.parametrize("config", [*CONFIGS, *OF_WHOLE_MATRICES])
def test_a_lane_has_the_same_bits_alone_and_among_any_others(config):
    torch.set_flush_denormal(False)
    alone = weights_among(0, 0, config=config)
    for others, first in ((1, 1), (7, 0), (7, 7), (40, 20)):
        among = weights_among(others, first, config=config)
        assert all(torch.equal(alone[n], among[n]) for n in alone), (others, first)
    among = weights_among(7, 3, config=config, cache_bytes=40_000)  # other pieces
    assert all(torch.equal(alone[n], among[n]) for n in alone)


def test_a_trial_that_is_not_fused_has_the_bits_of_its_lane():
    lanes = engine("require", dtype=F32)
    lanes.admit([Entry(t, config, t, 3) for t, config in enumerate(CONFIGS)])
    solo = engine("never", dtype=F32)
    solo.admit([Entry(t, config, t, 3) for t, config in enumerate(CONFIGS)])
    for _ in range(3):
        one, other = lanes.run_epoch(), solo.run_epoch()
        for i, t in enumerate(one.trials):
            j = other.trials.index(t)
            assert {n: v[i] for n, v in one.metrics.items()} == pytest.approx(
                {n: v[j] for n, v in other.metrics.items()}, rel=0, abs=0, nan_ok=True
            )
    assert all(len(runners) > 1 for runners in solo.runners.values())


def test_a_snapshot_moves_a_lane_into_any_cohort(tmp_path):
    straight = weights_among(3, 1, epochs=6)
    e = engine(dtype=F32)
    e.admit([Entry(7, CONFIGS[0], 3, 50), Entry(0, CONFIGS[1], 42, 50)])
    for _ in range(3):
        e.run_epoch()
    torch.save(e.snapshot([0])[0].to_dict(), tmp_path / "lane.pt")
    state = LaneState.from_dict(torch.load(tmp_path / "lane.pt", weights_only=True))
    assert len(state.rows["param"]) < 4400  # its true shape: 40 x 12 + 2 x 40 x 40 + ...
    for fuse in ("require", "never"):
        other = engine(fuse, dtype=F32)
        other.admit([*(Entry(10 + j, CONFIGS[2 + j], j, 50) for j in range(3)), Entry(0, CONFIGS[1], 42, 50, state)])
        for _ in range(3):
            report = other.run_epoch()
        assert report.epochs[report.trials.index(0)] == 6
        moved = other.weights(0)
        assert all(torch.equal(straight[n], moved[n]) for n in straight)
    narrow = engine(dtype=F32, mixing=())  # a cohort of one shape, as a GPU's: the same to rounding
    narrow.admit([Entry(t, CONFIGS[1], 42 + t, 50, state) for t in range(2)])
    narrow.run_epoch()
    back = narrow.snapshot([0])[0]
    assert {n: len(r) for n, r in back.rows.items()} == {n: len(r) for n, r in state.rows.items()}
    again = engine(dtype=F32)
    again.admit([Entry(0, CONFIGS[1], 42, 50, back)])
    assert again.run_epoch().epochs == (5,)


def test_a_diverged_lane_is_named_and_harms_no_other():
    e = engine()
    wild = {**CONFIGS[4], "optimizer": "sgd", "lr": 1e300}
    e.admit([Entry(0, CONFIGS[0], 1, 3), Entry(1, wild, 2, 3), Entry(2, CONFIGS[5], 3, 3)])
    report = e.run_epoch()
    assert report.status == ("running", "diverged", "running")
    assert "trial 1 (lane 1)" in report.messages[1]
    assert "not finite at step" in report.messages[1]
    e.run_epoch()
    e.release([1])
    e.run_epoch()
    assert_same(e.weights(0), plain_loop({**CONFIGS[0]}, 1, 3, 3, e.problem.train), 1e-6)


shapes = st.fixed_dictionaries(
    {
        "width": st.integers(1, 70),
        "depth": st.integers(1, 4),
        "activation": st.sampled_from(["relu", "gelu", "silu", "tanh"]),
        "norm": st.sampled_from(["none", "batch", "layer"]),
        "residual": st.booleans(),
        "batch_size": st.just(8),
    }
)


@settings(max_examples=15, deadline=None, derandomize=True)
@given(st.lists(shapes, min_size=1, max_size=5))
def test_any_shapes_give_the_plain_modules_gradients_and_leave_padding_alone(configs):
    part = data(8, 5)
    blueprint = Blueprint(build, INPUTS, OUTPUTS, torch.device("cpu"), F64)
    cohort = MixedCohort(blueprint, configs[0])
    for j, config in enumerate(configs):
        cohort.admit(j, config, j, 1, None)
    program = cohort.program(tuple(range(len(configs))))
    out = program.outputs(part.x.expand(len(configs), *part.x.shape), 0)
    slope = torch.randn(out.shape, generator=torch.Generator().manual_seed(1), dtype=F64)
    program.backward(slope)
    for j, config in enumerate(configs):
        module = blueprint.module(config, j).train()
        plain = module(part.x)
        plain.backward(slope[j])
        assert torch.allclose(out[j], plain, rtol=1e-9, atol=1e-9)
        for name, p in module.named_parameters():
            assert torch.allclose(program.named_gradients[j][name], p.grad, rtol=1e-7, atol=1e-9), name
    for packed in program.batch_pass(8).layers:
        units = torch.zeros(packed.layer.total, dtype=torch.bool)
        for columns in packed.layer.columns:
            units[columns] = True
        assert not packed.g[:, ~units].any()
        assert not packed.y[:, ~units].any()


def test_what_is_no_plain_stack_does_not_mix():
    def operated(module):
        return read(operate(module))

    assert operated(build({"depth": 2, "norm": "batch", "residual": True}, INPUTS, OUTPUTS)) is not None
    assert operated(nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))) is not None
    hooked = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
    hooked[0].register_forward_hook(lambda m, x, y: y * 2)
    frozen = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
    frozen[0].weight.requires_grad_(False)
    tied = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4))
    tied[2].weight = tied[0].weight
    for module in (
        hooked, frozen, tied, nn.Sequential(nn.Linear(3, 2)), nn.Sequential(nn.Linear(3, 4), nn.Dropout(), nn.ReLU()),
        nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2), nn.Softmax(1)), nn.Conv1d(1, 2, 3),
        nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2, bias=False)),
        nn.Sequential(nn.Linear(3, 4), nn.Softplus(), nn.Linear(4, 2)),
        nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.BatchNorm1d(4), nn.Linear(4, 2)),
    ):  # fmt: skip
        assert operated(module) is None, module


def test_categories_to_be_embedded_keep_to_cohorts_of_one_shape():
    inputs = Inputs((4,), "table", cardinalities=(5,))
    generator = torch.Generator().manual_seed(0)
    x = torch.cat([torch.randn(60, 3, generator=generator), torch.randint(0, 5, (60, 1), generator=generator)], 1)
    part = Part(x, torch.arange(60) % 3)
    problem = Problem(build, inputs, OUTPUTS, "classification", part, part, mixes=MIXES["mlp"])
    e = engine(dtype=F32, problem=problem)
    assert e.signature(CONFIGS[0]) == group(CONFIGS[0], MIXES["mlp"]) != e.signature(CONFIGS[1])
    e.admit([Entry(t, config, t, 1) for t, config in enumerate(CONFIGS)])
    assert e.run_epoch().status == ("done",) * len(CONFIGS)
    with pytest.raises(NotMixable, match="trial 0"):
        MixedCohort(e.blueprint, CONFIGS[0]).admit(0, CONFIGS[0], 0, 1, None)


class Doubled(nn.Module):
    """A forward pass of its own, so that lanes must have one shape."""

    def __init__(self, config, inputs, outputs):
        super().__init__()
        self.inner = build(config, inputs, outputs)

    def forward(self, x):
        return 2 * self.inner(x)


def test_where_models_cannot_mix_require_trains_lanes_of_one_shape():
    part = data(60, 0)
    problem = Problem(Doubled, INPUTS, OUTPUTS, "classification", part, part, mixes=MIXES["mlp"])
    e = engine(problem=problem)
    configs = [{"width": 8 * (1 + t % 2), "batch_size": 20, "lr": 1e-3 * (1 + t)} for t in range(4)]
    assert e.reason_to_run_alone(configs) is None
    e.admit([Entry(t, config, t, 2) for t, config in enumerate(configs)])
    assert sorted(len(r.group.lanes) for rs in e.runners.values() for r in rs) == [2, 2]
    e.run_epoch()
    assert e.run_epoch().status == ("done",) * 4


WRONG = {**ACTIVATIONS, nn.GELU: replace(ACTIVATIONS[nn.GELU], backward=lambda m, g, z: g.mul_(0.9))}


def wrong_probe(blueprint, configs, kind, data):
    return probe_mixed(blueprint, configs, kind, data, new_cohort=partial(MixedCohort, activations=WRONG))


def test_a_wrong_derivative_is_caught_and_the_trials_train_right_nevertheless():
    e = engine("auto")
    assert probe_mixed(e.blueprint, CONFIGS, "classification", e.problem.train).ok
    e.policy.probe_mixed = wrong_probe
    reason = e.reason_to_run_alone(CONFIGS)
    assert reason is not None
    assert "gradient" in reason
    e.admit([Entry(1, CONFIGS[1], 1, 2)], together=False)
    e.run_epoch()
    e.run_epoch()
    assert_same(e.weights(1), plain_loop(CONFIGS[1], 1, 2, 2, e.problem.train), 1e-6)
