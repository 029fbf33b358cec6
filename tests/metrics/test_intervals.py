"""Intervals: the samples give the metrics' own values, and intervals hold as often as they say."""

import dataclasses
import math

import numpy as np
import pytest
import torch

from automl import metrics
from automl.metrics import intervals
from automl.metrics import rows as samples


def outputs(kind: str, n: int = 300, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor | None]:
    generator = torch.Generator().manual_seed(seed)
    if kind == "regression":
        y = torch.randn(n, 2, generator=generator)
        return y + 0.5 * torch.randn(n, 2, generator=generator), y, torch.tensor([2.0, 7.0])
    y = torch.randint(0, 2 if kind == "binary" else 4, (n,), generator=generator)
    x = torch.randn(n, 2 if kind == "binary" else 4, generator=generator)
    x[torch.arange(n), y] += 1.0
    return x, y, None


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("kind", ["binary", "classification", "regression"])
def test_a_sample_has_the_value_of_the_metric(kind: str, weighted: bool) -> None:
    x, y, scale = outputs(kind)
    weight = torch.rand(len(y), generator=torch.Generator().manual_seed(1)) + 0.1 if weighted else None
    task = "regression" if kind == "regression" else "classification"
    expected = metrics.compute(task, x, y, weight, scale=scale)
    for name, value in expected.items():
        sample = samples.sample(name, task, x, y, weight, scale)
        assert sample.value == pytest.approx(value, rel=1e-9), name
        assert np.allclose(sample.resampled(np.ones((2, len(y)))), value), name


def test_drawing_a_row_twice_is_having_it_twice() -> None:
    x, y, _ = outputs("classification", 40)
    twice = torch.cat([torch.arange(40), torch.arange(5)])
    counts = np.bincount(twice.numpy(), minlength=40).astype(float)[None]
    expected = metrics.compute("classification", x[twice], y[twice])
    for name in ("f1_macro", "balanced_accuracy", "auroc", "log_loss", "average_precision", "mcc", "ece"):
        assert samples.sample(name, "classification", x, y).resampled(counts)[0] == pytest.approx(expected[name])


def test_language_models_are_measured_by_window() -> None:
    x, y = torch.randn(6, 5, 9), torch.randint(0, 9, (6, 5))
    sample = samples.sample("perplexity", "next_token", x, y)
    assert len(sample) == 6
    assert sample.value == pytest.approx(metrics.compute("next_token", x, y)["perplexity"], rel=1e-6)


def test_the_influence_of_a_row_is_what_leaving_it_out_does() -> None:
    x, y, _ = outputs("binary", 80)
    for name in ("auroc", "f1_macro", "average_precision", "mcc"):
        sample = samples.sample(name, "classification", x, y)
        rest = np.delete(np.arange(80), 7)
        without = metrics.compute("classification", x[rest], y[rest])[name]
        assert sample.influence()[7] == pytest.approx(79 * (sample.value - without), abs=0.05)


TRUE = 20_000


@pytest.mark.parametrize(
    ("name", "kind"), [("accuracy", "classification"), ("rmse", "regression"), ("auroc", "binary")]
)
def test_95_percent_intervals_hold_in_about_95_percent(name: str, kind: str) -> None:
    task = "regression" if kind == "regression" else "classification"
    x, y, scale = outputs(kind, TRUE, seed=9)
    truth = samples.sample(name, task, x, y, None, scale).value
    held = 0
    for k in range(100):
        rows = torch.from_numpy(np.random.default_rng(k).choice(TRUE, 120, replace=False))
        low, high = intervals.interval(samples.sample(name, task, x[rows], y[rows], None, scale), draws=400, seed=k)
        held += low <= truth <= high
    assert held >= 89  # 95 of 100 expected; fewer than 89 happen once in a hundred times


def test_skewed_errors_get_an_interval_that_reaches_up() -> None:
    """Squared errors with a long tail: quantiles of the draws hold far less often than they say."""
    held = {True: 0, False: 0}
    for k in range(150):
        errors = np.random.default_rng(k).lognormal(0.0, 1.2, (2, 100))
        sample, other = (samples.of_rows("rmse", one[:, None], np.ones(100), plain=False) for one in errors)
        for tilted in held:
            one = dataclasses.replace(sample, error=tilted)
            low, high = intervals.interval(one, draws=300, seed=k, like=other)
            held[tilted] += low <= np.exp(1.2**2 / 2) ** 0.5 <= high
    assert held[True] >= 0.90 * 150
    assert held[True] > held[False] + 3


