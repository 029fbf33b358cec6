import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from automl.data import splits
from automl.errors import DataError


@given(st.lists(st.integers(0, 5), min_size=12, max_size=400), st.integers(0, 2**31))
@settings(max_examples=80, deadline=None)
def test_every_row_has_one_part_and_every_label_is_trained_on(labels, seed):
    array = np.array(labels)
    parts = splits.assign(len(array), None, seed, labels=array)
    assert set(parts.tolist()) <= {0, 1, 2}
    for label in np.unique(array):
        assert (parts[array == label] == 0).any()
    big = [label for label in np.unique(array) if (array == label).sum() >= 40]
    for label in big:
        share = np.bincount(parts[array == label], minlength=3) / (array == label).sum()
        assert np.abs(share - [0.5, 0.25, 0.25]).max() < 0.08


def test_totals_are_two_one_one_for_many_small_classes():
    labels = np.repeat(np.arange(100), 10)
    counts = np.bincount(splits.assign(1000, None, 3, labels=labels))
    assert np.abs(counts - [500, 250, 250]).max() <= 3


def test_same_seed_same_parts_other_seed_other_parts():
    assert (splits.assign(100, None, 1) == splits.assign(100, None, 1)).all()
    assert (splits.assign(100, None, 1) != splits.assign(100, None, 2)).any()


def test_groups_are_never_split():
    groups = np.random.default_rng(0).integers(0, 30, 500)
    parts = splits.assign(500, None, 0, groups=groups)
    assert all(len(np.unique(parts[groups == g])) == 1 for g in range(30))
    assert np.abs(np.bincount(parts) / 500 - [0.5, 0.25, 0.25]).max() < 0.05


def test_time_splits_past_from_future():
    order = np.random.default_rng(0).permutation(200)
    parts = splits.assign(200, None, 0, order=order)
    assert order[parts == 0].max() < order[parts == 1].min() < order[parts == 1].max() < order[parts == 2].min()
    assert np.bincount(parts).tolist() == [100, 50, 50]


def test_given_parts_stay_and_missing_ones_are_taken_from_training():
    given_parts = np.array([0] * 80 + [2] * 20, dtype=np.int8)
    parts = splits.assign(100, None, 0, given=given_parts)
    assert (parts[80:] == 2).all()
    assert 20 <= (parts[:80] == 1).sum() <= 30


def test_no_test_part_when_none_is_wanted():
    parts = splits.assign(103, {"train": 0.8, "val": 0.2}, 0, labels=np.arange(103) % 7)
    assert not (parts == 2).any()


@pytest.mark.parametrize(
    ("split", "message"),
    [({"train": 0.5, "val": 0.2}, "add up to 1"), ({"train": 1.0}, "compare"), ({"train": 1.2, "val": -0.2}, "add up")],
)
def test_wrong_shares_are_reported(split, message):
    with pytest.raises(DataError, match=message):
        splits.assign(100, split, 0)


def test_too_few_rows():
    with pytest.raises(DataError, match="11 rows are too few"):
        splits.assign(11, None, 0)
