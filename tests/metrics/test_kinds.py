"""Metrics of quantiles and counts: as scikit-learn has them, the same for one model, for lanes and row by row."""

import math
import pickle
from typing import Any

import numpy as np
import pytest
import torch
from sklearn import metrics as theirs
from torch import Tensor

from automl import metrics
from automl.metrics import batched, intervals, rows
from automl.metrics.batched import Meter
from automl.metrics.kinds.kind import Kind
from automl.training import losses

LEVELS = (0.1, 0.5, 0.8)
QUANTILES, COUNTS = Kind("regression", "quantiles", LEVELS), Kind("regression", "counts")
SCALE, N = torch.tensor([2.0, 5.0]), 60


def drawn(kind: Kind) -> tuple[Tensor, Tensor, Tensor]:
    """(outputs [2, N, units] of two models, y [N, 2], weight [N])."""
    g = torch.Generator().manual_seed(1)
    weight = torch.rand(N, generator=g) + 0.5
    if kind.variant == "quantiles":
        outputs = torch.randn(2, N, 2, 3, generator=g).sort(-1).values.flatten(2)
        return outputs, torch.randn(N, 2, generator=g), weight
    y = torch.poisson(torch.full((N, 2), 1.5), generator=g) / SCALE
    return torch.rand(2, N, 2, generator=g) + 0.2, y, weight


def expected(kind: Kind, outputs: Tensor, y: Tensor, weight: Tensor) -> dict[str, float]:
    """By scikit-learn, target by target."""
    w, found = weight.numpy(), dict[str, list[float]]()
    for d, unit in enumerate(SCALE.tolist()):
        true = y[:, d].double().numpy() * unit
        if kind.variant == "counts":
            rates = outputs[:, d].double().numpy() * unit
            found.setdefault("poisson_deviance", []).append(theirs.mean_poisson_deviance(true, rates, sample_weight=w))
            continue
        own = outputs[:, 3 * d : 3 * d + 3].double().numpy() * unit
        each = [theirs.mean_pinball_loss(true, own[:, q], alpha=a, sample_weight=w) for q, a in enumerate(LEVELS)]
        found.setdefault("pinball", []).append(float(np.mean(each)))
        inside = (own[:, 0] <= true) & (true <= own[:, 2])
        found.setdefault("coverage", []).append(float(np.average(inside, weights=w)))
    return {name: float(np.mean(values)) for name, values in found.items()}


@pytest.mark.parametrize("kind", [QUANTILES, COUNTS])
def test_each_metric_is_scikit_learns_for_one_model_for_lanes_and_by_rows(kind: Kind) -> None:
    outputs, y, weight = drawn(kind)
    meter = Meter(kind, 2, torch.device("cpu"), SCALE)
    for some in (slice(0, 25), slice(25, N)):
        meter.add(outputs[:, some], y[some], weight[some])
    lanes = meter.result()
    assert list(lanes) == metrics.names(kind)
    for k, own in enumerate(outputs):
        right = expected(kind, own, y, weight)
        alone = metrics.compute(kind, own, y, weight, scale=SCALE)
        for name, value in right.items():
            by_rows = rows.sample(name, kind, own, y, weight, SCALE)
            assert alone[name] == pytest.approx(value, rel=1e-6)
            assert float(lanes[name][k]) == pytest.approx(value, rel=1e-6)
            assert by_rows.value == pytest.approx(value, rel=1e-6)
            low, high = intervals.interval(by_rows)
            assert low < value < high
        loss = float(losses.of_answers(kind, own, y, weight))
        assert float(lanes["loss"][k]) == pytest.approx(loss, rel=1e-6)
        assert rows.sample("loss", kind, own, y, weight).value == pytest.approx(loss, rel=1e-6)


