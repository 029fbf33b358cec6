"""Trees in our arrays answer as the library that grew them; a trial that goes on elsewhere grows the same ones."""

import sys
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from automl.data import load
from automl.errors import DataError, EnvironmentProblem
from automl.metrics.kinds.kind import Kind
from automl.models.tables.trees import Trees
from automl.training.trees.growing import ABSENT, VALUES, Rows, Settings, packed
from automl.training.trees.histogram import HistogramGrower
from automl.training.trees.lightgbm_grower import LightGBMGrower
from automl.training.trees.trainer import TreeTrainer

SETTINGS = Settings(12, 0.2, 15, 0, 5, 0.1, 0.7, 255, 3)
UNITS = {"two classes": [1], "three of four classes": [1, 2, 3], "two values": [0, 1], "quantiles": [0, 1, 2, 3],
         "counts": [0], "labels": [0, 1]}  # fmt: skip
"""Kind of target -> the units that trees add to."""
VARIANTS = {"quantiles": Kind("regression", "quantiles", (0.1, 0.9)), "counts": Kind("regression", "counts"),
            "labels": Kind("regression", "labels")}  # fmt: skip


def rows(kind: str, weighted: bool = True) -> tuple[Rows, NDArray[np.float64]]:
    """Training rows with gaps and two categories; and further rows with codes that training did not see."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(400, 6)).astype(np.float32).astype(np.float64)
    x[:, 4], x[:, 5] = rng.integers(1, 9, 400), rng.integers(2, 5, 400)
    x[::5, 1] = np.nan
    signal = x[:, 0] + 2 * np.nan_to_num(x[:, 1]) + x[:, 4] % 3 + (x[:, 5] == 3)
    y: Any = {
        "two classes": (signal > 1).astype(np.int64),
        "three of four classes": np.digitize(signal, [0, 2]) + 1,
        "two values": np.column_stack([signal, -(signal**2)]),
        "quantiles": np.column_stack([signal, -(signal**2)]),
        "labels": np.column_stack([signal > 1, signal > 0]).astype(np.float64),
        "counts": rng.poisson(np.exp(signal / 4))[:, None].astype(np.float64),
    }[kind]
    other = x[:60].copy()
    other[:10, 4], other[10:20, 5], other[20:30, 2] = 0, 5, np.nan
    units = UNITS[kind][-1] + 1
    weight = rng.uniform(0.5, 2, 400) if weighted else None
    return Rows(x, y, weight, {4: 10, 5: 7}, units, VARIANTS.get(kind, VALUES)), other


def outputs(grower: HistogramGrower | LightGBMGrower, x: NDArray[np.float64], steps: list[int]) -> NDArray[np.float64]:
    """[N, units] of the trees that were grown in these steps."""
    trees = [tree for step in steps for each in grower.grow(step) for tree in each]
    module = Trees(x.shape[1], grower.rows.outputs)
    module.set(packed(trees, grower.base))
    return np.asarray(module(torch.from_numpy(x)))


@pytest.mark.parametrize("kind", UNITS)
def test_histogram_trees_answer_as_scikit_learn(kind: str) -> None:
    training, other = rows(kind)
    grower = HistogramGrower(training, SETTINGS)
    ours = outputs(grower, other, [12])
    raw = np.column_stack([model._raw_predict(other) for model in grower.models])
    units = UNITS[kind]
    np.testing.assert_allclose(ours[:, units], raw, atol=1e-12)
    rest = sorted({*range(ours.shape[1])} - {*units})
    assert (ours[:, rest] == (ABSENT if kind == "three of four classes" else 0)).all()


@pytest.mark.parametrize("kind", UNITS)
def test_lightgbm_trees_answer_as_lightgbm(kind: str) -> None:
    pytest.importorskip("lightgbm", reason="the extra `trees` is not installed")
    training, other = rows(kind)
    grower = LightGBMGrower(training, SETTINGS)
    ours = outputs(grower, other, [12])
    raw = np.column_stack([booster.predict(other, raw_score=True) for booster in grower.boosters])
    units = UNITS[kind]
    np.testing.assert_allclose(ours[:, units], raw, atol=1e-12)


@pytest.mark.parametrize("grower", [HistogramGrower, LightGBMGrower])
def test_growing_in_pieces_gives_the_same_trees(grower: type[HistogramGrower] | type[LightGBMGrower]) -> None:
    if grower is LightGBMGrower:
        pytest.importorskip("lightgbm", reason="the extra `trees` is not installed")
    training, other = rows("three of four classes")
    at_once, in_pieces = (outputs(grower(training, SETTINGS), other, steps) for steps in ([12], [1, 4, 5, 12]))
    assert np.array_equal(at_once, in_pieces)


def test_a_missing_library_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "lightgbm", None)
    with pytest.raises(EnvironmentProblem, match=r"automl-search\[trees\]"):
        LightGBMGrower(rows("two classes")[0], SETTINGS)


CONFIG = {"rounds": 60, "shrinkage": 0.5, "leaves": 8, "early_stop": 6}


def test_a_trial_that_goes_on_elsewhere_reports_the_same() -> None:
    data = load("breast_cancer")
    whole = TreeTrainer(data, CONFIG, 10, 0)
    reports = [whole.epoch() for _ in range(4)]
    second = TreeTrainer(data, CONFIG, 10, 0)
    second.load({"epoch": 2})
    assert [second.epoch(), second.epoch()] == reports[2:]
    assert all(torch.equal(value, second.weights()[name]) for name, value in whole.weights().items())


def test_what_is_kept_gives_what_was_measured_and_ends_at_its_best_round() -> None:
    data = load("breast_cancer")
    trainer = TreeTrainer(data, CONFIG, 10, 0)
    while not trainer.finished:
        measured = trainer.epoch()
    assert trainer.done < 10
    module = Trees(int(data.inputs), int(data.outputs))
    module.load_state_dict(trainer.weights())
    with torch.no_grad():
        logits = module(data.val.x)
    loss = torch.nn.functional.cross_entropy(logits, data.val.y)
    assert float(loss) == pytest.approx(measured["val_loss"], rel=1e-5)
    all_rounds = TreeTrainer(data, {**CONFIG, "early_stop": 0}, 10, 0)
    curve = [all_rounds.epoch()["val_loss"] for _ in range(10)]
    assert measured["val_loss"] <= min(curve) + 1e-9
    assert len(module.root) < 60


def test_streamed_tables_are_refused_in_a_sentence(tmp_path: Any) -> None:
    import pandas as pd

    frame = pd.DataFrame(np.random.default_rng(0).normal(size=(3000, 3)), columns=["a", "b", "y"])
    frame.to_csv(tmp_path / "t.csv", index=False)
    data = load(tmp_path / "t.csv", target="y", prepare={"memory": "1KB"})
    with pytest.raises(DataError, match=r"whole table in memory; raise prepare\.memory"):
        TreeTrainer(data, CONFIG, 10, 0)
