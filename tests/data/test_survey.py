"""What `automl init --csv` finds out about a table from its first rows."""

import gzip

import numpy as np
import pandas as pd
import pytest

from automl.data.survey import survey
from automl.errors import DataError

ROWS = 300


def table():
    rng = np.random.default_rng(0)
    return pd.DataFrame({
        "zip": [f"{v:05d}" for v in rng.integers(1000, 1040, ROWS)],
        "wert": [f"{v:.2f}".replace(".", ",") for v in rng.normal(0, 3000, ROWS)],
        "tag": [f"{k % 28 + 1:02d}/{k % 12 + 1:02d}/2023" for k in range(ROWS)],
        "straße": rng.choice(["Höhe", "Weg"], ROWS),
        "art": rng.choice(["ja", "nein"], ROWS, p=[0.9, 0.1]),
    })  # fmt: skip


FOUND = {"separator": ";", "decimal": ",", "dayfirst": True, "types": {"zip": "category"}}


@pytest.mark.parametrize(
    ("encoding", "before", "named"),
    [("utf-8", "", None), ("utf-8-sig", "", None), ("utf-16", "sep=;\n", None), ("cp1252", "# by hand\n", "cp1252")],
)
def test_a_european_table(tmp_path, encoding, before, named):
    path = tmp_path / "t.CSV"
    path.write_bytes((before + table().to_csv(sep=";", index=False)).encode(encoding))
    found = survey(path)
    assert found.target == "art"
    assert found.task == "classification"
    assert found.classes == 2
    assert found.majority == pytest.approx(0.9, abs=0.05)
    assert {name: value for name, (value, _) in found.prepare.items()} == FOUND | ({"encoding": named} if named else {})


def test_a_plain_table_needs_no_options(tmp_path):
    path = tmp_path / "t.csv.gz"
    frame = pd.DataFrame({"a": np.linspace(0, 1, ROWS), "k": range(ROWS), "y": np.linspace(3, 9, ROWS)})
    path.write_bytes(gzip.compress(frame.to_csv(index=False).encode()))
    found = survey(path)
    assert (found.names, found.target, found.task, found.prepare) == (["a", "k", "y"], "y", "regression", {})
    assert survey(path, "a").target == "a"


def test_a_parquet_file_has_types_of_its_own(tmp_path):
    path = tmp_path / "t.parquet"
    frame = table()
    frame["wert"] = np.linspace(0, 1, ROWS)
    frame["tag"] = pd.Timestamp("2024-01-01") + pd.to_timedelta(np.arange(ROWS), unit="D")
    frame.to_parquet(path)
    found = survey(path, "wert")
    assert found.task == "regression"
    assert {name: value for name, (value, _) in found.prepare.items()} == {"types": {"zip": "category"}}


def test_days_and_months_that_no_date_tells_apart_are_called_a_guess(tmp_path):
    path = tmp_path / "t.csv"
    frame = pd.DataFrame({"tag": [f"{k % 12 + 1:02d}/{k % 11 + 1:02d}/2023" for k in range(ROWS)], "y": range(ROWS)})
    frame.to_csv(path, index=False)
    value, said = survey(path).prepare["dayfirst"]
    assert value is False
    assert said == "dates are month/day/year: a guess, no date shows it"


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("t.csv", "a\n1\n2\n", "at least two columns"),
        ("t.csv", "a,b\n", "and a row"),
        ("t.csv", "", "cannot be read"),
        ("t.csv", "5.1,3.5,setosa\n4.9,3.0,setosa\n", "put a line before it that names the columns"),
        ("t.csv", "a,y\n1,2\n3,2\n", "has a single value, 2: there is nothing to learn; name another column"),
        ("t.parquet", "no", "cannot be read"),
        ("t.txt", "a,b\n1,2\n", "not a table; expected a file of the kind .csv"),
    ],
)
def test_what_is_no_table(tmp_path, name, text, said):
    (tmp_path / name).write_text(text)
    with pytest.raises(DataError, match=said):
        survey(tmp_path / name)


def test_years_are_names_of_columns(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("2019,2020\n" + "".join(f"{k},{k / 7}\n" for k in range(50)))
    assert survey(path).target == "2020"