@pytest.mark.parametrize("kind", [QUANTILES, COUNTS])
def test_a_missing_target_counts_for_the_others_only(kind: Kind) -> None:
    outputs, y, _ = drawn(kind)
    some = y.clone()
    some[:20, 0] = torch.nan
    without = y[:20, 1:], outputs[0][:20].unflatten(1, (2, -1))[:, 1]  # type: ignore[no-untyped-call]
    first = float(losses.of_answers(kind, without[1], without[0]))
    rest = float(losses.of_answers(kind, outputs[0][20:], y[20:]))
    assert float(losses.of_answers(kind, outputs[0], some)) == pytest.approx((20 * first + 40 * rest) / 60, rel=1e-6)
    raw = outputs[0].clone().requires_grad_()
    losses.loss(kind, raw, some).backward()  # type: ignore[no-untyped-call]
    assert raw.grad is not None
    assert raw.grad.isfinite().all()
    assert (raw.grad[:20, : raw.shape[1] // 2] == 0).all()


def test_ordered_classes_are_judged_by_ranks_as_in_scikit_learn() -> None:
    kind, g = Kind("classification", "ordinal"), torch.Generator().manual_seed(0)
    logits, y = torch.randn(2, 50, 4, generator=g), torch.randint(0, 4, (50,), generator=g)
    weight = torch.rand(50, generator=g) + 0.5
    meter = Meter(kind, 2, torch.device("cpu"))
    meter.add(logits[:, :20], y[:20], weight[:20])
    meter.add(logits[:, 20:], y[20:], weight[20:])
    for k, own in enumerate(logits):
        guess = own.argmax(1)
        right = {
            "qwk": theirs.cohen_kappa_score(y, guess, weights="quadratic", sample_weight=weight),
            "rank_mae": theirs.mean_absolute_error(y, guess, sample_weight=weight),
            "accuracy": theirs.accuracy_score(y, guess, sample_weight=weight),
        }
        found = metrics.compute(kind, own, y, weight)
        assert set(found) == {*metrics.names("classification"), "qwk", "rank_mae"} - {"loss"}
        for name, value in right.items():
            assert found[name] == pytest.approx(value)
            assert float(meter.result()[name][k]) == pytest.approx(value)
            assert rows.sample(name, kind, own, y, weight).value == pytest.approx(value)
    assert math.isnan(metrics.compute(kind, logits[0] * 0, y * 0)["qwk"])


@pytest.mark.parametrize("held", [10, 1 << 20])
def test_labels_are_judged_as_in_scikit_learn(monkeypatch: pytest.MonkeyPatch, held: int) -> None:
    monkeypatch.setattr(batched, "HELD", held)
    kind, g = Kind("regression", "labels"), torch.Generator().manual_seed(0)
    answers = ((torch.rand(2, 60, 3, generator=g) * 20).round() / 20).double()
    y, weight = (torch.rand(60, 3, generator=g) < 0.4).float(), torch.rand(60, generator=g) + 0.5
    meter = Meter(kind, 2, torch.device("cpu"), torch.ones(3), torch.arange(2))
    for some in torch.split(torch.arange(60), 25):
        meter.add(answers[:, some], y[some], weight[some])
    lanes = meter.result()
    assert set(lanes) == set(metrics.names(kind)) == {"loss", "f1_macro", "f1_micro", "average_precision"}
    for k, own in enumerate(answers):
        guess = own >= 0.5
        right = {
            "f1_macro": theirs.f1_score(y, guess, average="macro", sample_weight=weight),
            "f1_micro": theirs.f1_score(y, guess, average="micro", sample_weight=weight),
            "average_precision": theirs.average_precision_score(y, own, average="macro", sample_weight=weight),
        }
        found = metrics.compute(kind, own, y, weight, scale=torch.ones(3))
        p = own.clamp(1e-7, 1 - 1e-7).numpy()
        each = [theirs.log_loss(y[:, j], p[:, j], sample_weight=weight) for j in range(3)]
        loss = float(losses.of_answers(kind, own, y.double(), weight.double()))
        assert loss == pytest.approx(float(np.mean(each)), rel=1e-6)
        for name, value in {**right, "loss": loss}.items():
            assert float(lanes[name][k]) == pytest.approx(value, rel=1e-6)
            assert rows.sample(name, kind, own, y, weight).value == pytest.approx(value, rel=1e-6)
            assert name == "loss" or found[name] == pytest.approx(value, rel=1e-6)
    low, high = intervals.interval(rows.sample("average_precision", kind, answers[0], y))
    assert low < rows.sample("average_precision", kind, answers[0], y).value < high


def test_a_kind_is_text_with_details() -> None:
    assert QUANTILES == "regression"
    copy: Any = pickle.loads(pickle.dumps(QUANTILES))
    assert (copy.variant, copy.levels) == ("quantiles", LEVELS)
    assert metrics.ranking(QUANTILES) == ["loss", "pinball"]
    assert metrics.names("regression") == ["loss", "rmse", "mae", "r2"]
    assert metrics.names(COUNTS) == ["loss", "rmse", "mae", "r2", "poisson_deviance"]
