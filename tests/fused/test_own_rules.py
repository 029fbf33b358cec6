"""Optimizers and losses of a user's: the examples of the documentation, beside built-in ones, as lanes."""

import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F

import automl
from automl.core.seeds import derive
from automl.data.prepared import Part
from automl.data.shapes import Inputs, Outputs
from automl.errors import AutoMLError, SpecError, TaskError
from automl.fused.engine import Engine
from automl.fused.problem import Entry, Options, Problem
from automl.fused.tensors import losses, rng
from automl.metrics.kinds.kind import Kind
from automl.models.mlp import build
from automl.training.hyperparameters import LOSSES, read
from automl.training.losses import FORMULAS, formula, own
from automl.training.optimizers import RuleOptimizer, make
from automl.training.rules import rule
from tests.support.paths import ROOT
from tests.support.plain_training import assert_same

EXAMPLES = ROOT / "docs" / "examples"
INPUTS, OUTPUTS, F64 = Inputs((6,)), Outputs(3), torch.float64
QUANTILES = Kind("regression", "quantiles", (0.1, 0.5, 0.8))
CONFIG = {"width": 8, "depth": 1, "batch_size": 20, "lr": 3e-3}


@pytest.fixture(autouse=True)
def _examples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path, str(EXAMPLES)])


def data(kind: str = "classification", n: int = 100) -> Part:
    generator = torch.Generator().manual_seed(n)
    x = torch.randn(n, 6, generator=generator, dtype=F64)
    return Part(x, x[:, :3].argmax(1) if kind == "classification" else x[:, :3] ** 2)


def engine(fuse: Any = "require", kind: str = "classification", mixes: tuple[str, ...] = ()) -> Engine:
    scale = torch.ones(3, dtype=F64) if kind == "regression" else None
    problem = Problem(build, INPUTS, OUTPUTS, kind, data(kind), data(kind, 40), scale, mixes, own_factory=False)
    return Engine(problem, Options(fuse=fuse, dtype=F64))


def trained(e: Engine, configs: list[dict[str, Any]], epochs: int = 4) -> list[dict[str, torch.Tensor]]:
    e.admit([Entry(t, config, t, epochs) for t, config in enumerate(configs)])
    for _ in range(epochs):
        report = e.run_epoch()
    assert report.status == ("done",) * len(configs), report.messages
    return [e.weights(t) for t in range(len(configs))]


def adabelief(config: dict[str, Any], seed: int, epochs: int) -> torch.nn.Module:
    """The formulas of the paper, one tensor at a time."""
    torch.manual_seed(derive(seed, "init"))
    module, part, t = build(config, INPUTS, OUTPUTS).double(), data(), 0
    states = [(torch.zeros_like(p), torch.zeros_like(p)) for p in module.parameters()]
    for epoch in range(epochs):
        (order,) = rng.permutations([seed], [epoch], len(part), "cpu")
        for rows in order.split(20):
            t += 1
            module.zero_grad()
            F.cross_entropy(module(part.x[rows]), part.y[rows]).backward()
            with torch.no_grad():
                for p, (m, s) in zip(module.parameters(), states, strict=True):
                    believed(p, m, s, config["lr"], t)
    return module


def believed(p: torch.Tensor, m: torch.Tensor, s: torch.Tensor, lr: float, t: int) -> None:
    """AdaBelief's update number `t` of one tensor, with a decay of 0.01."""
    assert p.grad is not None
    p.mul_(1 - lr * 0.01)
    m.copy_(0.9 * m + 0.1 * p.grad)
    s.copy_(0.999 * s + 0.001 * (p.grad - m) ** 2 + 1e-8)
    p.sub_(lr * m / (1 - 0.9**t) / ((s / (1 - 0.999**t)).sqrt() + 1e-8))


def lines(name: str) -> int:
    return len((EXAMPLES / name).read_text().splitlines())


@pytest.mark.parametrize("mixes", [(), ("optimizer", "width")])
def test_the_optimizer_of_the_documentation_trains_as_lanes(mixes: tuple[str, ...]) -> None:
    configs = [{**CONFIG, "optimizer": "adabelief:RULE", "weight_decay": 0.01, "lr": lr} for lr in (1e-3, 1e-2, 3e-2)]
    for t, weights in enumerate(trained(engine(mixes=mixes), configs)):
        assert_same(weights, adabelief(configs[t], t, 4), 1e-9)
    assert lines("adabelief.py") < 60


