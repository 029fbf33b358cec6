"""Parts that came with the data: where they disagree in columns, types or labels, that is told with the column."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from automl.data import load
from automl.errors import DataError


def frame(rows: int, columns: str = "abc", labels: Any = ("x", "y"), **more: Any) -> pd.DataFrame:
    rng = np.random.default_rng(len(columns))
    table = pd.DataFrame({column: rng.normal(size=rows) for column in columns}).assign(**more)
    return table.assign(label=[labels[k % len(labels)] for k in range(rows)])


def array(rows: int, labels: Any = (0, 1)) -> tuple[Any, Any]:
    return np.random.default_rng(0).normal(size=(rows, 3)), np.array([labels[k % 2] for k in range(rows)])


@pytest.mark.catalogue(44, "parts of the user's own that disagree in columns or labels", "refused with the column", 2)
@pytest.mark.parametrize(
    ("train", "val", "rule"),
    [
        (frame(40), frame(12, "ab"), "part val has no column 'c', which train has"),
        (frame(40), frame(12, "abC"), "part val has no column 'c'"),
        (frame(40, width=1.0), frame(12, widht=1.0), "no column 'width', which train has; did you mean 'widht'"),
        (frame(40), frame(12, a="5 m"), "column 'a' holds numbers in part train and text in part val"),
        (frame(40, a="left"), frame(12), "column 'a' holds text in part train and numbers in part val"),
        (frame(40), frame(12, labels=(0, 1)), r"labels are text in part train and numbers in part val \('x' and 0\)"),
        (frame(40, labels=(0, 1)), frame(12, labels=("0", "1")), "labels are numbers in part train and text"),
        (frame(40), frame(12, labels=("yes", "no")), "part val has the classes 'no', 'yes', .* none in common"),
        (frame(40), frame(12).drop(columns="label"), "target 'label' is not a column"),
        (array(40), frame(12), "part train is of the form array"),
        (array(40), array(12, ("a", "b")), "labels are numbers in part train and text in part val"),
    ],
    ids=range(11),
)
def test_parts_that_disagree(train: Any, val: Any, rule: str) -> None:
    with pytest.raises(DataError, match=rule):
        load({"train": train, "val": val, "test": train}, target="label")


def test_another_order_and_more_columns_are_no_disagreement() -> None:
    val, test = frame(12)[["label", "c", "b", "a"]], frame(12, extra=1.0, a=[str(k) for k in range(12)])
    data = load({"train": frame(40), "val": val, "test": test}, target="label")
    assert [data.train.x.shape[1], len(data.val), len(data.test)] == [3, 12, 12]
    assert "column 'extra' of part test left out: part train does not have it" in data.notes


def test_a_class_that_only_one_part_has_is_noted() -> None:
    data = load({"train": frame(40), "val": frame(12), "test": frame(12, labels=("x", "z"))}, target="label")
    assert any("no row of class z in the train part" in note for note in data.notes)
