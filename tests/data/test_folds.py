"""Folds: what each of a trial's models trains on and is compared on."""

import re

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from automl.data import folds, load
from automl.errors import DataError


@given(st.lists(st.integers(0, 6), min_size=20, max_size=300), st.integers(2, 8), st.integers(0, 2**31))
@settings(max_examples=60, deadline=None)
def test_every_label_is_spread_evenly_and_no_model_is_compared_on_what_it_saw(labels, count, seed):
    array = np.array(labels)
    made = folds.assign(count, seed, len(array), labels=array)
    home = made.home.numpy()
    for label in np.unique(array):
        own = home[array == label]
        if len(own) == 1:
            assert own[0] == -1
        else:
            sizes = np.bincount(own, minlength=count)
            assert sizes.max() - sizes.min() <= 1
    held = np.flatnonzero(home >= 0)
    assert sorted(np.concatenate([made.held_rows(k).numpy() for k in range(count)])) == list(range(len(held)))
    for k in range(count):
        assert not set(held[made.held_rows(k).numpy()]) & set(made.train_rows(k).tolist())
        assert len(made.train_rows(k)) == len(array) - len(made.held_rows(k))


def test_groups_stay_together():
    groups = np.random.default_rng(0).integers(0, 30, 400)
    home = folds.assign(5, 0, 400, groups=groups).home.numpy()
    assert all(len(np.unique(home[groups == g])) == 1 for g in range(30))
    assert np.abs(np.bincount(home) / 400 - 0.2).max() < 0.04


def test_in_the_order_of_time_a_model_knows_the_past_only():
    order = np.random.default_rng(0).permutation(200)
    made = folds.assign(4, 0, 200, order=order)
    held = order[made.home.numpy() >= 0]
    assert len(held) == 100
    for k in range(4):
        assert len(made.held_rows(k)) == 25
        assert order[made.train_rows(k).numpy()].max() < held[made.held_rows(k).numpy()].min()
    assert [len(made.train_rows(k)) for k in range(4)] == [100, 125, 150, 175]
    assert made.most == 175


def test_joined_puts_each_row_where_it_belongs():
    made = folds.assign(3, 0, 30)
    value = torch.arange(30.0).unsqueeze(1)
    assert torch.equal(made.joined([value[made.held_rows(k)] for k in range(3)]), value)


def table(rows=120, classes=3):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(rows, 3)), columns=list("abc"))
    return frame.assign(t=[f"k{k % classes}" for k in range(rows)], g=np.arange(rows) // 10, when=np.arange(rows))


def test_all_rows_but_the_test_rows_are_trained_on_and_compared_on():
    data = load(table(), target="t", split={"folds": 4, "test": 0.25})
    assert (len(data.train), len(data.val), len(data.test)) == (90, 90, 30)
    assert data.val.x is data.train.x
    assert data.summary is not None
    assert data.summary.rows == {"train": 90, "val": 0, "test": 30}
    one = data.fold(1)
    assert len(one.train) + len(one.val) == 90
    assert not set(map(tuple, one.train.x.tolist())) & set(map(tuple, one.val.x.tolist()))
    other = load(table(), target="t", split={"folds": 4, "test": 0.25}, seed=1)
    assert other.fingerprint != data.fingerprint
    assert len(load(table(), target="t", split={"folds": 4, "test": 0.0, "group": "g"}).test) == 0


def test_rows_that_are_equal_are_told_where_folds_part_them():
    frame = table().drop(columns=["g", "when"])
    assert not [d for d in load(frame, target="t", split={"folds": 4, "test": 0.0}).summary.doubts if "equal" in d]
    twice = pd.concat([frame, frame.head(20)], ignore_index=True)
    found = load(twice, target="t", split={"folds": 4, "test": 0.0}).summary.doubts
    assert any("held-out rows are equal to a training row" in doubt for doubt in found)


def test_targets_of_a_curve_are_learned_on_it_and_compared_in_standard_units():
    frame = table().assign(t=np.random.default_rng(1).lognormal(size=120))
    data = load(frame, target="t", split={"folds": 3}, prepare={"target_scale": "log"})
    assert not torch.equal(data.train.y, data.val.y)
    assert float(data.val.y.mean()) == pytest.approx(0, abs=1e-5)


def test_a_rare_class_is_told_and_trained_on():
    frame = table()
    frame.loc[[3, 50], "t"] = "two"
    frame.loc[7, "t"] = "one"
    data = load(frame, target="t", split={"folds": 4, "test": 0.0})
    assert (data.folds.home.numpy()[7]) == -1
    assert len(data.val) == 119
    assert any("2 of 4 folds hold out no row of class two" in note for note in data.notes)
    for k in range(4):
        assert data.classes.index("two") in data.fold(k).train.y


@pytest.mark.parametrize(
    ("frame", "split", "prepare", "said"),
    [
        (table(), {"folds": 1}, {}, "expected a whole number from 2 to 50, got 1"),
        (table(), {"folds": 3, "val": 0.2}, {}, "split.val: folds take the place of training and validation rows"),
        (table(), {"folds": 3, "test": 1.0}, {}, "split.test: expected a share"),
        (table(), {"folds": 12, "group": "g"}, {}, "12 folds need as many groups, and outside the test set there are"),
        (table(20), {"folds": 10}, {}, "15 training rows are too few for 10 folds; take fewer folds"),
        (table(), {"folds": 3}, {"window": 5}, "a series or a text that is cut into windows has no folds"),
        (table().assign(t=np.where(np.arange(120) < 60, "a", "b")), {"folds": 3, "time": "when"}, {},
         "fold 1 of 3 would train on a single class"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_said_in_a_sentence(frame, split, prepare, said):
    with pytest.raises(DataError, match=re.escape(said)):
        load(frame, target="t", split=split, prepare=prepare)


def test_streamed_tables_have_none(tmp_path):
    table(20_000).to_csv(tmp_path / "t.csv", index=False)
    with pytest.raises(DataError, match="a table that is streamed from disk has no folds"):
        load(tmp_path / "t.csv", target="t", split={"folds": 3}, prepare={"memory": "1MB"})
