"""What is said of values, labels and rows that are probably not what they seem."""

import numpy as np
import pandas as pd
import pytest

from automl.data import load

N = 200
RNG = np.random.default_rng(0)
X = RNG.normal(size=N).round(3)
DAYS = pd.Series(pd.date_range("2021-01-01", periods=N)).dt.strftime("%Y-%m-%d").to_numpy(dtype=object)


def loaded(tmp_path, **columns):
    frame = pd.DataFrame({"x": X, "y": np.where(X > 0, "yes", "no"), **columns})
    frame.to_csv(tmp_path / "t.csv", index=False)
    return load(str(tmp_path / "t.csv"), target="y")


def every(n, word, others):
    return np.where(np.arange(N) % n == 0, word, others)


@pytest.mark.parametrize(("word", "others"), [
    ("-999", RNG.integers(18, 80, N).astype(str)), ("99999", RNG.normal(size=N).round(2).astype(str)),
    ("9999-12-31", DAYS), ("1900-01-01", DAYS),
])  # fmt: skip
def test_a_value_that_stands_for_a_missing_one_is_told_and_the_option_helps(tmp_path, word, others):
    columns = {"c": every(8, word, others)}
    doubt = next(doubt for doubt in loaded(tmp_path, **columns).summary.doubts if "column 'c'" in doubt)
    assert f"{word!r} in " in doubt
    assert f"`prepare: {{missing: [{word!r}]}}` if it does" in doubt
    told = load(str(tmp_path / "t.csv"), target="y", prepare={"missing": [word]})
    assert not any("may stand for" in note for note in told.notes)
    center = next(column["center"] for column in told.preparation["columns"] if column["name"] == "c")
    assert abs(center) < 30_000


@pytest.mark.parametrize("cells", [
    every(8, "99", RNG.integers(18, 95, N).astype(str)), every(8, "-999", RNG.integers(-2000, 2000, N).astype(str)),
    every(300, "9999", RNG.integers(18, 80, N).astype(str)), every(8, "1000", RNG.integers(18, 80, N).astype(str)),
    every(8, "2022-12-31", DAYS),
])  # fmt: skip
def test_ordinary_values_are_not_doubted(tmp_path, cells):
    assert not any("may stand for" in doubt for doubt in loaded(tmp_path, c=cells).summary.doubts)


def test_a_target_with_such_a_value(tmp_path):
    data = loaded(tmp_path, y=every(8, "-999", (X + 5).astype(str)))
    assert any("target 'y': '-999' in 25 rows lies far" in doubt for doubt in data.summary.doubts)


@pytest.mark.parametrize("pair", [("<=50K", "<=50K."), ("K\u00f6ln", "Ko\u0308ln"), ("New York", "New  York")])
def test_labels_that_are_probably_one(tmp_path, pair):
    labels = np.array([*pair, "other"], dtype=object)[np.arange(N) % 3]
    assert any("are probably one" in doubt for doubt in loaded(tmp_path, y=labels).summary.doubts)


def test_rows_in_several_parts_are_told(tmp_path):
    frame = pd.DataFrame({"x": X, "z": RNG.normal(size=N), "y": np.where(X > 0, "yes", "no")})
    pd.concat([frame, frame.head(60)]).to_csv(tmp_path / "t.csv", index=False)
    doubts = load(str(tmp_path / "t.csv"), target="y").summary.doubts
    assert sum("are equal to a training row, with the same target" in doubt for doubt in doubts) == 1
    assert not any("equal to a training row" in doubt for doubt in loaded(tmp_path).summary.doubts)


def test_equal_rows_of_a_few_categories_are_no_surprise(tmp_path):
    data = loaded(tmp_path, x=np.arange(N) % 4, z=np.arange(N) % 3)
    assert not any("equal to a training row" in doubt for doubt in data.summary.doubts)
