"""Lanes with augmentation: against a plain loop that augments one batch at a time, and against themselves alone."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from automl.core.seeds import derive
from automl.data.prepared import Part
from automl.data.shapes import Inputs, Outputs
from automl.errors import SpecError
from automl.fused.engine import Engine
from automl.fused.problem import Entry, Options, Problem
from automl.fused.signature import MIXES
from automl.fused.tensors import losses, rng
from automl.fused.tensors.augmentation import lane_augmentation
from automl.models import build
from automl.training import augment
from automl.training.schedules import steps_per_epoch
from tests.support.plain_training import Masked, assert_same, masked

CPU = torch.device("cpu")
IMAGE, TABLE = Inputs((1, 6, 6)), Inputs((7,))
ALL = {"flip": 0.5, "shift": 0.2, "rotate": 30.0, "crop": 0.3, "noise": 0.1, "mixup": 0.6, "cutmix": 0.8}


def numbers(generator: torch.Generator, inputs: Inputs, kind: str, n: int, dtype: torch.dtype, weighted: bool) -> Part:
    x = torch.randn(n, *inputs.shape, generator=generator, dtype=dtype)
    flat = x.flatten(1)
    y = flat[:, :3].argmax(1) if kind == "classification" else flat[:, :3] * 2
    return Part(x, y, torch.rand(n, generator=generator, dtype=dtype) if weighted else None)


def problem(
    family: str, inputs: Inputs, kind: str = "classification", dtype: torch.dtype = torch.float64,
    mixing: bool = False, weighted: bool = False,
) -> Problem:  # fmt: skip
    generator = torch.Generator().manual_seed(0)
    parts = [numbers(generator, inputs, kind, n, dtype, weighted) for n in (67, 30)]
    scale = torch.ones(3, dtype=dtype) if kind == "regression" else None
    mixes = MIXES["mlp"] if mixing else ()
    return Problem(build(family), inputs, Outputs(3), kind, *parts, scale, mixes, own_factory=False)


def plain_loop(p: Problem, config: dict, seed: int, epochs: int) -> torch.nn.Module:
    """What a person would write for one trial: augment the batch, soft targets, torch's loss and optimizer."""
    torch.manual_seed(derive(seed, "init"))
    module = masked(p.build(config, p.inputs, p.outputs).double(), seed)
    optimizer = torch.optim.SGD(module.parameters(), lr=config["lr"], momentum=0.9)
    size, part = config["batch_size"], p.train
    steps = steps_per_epoch(len(part), size)
    strengths = {name: value for name, value in config.items() if name in ALL and value}
    for epoch in range(epochs):
        (order,) = rng.permutations([seed], [epoch], len(part), "cpu")
        one = lane_augmentation([strengths], p.inputs, [seed], [epoch * steps], steps, CPU)
        for s in range(steps):
            for child in module.modules():
                if isinstance(child, Masked):
                    child.step = epoch * steps + s
            rows = order[s * size : (s + 1) * size]
            x, y, own = part.x[rows], part.y[rows], torch.ones(len(rows), dtype=torch.float64)
            if one is not None:
                u, noise = one._uniforms(s, len(rows))[0], one._noise(s, x[None])
                x, own = augment.apply(x, strengths, p.inputs, u, noise)
            target = augment.mixed_targets(p.kind, y, own, 3)
            if p.kind == "classification":
                smoothing = config.get("label_smoothing", 0.0)
                each = F.cross_entropy(module(x), target, reduction="none", label_smoothing=smoothing)
            else:
                each = (module(x) - target).square().mean(1)
            weight = torch.ones_like(each) if part.weight is None else part.weight[rows]
            optimizer.zero_grad()
            ((each * weight).sum() / weight.sum()).backward()
            optimizer.step()
    return module


def configs(names: tuple[str, ...], **shared: object) -> list[dict]:
    """Four lanes: all operations at different strengths, none at all."""
    some = [{name: ALL[name] * share for name in names} for share in (1.0, 0.0, 0.5, 0.8)]
    return [{"optimizer": "sgd", "lr": 1e-2, "batch_size": 16, **one, **shared} for one in some]


CASES = {
    "images, all operations": ("convnet", IMAGE, "classification", tuple(ALL), {"width": 4, "depth": 1}, {}),
    "flat images, smoothed": (
        "mlp", Inputs((36,)), "classification", tuple(ALL), {"width": 12, "dropout": 0.2, "label_smoothing": 0.1}, {},
    ),
    "tables, weighted": ("mlp", TABLE, "classification", ("noise", "mixup"), {"width": 9}, {"weighted": True}),
    "side by side": ("mlp", TABLE, "classification", ("noise", "mixup"), {"width": 9}, {"mixing": True}),
    "regression": ("mlp", TABLE, "regression", ("noise", "mixup"), {"width": 9}, {}),
}  # fmt: skip


SLOW = {"images, all operations"}


@pytest.mark.parametrize("case", [pytest.param(c, marks=pytest.mark.slow if c in SLOW else ()) for c in CASES])
def test_fifty_steps_equal_the_plain_loop(case: str) -> None:
    family, inputs, kind, names, config, options = CASES[case]
    p = problem(family, inputs, kind, **options)
    engine, epochs = Engine(p, Options(fuse="require", dtype=torch.float64)), 10
    lanes = configs(names, **config)
    engine.admit([Entry(t, lanes[t], 30 + t, epochs) for t in (0, 1)])
    engine.run_epoch()
    engine.admit([Entry(t, lanes[t], 30 + t, epochs) for t in (2, 3)])  # they come later
    left = {0, 1, 2, 3}
    while left:
        ended = engine.run_epoch().ended()
        for t in ended:
            assert_same(engine.weights(t), plain_loop(p, lanes[t], 30 + t, epochs), 1e-9)
        left -= set(ended)
        engine.release(ended)