def test_the_loss_of_the_documentation_trains_as_lanes() -> None:
    shared = {**CONFIG, "loss": "robust_loss:generalized_cross_entropy", "optimizer": "sgd", "momentum": 0.0}
    configs = [{**shared, "lr": lr} for lr in (0.1, 0.3, 0.5)]
    together = trained(engine(), configs)
    for t, config in enumerate(configs):
        torch.manual_seed(derive(t, "init"))
        module, part = build(config, INPUTS, OUTPUTS).double(), data()
        for epoch in range(4):
            (order,) = rng.permutations([t], [epoch], len(part), "cpu")
            for rows in order.split(20):
                module.zero_grad()
                p = module(part.x[rows]).softmax(1)[torch.arange(len(rows)), part.y[rows]]
                ((1 - p**0.7) / 0.7).mean().backward()
                with torch.no_grad():
                    for parameter in module.parameters():
                        assert parameter.grad is not None
                        parameter -= config["lr"] * parameter.grad
        assert_same(together[t], module, 1e-9)
    assert lines("robust_loss.py") < 40


@pytest.mark.parametrize("name", LOSSES)
def test_every_loss_is_that_of_its_formula_weighted_and_mixed(name: str) -> None:
    generator = torch.Generator().manual_seed(0)
    out = torch.randn(2, 6, 3, generator=generator, dtype=F64, requires_grad=True)
    labels = torch.randint(0, 3, (2, 6), generator=generator)
    y = labels if LOSSES[name] == "classification" else torch.randn(2, 6, 3, generator=generator, dtype=F64)
    y = {"quantile": y[..., :1], "poisson": y.square(), "binary": y.sigmoid()}.get(name, y)
    weight, share = torch.rand(2, 6, generator=generator).double(), torch.rand(2, 6, generator=generator).double()
    loss, gradient = losses.gradient_of(
        formula(QUANTILES) if name == "quantile" else FORMULAS[name], out, y, weight, share
    )
    p = out.softmax(2)

    levels = torch.tensor(QUANTILES.levels, dtype=F64)

    def huber(e: torch.Tensor) -> torch.Tensor:
        return torch.where(e < 1, e**2 / 2, e - 0.5)

    right = {
        "cross_entropy": lambda k, y: -p[k].log().gather(1, y[:, None])[:, 0],
        "focal": lambda k, y: (-((1 - p[k]) ** 2) * p[k].log()).gather(1, y[:, None])[:, 0],
        "squared": lambda k, y: ((out[k] - y) ** 2).mean(1),
        "huber": lambda k, y: huber((out[k] - y).abs()).mean(1),
        "absolute": lambda k, y: (out[k] - y).abs().mean(1),
        "quantile": lambda k, y: torch.maximum((y - out[k]) * levels, (out[k] - y) * (1 - levels)).mean(1),
        "binary": lambda k, y: F.binary_cross_entropy(out[k].sigmoid(), y, reduction="none").mean(1),
        "poisson": lambda k, y: F.poisson_nll_loss(out[k], y, reduction="none").mean(1),
    }[name]  # fmt: skip
    for k in range(2):
        each = share[k] * right(k, y[k]) + (1 - share[k]) * right(k, y[k].flip(0))
        total = (each * weight[k]).sum() / weight[k].sum()
        assert loss[k].item() == pytest.approx(total.item(), rel=1e-12)
        torch.testing.assert_close(gradient[k], torch.autograd.grad(total, out, retain_graph=True)[0][k])


@pytest.mark.parametrize(("kind", "loss"), [("classification", "focal"), ("regression", "huber")])
def test_a_loss_in_lanes_is_that_of_a_trial_alone(kind: str, loss: str) -> None:
    configs = [{**CONFIG, "loss": loss, "mixup": mixup} for mixup in (0.0, 0.5, 0.8)]
    together, alone = trained(engine(kind=kind), configs), trained(engine("never", kind), configs)
    plain = trained(engine(kind=kind), [{**config, "loss": ""} for config in configs])
    for ours, theirs, other in zip(together, alone, plain, strict=True):
        for name, value in theirs.items():
            torch.testing.assert_close(ours[name], value)
            assert not torch.equal(other[name], value)


