"""Layers of plain stacks, one by one, against autograd."""

import pytest
import torch
from torch import Tensor

from automl.fused.modules.context import Draw
from automl.fused.tensors import rng
from automl.fused.uniform.stack import ReluDropoutLayer

K, B, F = 3, 5, 4


def draw(rates: list[float]) -> Draw:
    limits, scales = rng.thresholds(torch.tensor([rates], dtype=torch.float64).numpy())
    keys = rng.step_keys(range(K), [0] * K, 2, ["drop"])
    return Draw(True, K, {"drop": 0}, keys, limits, scales, [any(rates)])


@pytest.mark.parametrize("relu", [True, False])
@pytest.mark.parametrize("rates", [[0.0] * K, [0.5, 0.0, 0.9]])
@pytest.mark.parametrize("contiguous", [True, False])
def test_one_layer_is_relu_and_dropout(relu: bool, rates: list[float], contiguous: bool) -> None:
    x = torch.randn(K, B, F, generator=torch.Generator().manual_seed(1))
    x[0, 0, 0] = 0.0
    g: Tensor = torch.randn(K, F, B).transpose(1, 2) if not contiguous else torch.randn(K, B, F)
    layer = ReluDropoutLayer(relu, "drop")
    for step in (0, 1):
        drawn = draw(rates)
        drawn.step = step
        mask = draw(rates)
        mask.step = step
        kept = mask.mask("drop", torch.Size((B, F)))
        leaf = x.clone().requires_grad_()
        wanted = (leaf.relu() if relu else leaf) * (1.0 if kept is None else kept)
        wanted.backward(g)
        assert torch.equal(layer.forward(drawn, x.clone()), wanted)
        assert torch.equal(layer.backward(g.clone(), True), leaf.grad)


def test_nan_stays_nan() -> None:
    x = torch.full((K, B, F), torch.nan)
    assert ReluDropoutLayer(True, "drop").forward(draw([0.5] * K), x).isnan().all()
