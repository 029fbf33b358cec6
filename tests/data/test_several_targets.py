"""Several targets of a table: columns of numbers that one model predicts, of which rows may lack some."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from automl.data import load
from automl.errors import DataError


def table(rows: int = 200, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, 3))
    frame = pd.DataFrame(x, columns=["p", "q", "r"])
    frame["a"] = x @ [1.0, 2.0, 0.0]
    frame['b, "c"\u00e4'] = 100 * (x @ [0.0, 1.0, 1.0]) + 7
    return frame


NAMES = ["a", 'b, "c"\u00e4']


def test_targets_are_in_standard_units_of_the_values_that_are_there():
    frame = table()
    frame.loc[::4, "a"] = np.nan
    frame.loc[3, NAMES] = np.nan
    data = load(frame, target=NAMES, split={"train": 0.6, "val": 0.2, "test": 0.2})
    entry = data.preparation["target"]
    assert entry["columns"] == NAMES
    assert data.columns == ["p", "q", "r"]
    y = data.train.y.double().numpy()
    assert np.nanmean(y, 0) == pytest.approx([0, 0], abs=1e-6)
    assert np.nanstd(y, 0) == pytest.approx([1, 1], abs=1e-6)
    lacking = sum(int(part.y[:, 0].isnan().sum()) for part in (data.train, data.val, data.test))
    assert lacking == 50
    assert sum(len(part) for part in (data.train, data.val, data.test)) == 199  # a row without any target is left out
    assert any("no value in 50 of 199 rows" in note for note in data.notes)
    assert "1 rows without a value of any target left out" in data.notes
    assert data.summary is not None
    assert [c.name for c in data.summary.columns if c.role == "target"] == NAMES
    assert {"val_loss", "val_rmse", "val_mae", "val_r2"} <= set(data.summary.baselines)


def test_a_file_is_read_as_the_frame_is(tmp_path: Path):
    frame = table()
    frame.to_csv(tmp_path / "t.csv", index=False)
    whole, again = load(frame, target=NAMES), load("t.csv", target=NAMES, base=tmp_path)
    assert torch.allclose(whole.train.y, again.train.y)


@pytest.mark.parametrize(
    ("change", "options", "match"),
    [
        ({}, {"target": ["a", "z"]}, "'z' is not a column"),
        ({}, {"target": ["a", "a"]}, "'a' is named twice"),
        ({}, {"target": []}, "at least one column"),
        ({}, {"target": ["a", "p"], "prepare": {"drop": ["p"]}}, "'p' is a target"),
        ({}, {"target": ["a", "p"], "prepare": {"task": "classification"}}, "prepare.task cannot be classification"),
        ({}, {"target": ["a", "p"], "prepare": {"weight": "p"}}, "'p' is the weight, group or time"),
        ({"k": 1.0}, {"target": ["a", "k"]}, "'k' has a single value"),
        ({"k": np.nan}, {"target": ["a", "k"]}, "'k' has no value in any row"),
        ({"k": "yes"}, {"target": ["a", "k"]}, "'k' cannot be read as values: it has words, such as 'yes'.*several"),
        ({"k": [None, *range(199)]}, {"target": ["a", "k"], "prepare": {"target_scale": "log"}}, "needs every target"),
    ],
)
def test_what_cannot_be_learned_is_told_in_a_sentence_that_names_the_column(change, options, match):
    with pytest.raises(DataError, match=match):
        load(table().assign(**change), **options)


def test_a_target_constant_in_the_training_rows_alone_is_named():
    frame = table().assign(k=[0.0] * 190 + [1.0] * 10, t=range(200))
    with pytest.raises(DataError, match="'k' has a single value in the training part"):
        load(frame, target=["a", "k"], split={"train": 0.6, "val": 0.2, "test": 0.2, "time": "t"})


def test_texts_have_one_target(tmp_path: Path):
    with pytest.raises(DataError, match="has one target, not 2"):
        load(table().assign(s="some text"), target=["a", "p"], prepare={"form": "sentences", "text": "s"})
