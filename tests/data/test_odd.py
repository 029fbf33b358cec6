"""Odd tables: whatever a column holds, loading ends with finite numbers or a DataError that names the column."""

import json
import warnings

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from automl.data import load
from automl.data.preparing.transform import transform
from automl.errors import DataError

N = 40
RNG = np.random.default_rng(0)
ODD = {
    "categorical": pd.Categorical(["a", "b", None, "c"] * 10),
    "ordered": pd.Categorical(["low", "high"] * 20, ordered=True),
    "nullable_int": pd.array([1, None, 3, 4] * 10, dtype="Int64"),
    "nullable_bool": pd.array([True, None, False, True] * 10, dtype="boolean"),
    "nullable_float": pd.array([0.5, None, 3.0, 4.0] * 10, dtype="Float64"),
    "strings": pd.array(["x", None, "y", "z"] * 10, dtype="string"),
    "object_bool": np.array([True, False, None, True] * 10, dtype=object),
    "mixed": np.array([1, "one", None, 2.5] * 10, dtype=object),
    "zoned": pd.date_range("2024-01-01", periods=N, freq="h", tz="Europe/Rome"),
    "dates": pd.Series(pd.date_range("2024-01-01", periods=N, freq="D")).where(np.arange(N) % 5 > 0),
    "timedelta": pd.to_timedelta(np.arange(N), unit="h"),
    "period": pd.period_range("2020-01", periods=N, freq="M"),
    "complex_text": [f"some rather long text number {k % 7}, with commas" for k in range(N)],
    "huge": RNG.normal(size=N) * 1e300,
    "tiny": RNG.normal(size=N) * 1e-300,
    "endless": np.where(np.arange(N) % 3 == 0, np.inf, -np.inf),
    "nearly_constant": np.where(np.arange(N) == 3, 1.0, 0.0),
    "big_ints": np.arange(N) * 2**55,
    "uint8": np.arange(N, dtype=np.uint8) % 5,
    "numbers_as_text": [f"{k / 3:.3f}" for k in range(N)],
    "lists": [[k] for k in range(N)],
    "unicode": ["žluťoučký", "kůň", "日本語", "🙂"] * 10,
    "empty_text": ["", "a"] * 20,
    "all_missing": [None] * N,
}


@given(st.lists(st.sampled_from(sorted(ODD)), min_size=1, max_size=5, unique=True), st.booleans())
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_odd_columns_together(names, embed):
    frame = pd.DataFrame({name: ODD[name] for name in names}).assign(plain=RNG.normal(size=N), y=["u", "v"] * 20)
    data = load(frame, target="y", prepare={"categorical": "embed" if embed else "onehot"})
    again = transform(json.loads(json.dumps(data.preparation)), frame)
    assert torch.isfinite(again).all()
    assert again.shape[1] == int(data.inputs)
    assert transform(data.preparation, data.sample).shape == (4, int(data.inputs))
    assert torch.allclose(transform(data.preparation, data.sample), data.val.x[:4], atol=1e-4)


@pytest.mark.parametrize("name", sorted(ODD))
def test_odd_targets(name):
    frame = pd.DataFrame({"a": RNG.normal(size=N), "y": ODD[name]})
    try:
        data = load(frame, target="y")
    except DataError as error:
        message = str(error)
    else:
        message = "target 'y' was read"
        assert torch.isfinite(data.train.y.float()).all()
        json.dumps([data.preparation, data.classes])
    assert "'y'" in message


def test_no_warning_for_dates_of_a_usual_kind():
    frame = pd.DataFrame({"d": ["03/11/2024", "04/11/2024"] * 20, "a": RNG.normal(size=N), "y": ["u", "v"] * 20})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        data = load(frame, target="y")
    assert any("a date" in note for note in data.notes)
