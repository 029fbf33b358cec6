"""Scores of more rows than are kept in memory: the same values, and intervals as the bootstrap of all rows gives."""

import numpy as np
import pytest
import torch

from automl import metrics
from automl.errors import EnvironmentProblem
from automl.metrics import batched, intervals, rows, runs
from automl.metrics.batched import Meter


def problem(classes=2, n=5_000, lanes=3, levels=0, seed=0):
    """Logits [K, N, C], of few distinct values where `levels` is set; targets; weights."""
    draw = torch.Generator().manual_seed(seed)
    y = torch.randint(classes, (n,), generator=draw)
    out = torch.randn(lanes, n, classes, generator=draw) + torch.nn.functional.one_hot(y, classes)
    out = (out * levels).round() / levels if levels else out
    return out, y, torch.rand(n, generator=draw)


@pytest.mark.parametrize("classes", [2, 4])
@pytest.mark.parametrize("levels", [0, 2])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("block", [64, 1 << 20])
def test_areas_from_a_file_are_those_in_memory(monkeypatch, classes, levels, weighted, block):
    out, y, weight = problem(classes, levels=levels)
    monkeypatch.setattr(batched, "HELD", 2_000)
    monkeypatch.setattr(runs, "AT_ONCE", block)
    meter = Meter("classification", 3, torch.device("cpu"), ranks=torch.tensor([0, 2]))
    for piece in torch.split(torch.arange(len(y)), 170):
        meter.add(out[:, piece], y[piece], weight[piece] if weighted else None)
    found = meter.result()
    assert meter._runs is not None
    assert found["auroc"][1].isnan()
    for lane in (0, 2):
        wanted = metrics.compute("classification", out[lane].double(), y, weight if weighted else None)
        assert {name: found[name][lane].item() for name in wanted} == pytest.approx(wanted, rel=1e-6)
        for name in ("auroc", "average_precision"):
            assert found[name][lane].item() == pytest.approx(wanted[name], rel=1e-12)


def test_the_area_of_one_class_alone_is_undefined_from_a_file_too(monkeypatch):
    out, y, _ = problem()
    monkeypatch.setattr(batched, "HELD", 2_000)
    meter = Meter("classification", 3, torch.device("cpu"), ranks=torch.arange(3))
    for piece in torch.split(torch.arange(len(y)), 500):
        meter.add(out[:, piece], y[piece] * 0, None)
    assert meter.result()["auroc"].isnan().all()


def test_a_full_disk_is_named(monkeypatch):
    class Full:
        def close(self):
            pass

        def seek(self, *_):
            return 0

        def write(self, _):
            raise OSError(28, "No space left on device")

    kept = runs.Runs(1, Full())
    with pytest.raises(EnvironmentProblem, match=r"No space left on device.*TMPDIR"):
        kept.add(0, np.array([0.1, 0.2]), np.array([True, False]), np.ones(2))


@pytest.mark.parametrize(("name", "level"), [("auroc", 0.06), ("log_loss", 0.06), ("f1_macro", 0.06)])
def test_the_interval_from_some_rows_is_that_from_all(name, level):
    out, y, _ = problem(n=20_000, lanes=1)
    every = rows.sample(name, "classification", out[0], y)
    some = torch.arange(0, len(y), 2)
    part = rows.sample(name, "classification", out[0, some], y[some])
    whole = rows.Whole(len(y), every.value)
    shown = type(part)(part.rows, part.of, error=part.error, whole=whole)
    low, high = intervals.interval(every, draws=600)
    least, most = intervals.interval(shown)
    assert shown.value == every.value
    assert (least, most) == pytest.approx((low, high), abs=level * (high - low) + 0.02 * (high - low))


def test_of_two_models_on_very_many_rows_the_better_one_is_found():
    out, y, _ = problem(n=8_000, lanes=1)
    worse = out[0] + 0.15 * torch.randn(out[0].shape, generator=torch.Generator().manual_seed(1))
    first, second = (rows.sample("log_loss", "classification", one, y) for one in (out[0], worse))
    wanted = intervals.better([first], [second], sign=-1.0)
    kept = [type(one)(one.rows, one.of, whole=rows.Whole(len(y), one.value)) for one in (first, second)]
    assert wanted > 0.5
    assert intervals.better([kept[0]], [kept[1]], sign=-1.0) == pytest.approx(wanted, abs=0.05)


def test_shown_rows_are_spread_and_always_the_same():
    kept = rows.shown(1_000_000)
    assert len(np.unique(kept)) == rows.SHOWN
    assert (np.diff(kept) > 0).all()
    assert kept.min() >= 0
    assert kept.max() < 1_000_000
    assert abs(kept.mean() / 1_000_000 - 0.5) < 1e-3
    assert (kept == rows.shown(1_000_000)).all()
