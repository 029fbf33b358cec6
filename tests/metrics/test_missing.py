"""Losses and metrics of several targets, of which rows lack some: formulas written out row by row, in float64."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk

from automl import metrics
from automl.fused.tensors import losses as lanes
from automl.metrics import rows
from automl.metrics.batched import Meter
from automl.metrics.by_target import by_target
from automl.training import losses

SCALE = torch.tensor([2.0, 30.0, 0.5], dtype=torch.float64)


def made(seed: int, n: int = 60, share: float = 0.3) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """(outputs, targets of which a share is missing but one in each row, weights)."""
    rng = np.random.default_rng(seed)
    out, y, w = rng.normal(size=(n, 3)), rng.normal(size=(n, 3)), rng.random(n) + 0.1
    lacks = rng.random((n, 3)) < share
    lacks[np.arange(n), rng.integers(0, 3, n)] = False
    y[lacks] = np.nan
    return torch.tensor(out), torch.tensor(y), torch.tensor(w)


def row_by_row(out, y, w, unit, power) -> float:
    total = 0.0
    for o, t, weight in zip(out.numpy(), y.numpy(), w.numpy(), strict=True):
        there = np.isfinite(t)
        total += weight * np.mean(np.abs((o - t)[there] * unit[there]) ** power)
    return total / float(w.sum())


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([0.0, 0.3, 0.9]))
def test_every_way_of_computing_a_metric_says_what_the_definition_says(seed, share):
    out, y, w = made(seed, share=share)
    unit, ones = SCALE.numpy(), np.ones(3)
    expected = {
        "loss": row_by_row(out, y, w, ones, 2), "mae": row_by_row(out, y, w, unit, 1),
        "rmse": row_by_row(out, y, w, unit, 2) ** 0.5,
    }  # fmt: skip
    r2 = []
    for k in range(3):
        there = ~y[:, k].isnan().numpy()
        r2.append(sk.r2_score(y[there, k], out[there, k], sample_weight=w[there]) if there.sum() > 1 else np.nan)
    expected["r2"] = float(np.mean(r2))
    meter = Meter("regression", 1, torch.device("cpu"), SCALE)
    for piece in range(0, 60, 17):
        end = piece + 17
        meter.add(out[piece:end].unsqueeze(0), y[piece:end], w[piece:end])
    found = {name: float(value) for name, value in meter.result().items()}
    plain = metrics.compute("regression", out, y, w, scale=SCALE)
    for name, value in expected.items():
        if np.isfinite(value):
            assert found[name] == pytest.approx(value, rel=1e-9, abs=1e-9)
            assert rows.sample(name, "regression", out, y, w, SCALE).value == pytest.approx(value, rel=1e-9, abs=1e-9)
            if name != "loss":
                assert plain[name] == pytest.approx(value, rel=1e-9, abs=1e-9)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6), st.booleans())
def test_lanes_have_the_gradient_of_the_loss_of_one_model(seed, weighted):
    out, y, w = made(seed)
    leaf = out.clone().requires_grad_()
    loss = losses.loss("regression", leaf, y, w if weighted else None)
    loss.backward()
    total, gradient = lanes.gradient("regression", out[None], y[None], w[None] if weighted else None, None)
    assert total.item() == pytest.approx(loss.item(), rel=1e-12)
    assert torch.allclose(gradient[0], leaf.grad, rtol=1e-12, atol=1e-15)
    assert (gradient[0][y.isnan()] == 0).all()
    assert gradient.isfinite().all()


@pytest.mark.parametrize("name", ["huber", "absolute"])
def test_other_losses_leave_missing_targets_out(name):
    out, y, _ = made(3)
    each = getattr(torch.nn.functional, "huber_loss" if name == "huber" else "l1_loss")
    expected = torch.stack([each(o[~t.isnan()], t[~t.isnan()]) for o, t in zip(out, y, strict=True)])
    leaf = out.clone().requires_grad_()
    found = losses.FORMULAS[name](leaf, y)
    assert torch.allclose(found, expected)
    found.sum().backward()
    assert leaf.grad is not None
    assert (leaf.grad[y.isnan()] == 0).all()


def test_each_target_has_metrics_of_its_own():
    out, y, w = made(5)
    found = by_target("regression", ["a", "b", "c"], out, y, w, SCALE)
    there = ~y[:, 1].isnan()
    expected = sk.root_mean_squared_error(y[there, 1] * 30, out[there, 1] * 30, sample_weight=w[there])
    assert found["rmse of b"] == pytest.approx(expected)
    assert len(found) == 9
