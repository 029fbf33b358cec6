"""Mutants of rows to predict: a small part of what `make fuzz` tries."""

import gzip
import random
import warnings

import pandas as pd
import pytest
import torch

from automl.data import load
from automl.data.preparing.transform import transform
from automl.errors import DataError
from automl.testing.stress import fuzz_rows


@pytest.mark.parametrize("seed", [3, 4])
def test_the_same_row_gets_the_same_values(tmp_path, seed):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = fuzz_rows.fitted(random.Random(seed), tmp_path)
        for number in range(60):
            assert fuzz_rows.wrong(model, random.Random(f"{seed}/{number}"), tmp_path) == ""


@pytest.mark.parametrize("trained", [",", ";"])
def test_a_number_in_another_notation_is_read_as_the_training_file_was(tmp_path, trained):
    frame = pd.DataFrame({"x": [f"{k / 7:.5f}" for k in range(40)], "y": ["a", "b"] * 20})
    frame.to_csv(tmp_path / "t.csv", index=False, sep=trained)
    data = load(str(tmp_path / "t.csv"), target="y", prepare={"scale": "none"})
    row = pd.DataFrame({"x": ["4,321", "1"]})
    expected = transform(data.preparation, row)
    if trained == ";":
        assert expected[0].item() == pytest.approx(4.321)
    for separator in ",;|\t":
        row.to_csv(tmp_path / "new.csv", index=False, sep=separator)
        assert torch.equal(transform(data.preparation, tmp_path / "new.csv"), expected)


def test_a_damaged_packed_file_is_told(tmp_path):
    packed = bytearray(gzip.compress(("x,y\n" + "".join(f"{k * k % 97},{k % 2}\n" for k in range(300))).encode()))
    (tmp_path / "t.csv.gz").write_bytes(packed)
    data = load(str(tmp_path / "t.csv.gz"), target="y")
    for at in range(20, len(packed) - 8, 7):
        (tmp_path / "new.csv.gz").write_bytes(packed[:at] + bytes([packed[at] ^ 0x5A]) + packed[at + 1 :])
        with pytest.raises(DataError, match=r"new\.csv\.gz cannot be read"):
            transform(data.preparation, tmp_path / "new.csv.gz")


def test_a_damaged_text_in_a_parquet_file_is_told(tmp_path):
    path = tmp_path / "t.parquet"
    pd.DataFrame({"x": [f"word{k}" for k in range(40)], "y": ["a", "b"] * 20}).to_parquet(path, compression=None)
    path.write_bytes(path.read_bytes().replace(b"word7", b"wo\xa2d7"))
    for memory in ({}, {"memory": "1kb"}):
        with pytest.raises(DataError, match=r"t\.parquet cannot be read: .*UTF8"):
            load(str(path), target="y", prepare=memory)
