"""Targets of which quantiles, or the rates of counts, are predicted: what is read, and what is told of a wrong one."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from automl.data import load
from automl.data.shapes import Outputs
from automl.errors import DataError


def frame(n: int = 120) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    table = pd.DataFrame(rng.normal(size=(n, 2)), columns=["a", "b"])
    return table.assign(y=rng.normal(size=n) + table.a, n=rng.poisson(2, n), word=["x", "y"] * (n // 2))


def test_quantiles_are_outputs_for_one_target() -> None:
    data = load(frame(), target="y", prepare={"quantiles": [0.1, 0.9], "target_scale": "log"})
    assert (int(data.outputs), data.kind.levels, data.train.y.shape[1]) == (2, (0.1, 0.9), 1)  # type: ignore[attr-defined]
    assert Outputs.from_json(data.outputs.to_json()).link == data.outputs.link == {"kind": "quantiles", "each": 2}
    assert data.summary is not None
    low = np.quantile(data.train_y.numpy(), [0.1, 0.9])
    e = data.val.y.numpy() - low
    best = np.maximum(e * [0.1, 0.9], e * [-0.9, -0.1]).mean() * data.target_scale.item()
    assert data.summary.baselines["val_pinball"] == pytest.approx(best, rel=1e-4)


def test_few_whole_numbers_are_counts_where_that_is_said() -> None:
    data = load(frame(), target="n", prepare={"task": "counts"})
    assert data.kind == "regression"
    assert float(data.train.y.mean()) == pytest.approx(1)
    assert torch.equal(data.target_center, torch.zeros(1))
    assert data.summary is not None
    assert data.summary.baselines["val_poisson_deviance"] > 0


def test_classes_have_the_order_that_is_given() -> None:
    table = frame().assign(size=["large", "small", "middle"] * 40)
    data = load(table, target="size", prepare={"order": ["small", "middle", "large", "huge"]})
    assert data.classes == ["small", "middle", "large", "huge"]
    assert data.preparation["target"]["variant"] == "ordinal"
    assert data.summary is not None
    assert data.summary.baselines["val_rank_mae"] > 0
    again = load(frame(), target="n", prepare={"order": list(range(12, -1, -1))})
    assert again.classes == list(range(12, -1, -1))


def test_labels_are_columns_or_the_parts_of_cells() -> None:
    table = frame().assign(red=[0, 1] * 60, big=["yes", "no", "no"] * 40)
    table["tags"] = ["red;big", "", "red", "round; red ", "rare;big"] + ["red", "big", "", "round", "big;round"] * 23
    table.loc[3, "red"] = np.nan
    data = load(table.drop(columns="tags"), target=["red", "big"], prepare={"task": "labels"})
    assert data.preparation["target"]["columns"] == ["red", "big"]
    assert len(data.train) + len(data.val) + len(data.test) == 119
    assert set(data.train.y.unique().tolist()) == {0.0, 1.0}
    cells = load(table.drop(columns=["red", "big"]), target="tags", prepare={"task": "labels"})
    assert cells.preparation["target"]["columns"] == cells.classes == ["big", "red", "round"]
    assert any("'rare'" in note for note in cells.notes)
    rows = sum(len(part) for part in (cells.train, cells.val, cells.test))
    assert rows == 120
    both = torch.cat([cells.train.y, cells.val.y, cells.test.y])
    assert both.sum(0).tolist() == [48.0, 26.0, 47.0]
    assert cells.summary is not None
    assert 0 < cells.summary.baselines["val_average_precision"] < 1


@pytest.mark.parametrize(
    ("target", "options", "says"),
    [
        ("y", {"task": "labels"}, "0 labels of 5 rows or more"),
        ("y", {"label_separator": "|"}, "add task: labels"),
        ("word", {"order": ["x", "z"]}, "has also 'y'; name every class"),
        ("word", {"order": ["x", "x"]}, "two or more different classes"),
        ("n", {"order": [0, 1], "task": "counts"}, "it is of classes, and values are asked for"),
        ("y", {"quantiles": [0.9, 0.1]}, "needs rising numbers between 0 and 1"),
        ("y", {"quantiles": [0.5], "task": "classification"}, "they are of values, and task is classification"),
        ("word", {"quantiles": [0.5]}, "cannot be read as values"),
        ("y", {"task": "counts"}, "values below 0, which are no counts"),
        ("n", {"task": "counts", "target_scale": "log"}, "learned as logarithms of rates already"),
        ("n", {"task": "counting"}, "did you mean 'counts'"),
        ("y", {"quantiles": [0.5], "window": 4}, "quantiles are for tables in memory"),
    ],
)
def test_what_does_not_fit_is_told(target: str, options: dict[str, Any], says: str) -> None:
    with pytest.raises(DataError, match=says):
        load(frame(), target=target, prepare=options)
