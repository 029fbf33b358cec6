"""The benchmark of `automl fit`: the same rows for all, and how contenders are compared."""

import importlib
from types import ModuleType

import numpy as np
import pandas as pd
import pytest

from tests.support.paths import ROOT


@pytest.fixture
def tables(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    return importlib.import_module("tables")


def test_the_summary_tells_wins_and_the_largest_loss(tables: ModuleType) -> None:
    errors = pd.DataFrame(
        {"ours": [0.10, 0.30, 0.22], "hgb": [0.12, 0.20, 0.22], "hgb tuned": [0.11, 0.25, 0.20]}, index=["a", "b", "c"]
    )
    text = tables.summary(errors)
    assert "ours is better than hgb on 1 of 3" in text
    assert "ours is better than hgb tuned on 1 of 3" in text
    assert "+50.0% of the error, on b" in text
    assert text.startswith("mean rank: hgb tuned 1.67, ours 2.17, hgb 2.17")


def test_a_tuned_contender_is_trained_again_with_its_best_options(tables: ModuleType) -> None:
    rng = np.random.default_rng(0)
    x = pd.DataFrame(rng.normal(size=(200, 3)))
    y = (x[0] > 0).to_numpy().astype(int)
    split = tables.Split(x[:150], y[:150], x[150:], y[150:], regression=False)
    asked = []

    def fit(split, trial, rows, held, seed, clock):  # type: ignore[no-untyped-def]
        asked.append(trial.suggest_float("p", 0, 1))
        assert not set(rows) & set(held)
        return abs(asked[-1] - 0.5), lambda p=asked[-1]: p

    best = tables.tuned(fit, split, 0.3, 0, "cpu")
    assert best == min(asked, key=lambda p: abs(p - 0.5))