def test_rare_large_errors_are_known_from_other_rows() -> None:
    """One row in fifty errs ten times as much: a part of a hundred rows often has none of them."""
    rng = np.random.default_rng(4)

    def errors(n: int) -> samples.Sample:
        gaps = rng.normal(size=n) * np.where(rng.random(n) < 0.02, 10, 1)
        return samples.of_rows("rmse", gaps[:, None] ** 2, np.ones(n), plain=False)

    truth, alone, together = np.sqrt(0.98 + 0.02 * 100), 0, 0
    for _ in range(200):
        test, other = errors(100), errors(100)
        low, high = intervals.interval(test)
        alone += low <= truth <= high
        low, high = intervals.interval(test, like=other)
        together += low <= truth <= high
        assert low < test.value < high  # the middle is that of the test rows
        assert high <= np.sqrt(max(test.rows[:, 0].max(), other.rows[:, 0].max()))
    assert together > alone + 15


def test_weighted_errors_have_the_interval_of_repeated_rows() -> None:
    errors = np.random.default_rng(0).exponential(size=60)
    weight = np.random.default_rng(1).integers(1, 3, 60).astype(float)
    weighted = intervals.interval(samples.of_rows("mae", errors[:, None], weight, plain=False))
    equal = intervals.interval(samples.of_rows("mae", errors[:, None], np.full(60, 3.0), plain=False))
    assert equal == pytest.approx(intervals.interval(samples.of_rows("mae", errors[:, None], np.ones(60), plain=False)))
    mean = float(errors @ weight / weight.sum())
    error = float(np.sqrt((weight**2 * (errors - mean) ** 2).sum()) / weight.sum())
    assert weighted[1] - weighted[0] == pytest.approx(2 * 1.96 * error, rel=0.15)
    assert weighted[1] - mean > mean - weighted[0]  # skewed: farther up than down


def test_equal_errors_have_no_width() -> None:
    sample = samples.of_rows("mae", np.full((30, 1), 2.0), np.ones(30), plain=False)
    assert intervals.interval(sample) == (2.0, 2.0)


def test_wilson_is_no_point_at_a_perfect_score() -> None:
    low, high = intervals.wilson(1.0, 30)
    assert high == 1.0
    assert low == pytest.approx(0.8865, abs=1e-3)  # Wilson's formula by hand: 30 / (30 + 1.96 ** 2)


def test_the_interval_of_a_mean_is_students() -> None:
    from scipy import stats

    low, high = intervals.mean_interval([1.0, 2.0, 4.0])  # type: ignore[misc]
    expected = stats.t.interval(0.95, 2, loc=7 / 3, scale=stats.sem([1.0, 2.0, 4.0]))
    assert (low, high) == pytest.approx(expected)
    assert intervals.mean_interval([1.0]) is None


def test_better_needs_rows_and_seeds_that_agree() -> None:
    x, y, _ = outputs("classification", 400)
    good, bad = x.clone(), x.clone()
    good[torch.arange(400), y] += 3.0
    models = {"good": good, "bad": bad, "same": x}
    made = {name: [samples.sample("accuracy", "classification", o, y)] * 3 for name, o in models.items()}
    assert intervals.better(made["good"], made["bad"], sign=1.0) > 0.99
    assert intervals.better(made["good"], made["bad"], sign=-1.0) < 0.01
    assert intervals.better(made["same"], made["bad"], sign=1.0) == pytest.approx(0.5)
    assert intervals.better_by_seeds([0.9, 0.91, 0.92], [0.5, 0.51, 0.52], sign=1.0) > 0.99
    assert 0.3 < intervals.better_by_seeds([0.9, 0.5, 0.7], [0.6, 0.8, 0.7], sign=1.0) < 0.7


def test_one_row_says_nothing() -> None:
    x, y, _ = outputs("classification", 1)
    assert intervals.interval(samples.sample("log_loss", "classification", x, y)) == (-math.inf, math.inf)