def test_what_is_wrong_with_an_own_rule_is_told() -> None:
    def admitted(**config: Any) -> None:
        e = engine("never")
        e.admit([Entry(0, {**CONFIG, **config}, 0, 1)])
        e.run_epoch()

    with pytest.raises(SpecError, match="unknown loss 'focl'; did you mean 'focal'"):
        read({"loss": "focl"})
    with pytest.raises(SpecError, match="label_smoothing smooths the labels of cross_entropy"):
        read({"loss": "focal", "label_smoothing": 0.1})
    with pytest.raises(SpecError, match="loss: huber is not for classification; one of cross_entropy, focal"):
        admitted(loss="huber")
    with pytest.raises(TaskError, match="adabelief has no 'RULES'"):
        admitted(optimizer="adabelief:RULES")
    with pytest.raises(TaskError, match="must be a Rule, not function"):
        admitted(optimizer="adabelief:tables")
    with pytest.raises(TaskError, match="one number for each sample"):
        admitted(loss="torch.nn.functional:cross_entropy")
    assert own(read({}), "classification") is own(read({"loss": "cross_entropy"}), "classification") is None


@pytest.mark.parametrize("name", ["adabelief:RULE", "nadam", "adafactor"])
def test_a_rule_is_an_optimizer_of_one_model_too(name: str) -> None:
    """Also after its state was saved; built-in rules are compared with torch's own."""
    options = read({"optimizer": name, "lr": 3e-3, "weight_decay": 0.01})
    torch.manual_seed(0)
    x, y = torch.randn(20, 6, dtype=F64), torch.randint(0, 3, (20,))
    models = [build(CONFIG, INPUTS, OUTPUTS).double() for _ in range(2)]
    models[1].load_state_dict(models[0].state_dict())
    groups = [{"params": list(models[0].parameters()), "weight_decay": 0.01}]
    ruled = RuleOptimizer(groups, rule(name), options)
    lane = LaneOptimizer(models[1], name, options) if ":" in name else None
    (other,) = make(models[1].named_parameters(), options) if lane is None else [lane]
    for step in range(6):
        if step == 3:
            state, ruled = ruled.state_dict(), RuleOptimizer(groups, rule(name), options)
            ruled.load_state_dict(state)
        for model, optimizer in zip(models, (ruled, other), strict=True):
            model.zero_grad()
            F.cross_entropy(model(x), y).backward()
            optimizer.step()
    for ours, theirs in zip(models[0].parameters(), models[1].parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-7, atol=1e-9)  # torch keeps NAdam's product in float32


class LaneOptimizer:
    """AdaBelief by its formulas."""

    def __init__(self, module: torch.nn.Module, name: str, options: Any) -> None:
        self.parameters, self.lr, self.t = list(module.parameters()), options.lr, 0
        self.states = [(torch.zeros_like(p), torch.zeros_like(p)) for p in self.parameters]

    @torch.no_grad()
    def step(self) -> None:
        self.t += 1
        for p, states in zip(self.parameters, self.states, strict=True):
            believed(p, *states, self.lr, self.t)


SPEC = """
model: mlp
data: digits
metric: val_accuracy
epochs: 2
space:
  depth: 1
  width: 16
  optimizer: [adamw, "adabelief:RULE"]
  loss: [focal, "robust_loss:generalized_cross_entropy"]
  lr: {float: [1e-3, 1e-2], log: true}
stopper: none
strategy: random
budget: {trials: 12}
finalists: none
seed: 1
fuse: require
"""


def test_a_search_finds_them_beside_its_specification(tmp_path: Path) -> None:
    for name in ("adabelief.py", "robust_loss.py"):
        (tmp_path / name).write_text((EXAMPLES / name).read_text())
    (tmp_path / "space.yaml").write_text(SPEC)
    study = automl.search(tmp_path / "space.yaml", path=tmp_path / "s", executor="inline", workers=1)
    assert study.counts.done == 12
    best: dict[Any, float] = {}
    for trial in study.history.trials:
        key = trial.config["optimizer"], trial.config["loss"]
        best[key] = max(best.get(key, 0.0), study.reports(trial.number)[-1][1]["val_accuracy"])
    assert len(best) == 4
    assert min(best.values()) > 0.6


def test_what_only_lanes_have_is_told_where_a_trial_trains_alone(tmp_path: Path) -> None:
    from automl.data import load
    from automl.models import build as family
    from automl.training import Trainer

    digits = load("digits")
    with pytest.raises(AutoMLError, match="for trials that train as lanes"):
        Trainer(family("mlp"), digits, {"loss": "focal", "mixup": 0.5}, 1, 0)
    plain, focal = (Trainer(family("mlp"), digits, {"loss": loss, "width": 8}, 1, 0) for loss in ("", "focal"))
    assert plain.epoch()["train_loss"] > focal.epoch()["train_loss"]