@pytest.mark.parametrize("mixing", [False, True])
def test_a_lane_has_the_same_bits_whatever_its_companions_do(mixing: bool) -> None:
    p = problem("mlp", Inputs((36,)), dtype=torch.float32, mixing=mixing)
    lanes = configs(tuple(ALL), width=12)
    together = Engine(p, Options(fuse="require"))
    together.admit([Entry(t, config, 5 + t, 2) for t, config in enumerate(lanes)])
    for _ in range(2):
        report = together.run_epoch()
    for t, config in enumerate(lanes):
        alone = Engine(p, Options(fuse="never"))
        alone.admit([Entry(t, config, 5 + t, 2)])
        for _ in range(2):
            own = alone.run_epoch()
        assert own.metrics["train_loss"][0] == report.metrics["train_loss"][t]
        ours, theirs = alone.weights(t), together.weights(t)
        assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_without_strength_nothing_changes_and_beside_others_neither() -> None:
    x = torch.randn(3, 8, 1, 6, 6, generator=torch.Generator().manual_seed(0))
    several = lane_augmentation([ALL, {}, {"noise": 0.1}], IMAGE, [1, 2, 3], [0, 0, 0], 2, CPU)
    assert several is not None
    out, own = several(x, 0)
    assert own is not None
    assert torch.equal(out[1], x[1])
    assert not torch.equal(out[0], x[0])
    assert (own[1:] == 1).all()
    alone = lane_augmentation([{"noise": 0.1}], IMAGE, [3], [0], 2, CPU)
    assert alone is not None
    assert torch.equal(alone(x[2:], 0)[0][0], out[2])
    assert not torch.equal(several(x, 1)[0][0], out[0])  # the next step draws other numbers
    assert lane_augmentation([{}, {}], IMAGE, [1, 2], [0, 0], 2, CPU) is None


def test_random_numbers_are_uniform_normal_and_independent() -> None:
    flip, times = rng.step_keys([1], [0], 40, ["a"])[:, 0].unbind(1)  # [40, 1] each: a row for each step
    words = rng.table(torch.Size((64, 64)), CPU).unsqueeze(0)
    u, n = rng.uniforms(words, flip, times), rng.normals(words, flip, times, torch.float64)
    assert 0 < u.min() < u.max() < 1
    share = np.histogram(u.numpy(), 64, (0, 1))[0] / u.numel() * 64
    assert abs(share - 1).max() < 0.08  # 2560 numbers in a bin: 4 standard errors
    assert u.mean() == pytest.approx(0.5, abs=0.003)
    for values in (u - 0.5, n):
        other = values.roll(1, 1)
        assert abs(torch.corrcoef(torch.stack([values.flatten(), other.flatten()]))[0, 1]) < 0.01
        steps = torch.corrcoef(values)
        assert abs(steps - torch.eye(40)).max() < 0.08  # 4096 numbers: 5 standard errors
    assert [n.mean().item(), n.std().item()] == pytest.approx([0, 1], abs=0.01)
    assert (n**3).mean().item() == pytest.approx(0, abs=0.03)
    assert (n**4).mean().item() == pytest.approx(3, abs=0.08)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("classes", [3, 40])
def test_the_loss_of_mixed_samples_is_torchs(classes: int, weighted: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    out = torch.randn(2, 6, classes, generator=generator, dtype=torch.float64, requires_grad=True)
    y, own = torch.randint(0, classes, (2, 6), generator=generator), torch.rand(2, 6, generator=generator).double()
    weight = torch.rand(2, 6, generator=generator).double() if weighted else None
    smoothing = torch.tensor([0.0, 0.2], dtype=torch.float64)
    loss, gradient = losses.gradient("classification", out.detach(), y, weight, smoothing, own)
    for k in range(2):
        target = augment.mixed_targets("classification", y[k], own[k], classes)
        each = F.cross_entropy(out[k], target, reduction="none", label_smoothing=smoothing[k].item())
        w = torch.ones(6).double() if weight is None else weight[k]
        right = (each * w).sum() / w.sum()
        assert loss[k].item() == pytest.approx(right.item(), rel=1e-12)
        torch.testing.assert_close(gradient[k], torch.autograd.grad(right, out)[0][k], rtol=1e-10, atol=1e-12)


def test_fixed_strengths_hold_for_all_and_wrong_ones_are_told() -> None:
    p = problem("mlp", TABLE)
    p = Problem(**{**vars(p), "augment": {"noise": 0.3}})
    engine = Engine(p, Options())
    engine.admit([Entry(0, {"lr": 0.1}, 0, 1), Entry(1, {"lr": 0.1, "noise": 0.0}, 1, 1)], together=True)
    (runner,) = [r for rs in engine.runners.values() for r in rs]
    assert [lane.strengths for lane in runner.group.lanes] == [{"noise": 0.3}, {}]
    with pytest.raises(SpecError, match="flip needs images"):
        engine.admit([Entry(2, {"flip": 0.5}, 2, 1)])
    with pytest.raises(SpecError, match="mixup must be a number from 0 to 1"):
        engine.admit([Entry(2, {"mixup": 1.5}, 2, 1)])
