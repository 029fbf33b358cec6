"""Validation and test rows in files of their own."""

import numpy as np
import pandas as pd
import pytest

from automl import specfile
from automl.data import load
from automl.errors import DataError, SpecError

RNG = np.random.default_rng(0)


def rows(n, **columns):
    x = RNG.normal(size=n).round(3)
    frame = {"x": x.astype(str), "code": RNG.choice(["01", "02", "A1"], n), "y": np.where(x > 0, "yes", "no")}
    return pd.DataFrame({**frame, **columns})


@pytest.fixture
def folder(tmp_path):
    for name, n in (("train", 80), ("val", 30), ("test", 21)):
        rows(n).to_csv(tmp_path / f"{name}.csv", index=False, sep=";" if name == "val" else ",")
    return tmp_path


def sizes(data):
    return [len(part) for part in (data.train, data.val, data.test)]


@pytest.mark.parametrize(("split", "expected"), [
    ({"val": "val.csv", "test": "test.csv"}, [80, 30, 21]), ({"test": "test.csv"}, [60, 20, 21]),
    ({"val": "val.csv"}, [60, 30, 20]), ({"test": "test.csv", "val": 0.5}, [40, 40, 21]),
    ({"val": "val.csv", "test": 0.0}, [80, 30, 0]),
])  # fmt: skip
def test_parts_are_the_files_and_the_rest_a_share_of_the_training_rows(folder, split, expected):
    data = load("train.csv", target="y", split=split, base=folder)
    assert sizes(data) == expected
    assert data.classes == ["no", "yes"]
    assert any(note.endswith(" rows from " + file) for note in data.notes for file in split.values() if file != 0.5)


def test_cells_of_all_files_are_read_alike_and_only_training_rows_are_learned_from(folder):
    frame = rows(30, code="99")  # a code that training has not seen, all of them numbers
    frame.to_csv(folder / "val.csv", index=False)
    data = load("train.csv", target="y", split={"val": "val.csv", "test": "test.csv"}, base=folder)
    column = next(column for column in data.preparation["columns"] if column["name"] == "code")
    assert column["values"] == ["01", "02", "A1"]


@pytest.mark.parametrize(("change", "said"), [
    (lambda frame: frame.drop(columns="y"), "has no column 'y', the target"),
    (lambda frame: frame.drop(columns="code"), "has no column 'code', which the training rows have"),
])  # fmt: skip
def test_files_that_do_not_fit_are_refused(folder, change, said):
    change(rows(30)).to_csv(folder / "test.csv", index=False)
    with pytest.raises(DataError, match=said):
        load("train.csv", target="y", split={"test": "test.csv"}, base=folder)


def test_a_series_has_none(folder):
    with pytest.raises(DataError, match="a series or a long text has no files of their own"):
        load("train.csv", target="x", split={"test": "test.csv"}, base=folder, prepare={"window": 3})


SPEC = """
model: mlp
data: train.csv
target: y
metric: val_accuracy
epochs: 2
budget: {trials: 2}
space: {width: [4, 8]}
split: {SPLIT}
"""


def spec(folder, split):
    (folder / "space.yaml").write_text(SPEC.replace("SPLIT", split))
    return specfile.read(folder / "space.yaml", gpus=lambda: 0)


def test_a_specification_names_the_files(folder):
    split = spec(folder, "val: val.csv, test: test.csv").split
    assert (split["val"], split["test"]) == ("val.csv", "test.csv")
    assert sizes(load("train.csv", target="y", split=split, base=folder)) == [80, 30, 21]


@pytest.mark.parametrize(("split", "said"), [
    ("test: tst.csv", "there is no file 'tst.csv'"), ("test: test.csv, train: 0.6", "leave out train"),
    ("val: val.csv, group: code", "leave out group"), ("val: 0", "val must be above 0"),
    ("val: 1.5", "must be below 1"),
])  # fmt: skip
def test_what_is_wrong_is_told_with_its_place(folder, split, said):
    with pytest.raises(SpecError, match=said):
        spec(folder, split)
