"""Lanes of quantiles and counts train as each trial does alone, and as a plain loop with the formula of the loss."""

from typing import Any

import pytest
import torch

from automl.core.seeds import derive
from automl.data.prepared import Part
from automl.data.shapes import Inputs, Outputs
from automl.fused.engine import Engine
from automl.fused.modules.swap import operate
from automl.fused.problem import Entry, Options, Problem
from automl.fused.tensors import rng
from automl.fused.uniform.stack_builder import build_stack
from automl.metrics.kinds.kind import Kind
from automl.models import build
from tests.support.plain_training import assert_same

LEVELS = (0.2, 0.5, 0.9)
CASES: dict[str, tuple[Kind, Outputs]] = {
    "quantiles": (
        Kind("regression", "quantiles", LEVELS), Outputs(3, "values", None, {"kind": "quantiles", "each": 3}),
    ),
    "counts": (Kind("regression", "counts"), Outputs(1, "values", None, {"kind": "counts"})),
    "labels": (Kind("regression", "labels"), Outputs(2, "values", None, {"kind": "labels"})),
    "ordinal": (Kind("classification", "ordinal"), Outputs(4, "classes", None, {"kind": "ordinal"})),
}  # fmt: skip
INPUTS, F64 = Inputs((4,)), torch.float64


def rows(case: str, n: int) -> Part:
    g = torch.Generator().manual_seed(n)
    x = torch.randn(n, 4, generator=g, dtype=F64)
    y = x[:, :1] + x[:, 1:2] * torch.randn(n, 1, generator=g, dtype=F64)
    if case == "labels":
        return Part(x, torch.cat([y > 0, y > 1], 1).double())
    if case == "ordinal":
        return Part(x, torch.bucketize(y[:, 0], torch.tensor([-1.0, 0.0, 1.5], dtype=F64)))
    return Part(x, torch.poisson(y.exp().clamp_max(8), generator=g) if case == "counts" else y)


def trained(case: str, fuse: Any, family: str, configs: list[dict[str, Any]]) -> tuple[list[Any], Any]:
    kind, outputs = CASES[case]
    unit = torch.ones(1, dtype=F64) if kind == "regression" else None
    problem = Problem(build(family), INPUTS, outputs, kind, rows(case, 60), rows(case, 30), unit, own_factory=False)
    engine = Engine(problem, Options(fuse=fuse, dtype=F64))
    engine.admit([Entry(t, config, t, 2) for t, config in enumerate(configs)])
    engine.run_epoch()
    report = engine.run_epoch()
    return [engine.weights(t) for t in range(len(configs))], report.metrics


def plain(case: str, config: dict[str, Any], seed: int) -> torch.nn.Module:
    """SGD by hand, with the loss written once more."""
    torch.manual_seed(derive(seed, "init"))
    module, part = build("mlp")(config, INPUTS, CASES[case][1]).double(), rows(case, 60)
    levels = torch.tensor(LEVELS, dtype=F64)
    for epoch in range(2):
        (order,) = rng.permutations([seed], [epoch], 60, "cpu")
        for some in order.split(20):
            out, y = module(part.x[some]), part.y[some]
            if case == "ordinal":
                loss = cumulative(module.get_submodule("inner")(part.x[some]), y)
            elif case == "labels":
                p = out.sigmoid()
                loss = -(y * p.log() + (1 - y) * (1 - p).log()).mean()
            elif case == "counts":
                loss = (out.exp() - y * out).mean()
            else:
                loss = torch.where(y >= out, levels * (y - out), (levels - 1) * (y - out)).mean()
            module.zero_grad()
            loss.backward()
            with torch.no_grad():
                for p in module.parameters():
                    assert p.grad is not None
                    p -= config["lr"] * p.grad
    return module


def cumulative(out: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """The mean of -log p(y), with P(class above k) = sigmoid(z_k) and falling z: the formula without its logarithms."""
    z = torch.cat([out[:, :1], out[:, :1] - (1 + out[:, 1:].exp()).log().cumsum(1)], 1)
    above = torch.cat([torch.ones(len(y), 1, dtype=F64), z.sigmoid(), torch.zeros(len(y), 1, dtype=F64)], 1)
    return -(above[:, :-1] - above[:, 1:]).gather(1, y[:, None]).log().mean()


@pytest.mark.parametrize("case", CASES)
def test_lanes_learn_by_the_formula_of_the_loss(case: str) -> None:
    shared = {"width": 8, "depth": 1, "batch_size": 20, "optimizer": "sgd", "momentum": 0.0, "weight_decay": 0.0}
    configs = [{**shared, "lr": lr} for lr in (0.02, 0.05)]
    weights, found = trained(case, "require", "mlp", configs)
    for k, config in enumerate(configs):
        module = plain(case, config, k)
        assert_same(weights[k], module, 1e-9)
        val, answers = rows(case, 30), module.eval()(rows(case, 30).x).detach()
        if case == "counts":
            right = 2 * (torch.xlogy(val.y, val.y / answers) - val.y + answers).mean()
            assert float(found["val_poisson_deviance"][k]) == pytest.approx(float(right), rel=1e-9)
        elif case == "labels":
            hits, sizes = ((answers >= 0.5) & (val.y > 0)).sum(), (answers >= 0.5).sum() + (val.y > 0).sum()
            assert float(found["val_f1_micro"][k]) == pytest.approx(float(2 * hits / sizes))
        elif case == "ordinal":
            torch.testing.assert_close(answers.exp().sum(1), torch.ones(30, dtype=F64))
            gap = (answers.argmax(1) - val.y).abs().double().mean()
            assert float(found["val_rank_mae"][k]) == pytest.approx(float(gap))
        else:
            assert (answers.diff(dim=1) >= 0).all()
            assert float(found["val_coverage"][k]) == pytest.approx(
                float(((answers[:, :1] <= val.y) & (val.y <= answers[:, 2:])).double().mean())
            )


@pytest.mark.parametrize("case", CASES)
def test_lanes_of_another_family_are_as_one_by_one(case: str) -> None:
    configs = [{"width": 8, "depth": 1, "members": 3, "lr": 1e-2 / (1 + t)} for t in range(2)]
    together, found = trained(case, "require", "tabm", configs)
    alone, other = trained(case, "never", "tabm", configs)
    for ours, theirs in zip(together, alone, strict=True):
        for name, value in theirs.items():
            torch.testing.assert_close(ours[name], value)
    for name in found:
        assert found[name] == pytest.approx(other[name], nan_ok=True)


@pytest.mark.parametrize("case", CASES)
def test_a_plain_stack_stays_one_by_hand(case: str) -> None:
    module = operate(build("mlp")({"width": 4}, Inputs(3), CASES[case][1]))
    named = {name: value.detach().unsqueeze(0) for name, value in module.named_parameters()}
    assert build_stack(module, named, named, {}) is not None
