"""Rows to predict in the forms that people have them: each gives the prediction of the same rows as a DataFrame."""

import io
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from automl.data import load
from automl.data.preparing.transform import transform
from automl.errors import DataError

RNG = np.random.default_rng(0)
FRAME = pd.DataFrame({"a": RNG.normal(size=60), "b": RNG.normal(size=60), "c": RNG.choice(list("xyz"), 60)})
DATA = load(FRAME.assign(y=["u", "v"] * 30), target="y")
EXPECTED = transform(DATA.preparation, FRAME)


def arrow():
    return pytest.importorskip("pyarrow").Table.from_pandas(FRAME)


@dataclass
class Row:
    a: float
    b: float
    c: str


class Somewhere:
    def __fspath__(self):
        FRAME.to_csv(Path(tempfile.gettempdir()) / "automl-rows.csv", index=False)
        return str(Path(tempfile.gettempdir()) / "automl-rows.csv")


class Later:
    """As a LazyFrame of polars has it."""

    def collect(self):
        return arrow()


FORMS = {
    "frame": lambda: FRAME,
    "any index": lambda: FRAME.set_axis([7] * 60),
    "other order, more columns": lambda: FRAME[["c", "b", "a"]].assign(more=1),
    "nullable": lambda: FRAME.convert_dtypes(),
    "arrow types": lambda: FRAME.convert_dtypes(dtype_backend="pyarrow"),
    "arrow table": arrow,
    "list of dicts": lambda: FRAME.to_dict("records"),
    "list of lists": lambda: FRAME.values.tolist(),
    "tuples from a generator": lambda: (row for row in FRAME.itertuples(index=False, name=None)),
    "list of Series": lambda: [row for _, row in FRAME.iterrows()],
    "dict of lists": lambda: FRAME.to_dict("list"),
    "dict of dicts": lambda: FRAME.to_dict(),
    "array of objects": lambda: FRAME.to_numpy(dtype=object),
    "structured array": lambda: FRAME.to_records(index=False),
    "array of dicts": lambda: np.array(FRAME.to_dict("records"), dtype=object),
    "Series of dicts": lambda: pd.Series(FRAME.to_dict("records")),
    "rows by name": lambda: FRAME.to_dict("index"),
    "a column in the index": lambda: FRAME.set_index("a"),
    "spaces around names": lambda: FRAME.rename(columns={"a": " a", "b": "b\u00a0"}),
    "rows of itertuples": lambda: FRAME.itertuples(),
    "named tuples in another order": lambda: FRAME[["c", "b", "a"]].itertuples(index=False),
    "dataclasses": lambda: [Row(*row) for row in FRAME.itertuples(index=False)],
    "dict of iterators": lambda: {name: iter(FRAME[name]) for name in FRAME},
    "dict of Series of another index": lambda: {name: FRAME[name].set_axis(range(60, 0, -1)) for name in FRAME},
    "path-like": lambda: Somewhere(),
    "lazy": lambda: Later(),
}


@pytest.mark.parametrize("form", sorted(FORMS))
def test_all_forms_are_the_same_rows(form):
    assert torch.equal(transform(DATA.preparation, FORMS[form]()), EXPECTED)


ONE = FRAME.iloc[3]


@pytest.mark.parametrize(
    "one",
    [
        ONE,
        ONE.to_dict(),
        ONE.tolist(),
        Row(*ONE),
        FRAME.to_records()[3],
        next(FRAME.iloc[[3]].itertuples()),
        next(FRAME.iloc[[3]].itertuples(index=False)),
    ],
)
def test_one_row_alone(one):
    assert torch.equal(transform(DATA.preparation, one), EXPECTED[3:4])


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_a_path(tmp_path: Path, separator):
    FRAME.to_csv(tmp_path / "new.csv", index=False, sep=separator)
    for path in (tmp_path / "new.csv", str(tmp_path / "new.csv")):
        assert torch.equal(transform(DATA.preparation, path), EXPECTED)


def test_no_rows():
    assert transform(DATA.preparation, []).shape == (0, EXPECTED.shape[1])


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (None, "rows of type NoneType cannot be predicted; expected a DataFrame"),
        (3, "rows of type int"),
        ("no such file.csv", "no file 'no such file.csv' of rows to predict"),
        ([[1.0, 2.0]], r"each row needs its 3 values in this order: a, b, c; got rows of 2"),
        ([1.0, 2.0], "got a list of 2 values, where a row has 3"),
        ([{"a": 1.0}, [1.0]], "the rows are of several types"),
        ({"a": [1.0], "b": [1.0, 2.0], "c": ["x"]}, "the columns of the rows differ in length: 1, 2"),
        (pd.concat([FRAME, FRAME[["a"]]], axis=1), "two columns named 'a'"),
        ([{"a": 1.0, "b": 2.0, "C": "x"}], "column 'c' is missing; did you mean 'C'"),
        (FRAME.head(2).T, r"column 'a' is missing; it is a row of this table, .*: give its transpose, rows\.T"),
        (io.StringIO("a,b,c"), "an open file cannot be predicted; give its path"),
        ("a,b,c\n" * 100, r"no file 'a,b,c\\n.*\.\.\.' of rows to predict"),
        ({}, "column 'a' is missing; the rows have no columns"),
    ],
)
def test_other_things_are_refused_with_what_to_give(rows, message):
    with pytest.raises(DataError, match=message):
        transform(DATA.preparation, rows)


def test_samples_of_arrays():
    digits = load("digits")
    x = RNG.integers(0, 16, size=(5, 64)).astype(float)
    expected = transform(digits.preparation, x)
    for rows in (x.tolist(), torch.from_numpy(x), pd.DataFrame(x).astype(str)):
        assert torch.equal(transform(digits.preparation, rows), expected)
    assert torch.equal(transform(digits.preparation, x[2]), expected[2:3])
    with pytest.raises(DataError, match=r"expected an array of samples of shape \(64,\)"):
        transform(digits.preparation, {"a": 1})


def test_truth_values_and_their_numbers_are_the_same():
    frame = pd.DataFrame({"t": [True, False, True, True] * 10, "y": ["a", "b"] * 20})
    data = load(frame, target="y")
    expected = transform(data.preparation, frame)
    for form in (frame.t.astype(int), frame.t.astype(float), frame.t.astype(str), frame.t.map({True: "1", False: "0"})):
        unread: list[str] = []
        assert torch.equal(transform(data.preparation, form.to_frame(), unread), expected)
        assert not unread
