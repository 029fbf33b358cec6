import json

import numpy as np
import pandas as pd
import pytest
import torch

from automl.data import load
from automl.data.preparing.transform import transform
from automl.errors import DataError


def table(rows: int = 80) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "amount": np.where(np.arange(rows) % 10 == 0, np.nan, rng.normal(50, 9, rows)),
            "city": rng.choice(["Rome", "Bern", "Oslo"], rows),
            "flag": rng.random(rows) < 0.5,
            "when": pd.date_range("2024-01-01", periods=rows, freq="D").strftime("%Y-%m-%d"),
            "id": np.arange(rows) + 1000,
            "name": [f"person {k}" for k in range(rows)],
            "constant": 3,
            "empty": np.nan,
            "endless": np.where(np.arange(rows) == 5, np.inf, rng.normal(size=rows)),
            "y": rng.choice(["yes", "no"], rows),
        }
    )


def test_columns_are_used_or_left_out_with_a_reason():
    data = load(table(), target="y")
    notes = "\n".join(data.notes)
    for name, why in [("id", "identifier"), ("name", "differs"), ("constant", "constant"), ("empty", "no value")]:
        assert any(repr(name) in note and "left out" in note and why in note for note in data.notes), (name, notes)
    assert "date" in notes
    assert data.columns[:2] == ["amount", "amount is missing"]
    assert {"city=Bern", "city=Oslo", "city=Rome", "flag=True"} <= set(data.columns)
    assert data.train.x.shape == (len(data.train), int(data.inputs))
    assert torch.isfinite(data.train.x).all()
    assert torch.isfinite(data.test.x).all()


def test_preparation_is_fitted_on_the_training_part_alone():
    frame = table()
    first = load(frame, target="y", seed=4)
    train = first.preparation["columns"][0]
    x = first.train.x[:, 0]
    assert abs(float(x.mean())) < 1e-5
    assert abs(float(x.std(unbiased=False)) - 1) < 1e-5
    assert abs(float(torch.cat([first.val.x, first.test.x])[:, 0].mean())) > 1e-4
    assert train["name"] == "amount"


def test_new_rows_are_treated_the_same_way_after_json():
    frame = table()
    data = load(frame, target="y", seed=4)
    again = transform(json.loads(json.dumps(data.preparation)), frame.drop(columns="y"))
    rows = {tuple(row) for row in again.numpy().tolist()}
    assert all(tuple(row) in rows for row in data.val.x.numpy().tolist())


def test_unseen_and_missing_categories_are_all_zeros_or_their_own():
    data = load(table(), target="y")
    one = table(12).drop(columns="y").head(2).assign(city=["Atlantis", None])
    where = [k for k, name in enumerate(data.columns) if name.startswith("city=")]
    assert transform(data.preparation, one)[:, where].abs().sum() == 0


def test_embedded_categories_are_codes_in_the_last_columns():
    data = load(table(), target="y", prepare={"categorical": "embed"})
    assert data.inputs.cardinalities == (4, 3)
    assert data.columns[-2:] == ["city", "flag"]
    codes = data.train.x[:, -2:]
    assert (codes == codes.round()).all()
    assert codes.min() >= 1
    assert codes[:, 0].max() == 3


def test_pca_and_crosses():
    rng = np.random.default_rng(1)
    x = pd.DataFrame(rng.normal(size=(300, 5)), columns=list("abcde"))
    frame = x.assign(y=x.a * x.b + 0.01 * rng.normal(size=300))
    crossed = load(frame, target="y", prepare={"crosses": 1})
    assert crossed.columns[-1] == "a * b"
    assert abs(np.corrcoef(crossed.train.x[:, -1], crossed.train.y[:, 0])[0, 1]) > 0.95
    reduced = load(frame, target="y", prepare={"pca": 3})
    assert int(reduced.inputs) == 3
    assert np.allclose(np.cov(reduced.train.x.numpy().T), np.eye(3), atol=1e-3)


def test_weights_and_balanced_classes_have_mean_one():
    frame = table(120).assign(w=np.arange(120) % 3 + 1.0, y=["a"] * 90 + ["b"] * 30)
    data = load(frame, target="y", prepare={"weight": "w", "class_weight": "balanced"})
    assert "w" not in data.columns
    weight = data.train.weight
    assert weight is not None
    assert abs(float(weight.mean()) - 1) < 1e-5
    sums = [float(weight[data.train.y == k].sum()) for k in (0, 1)]
    assert abs(sums[0] - sums[1]) < 1e-3 * sums[0]


def test_images_are_scaled_per_channel_and_known_by_their_layout():
    x = np.random.default_rng(0).integers(0, 255, (60, 6, 6, 3)).astype(np.uint8)
    data = load((x, np.arange(60) % 2))
    assert data.inputs.shape == (3, 6, 6)
    assert data.train.x.mean((0, 2, 3)).abs().max() < 1e-4
    assert transform(data.preparation, x[:2]).shape == (2, 3, 6, 6)


@pytest.mark.parametrize(
    ("prepare", "message"),
    [
        ({"scael": "standard"}, "did you mean 'scale'"),
        ({"scale": "standart"}, "did you mean 'standard'"),
        ({"impute": "medain"}, "did you mean 'median'"),
        ({"categorical": "embedd"}, "did you mean 'embed'"),
        ({"categories": ["citty"]}, "did you mean 'city'"),
        ({"weight": "wieght"}, "'wieght' is not a column"),
    ],
)
def test_wrong_options_name_the_nearest(prepare, message):
    with pytest.raises(DataError, match=message):
        load(table(), target="y", prepare=prepare)


def test_rows_that_do_not_fit_are_reported():
    data = load(table(), target="y")
    with pytest.raises(DataError, match="column 'amount' is missing; did you mean 'amonut'"):
        transform(data.preparation, table().rename(columns={"amount": "amonut"}))
    with pytest.raises(DataError, match="expected samples of shape"):
        transform(load("digits").preparation, np.zeros((2, 63)))
