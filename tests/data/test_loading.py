import gzip
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from automl.data import load
from automl.data.shapes import Inputs, Outputs
from automl.errors import DataError
from tests.support.paths import ROOT


@pytest.mark.parametrize(
    ("name", "kind", "outputs"),
    [("digits", "classification", 10), ("iris", "classification", 3), ("wine", "classification", 3),
     ("breast_cancer", "classification", 2), ("diabetes", "regression", 1)],
)  # fmt: skip
def test_built_in(name, kind, outputs):
    data = load(name, seed=7)
    assert (data.kind, int(data.outputs)) == (kind, outputs)
    sizes = np.array([len(data.train), len(data.val), len(data.test)])
    assert np.abs(sizes / sizes.sum() - [0.5, 0.25, 0.25]).max() < 0.01
    assert load(name, seed=7).fingerprint == data.fingerprint
    assert load(name, seed=8).fingerprint != data.fingerprint


def test_files_of_every_kind_give_the_same_data(tmp_path: Path):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {"a": rng.normal(size=50), "b": rng.choice(["u", "v"], 50), "price": rng.normal(size=50) * 100}
    )
    frame.to_csv(tmp_path / "t.csv", index=False)
    frame.to_csv(tmp_path / "t.tsv.gz", index=False, sep="\t")
    frame.to_csv(tmp_path / "semicolons.csv", index=False, sep=";")
    frame.to_parquet(tmp_path / "t.parquet")
    prints = {
        load(f, target="price", base=tmp_path).fingerprint for f in ("t.csv", "t.tsv.gz", "t.parquet", "semicolons.csv")
    }
    assert len(prints) == 1
    np.savez(tmp_path / "t.npz", x=frame[["a"]].to_numpy(), y=frame.price.to_numpy())
    data = load("t.npz", base=tmp_path)
    assert data.kind == "regression"
    assert abs(float(data.train.y.mean())) < 1e-5


def test_a_function_may_return_anything_sensible(tmp_path: Path):
    (tmp_path / "mydata.py").write_text(
        "import numpy as np, pandas as pd\n"
        "x = np.random.default_rng(0).normal(size=(60, 3))\n"
        "def pair(): return x, (x[:, 0] > 0).astype(int)\n"
        "def table(): return pd.DataFrame(x, columns=list('abc')).assign(t=x[:, 0] > 0), 't'\n"
        "def part(a, b): return x[a:b], x[a:b, 0]\n"
        "def parts(): return {'train': part(0, 40), 'val': part(40, 50), 'test': part(50, 60)}\n"
        "def odd(): return 3\n"
    )
    assert load("mydata:pair", base=tmp_path).kind == "classification"
    assert load("mydata:table", base=tmp_path).classes == [False, True]
    parts = load("mydata:parts", base=tmp_path)
    assert [len(p) for p in (parts.train, parts.val, parts.test)] == [40, 10, 10]
    with pytest.raises(DataError, match="did you mean 'table'"):
        load("mydata:tabel", base=tmp_path)
    with pytest.raises(DataError, match="got int"):
        load("mydata:odd", base=tmp_path)
    with pytest.raises(DataError, match="no module 'mydatta'"):
        load("mydatta:pair", base=tmp_path)


def test_a_data_function_does_not_shadow_the_standard_library(tmp_path: Path):
    (tmp_path / "colorsys.py").write_text("raise RuntimeError('the file of the user was imported')\n")
    (tmp_path / "data_beside.py").write_text(
        "import colorsys\nimport numpy as np\n"
        "def pair(): return np.arange(60.0)[:, None], np.arange(60) % 2 + colorsys.rgb_to_hsv(0, 0, 0)[2]\n"
    )
    sys.modules.pop("colorsys", None)
    assert load("data_beside:pair", base=tmp_path).classes == [0, 1]
    with pytest.raises(DataError, match="data_beside:np is not a function"):
        load("data_beside:np", base=tmp_path)


def test_torch_tensors_are_arrays():
    x = torch.randn(40, 3)
    data = load((x, (x[:, 0] > 0).long()))
    assert data.classes == [0, 1]


def test_a_numeric_target_may_be_classes_or_quantities():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 2))
    assert load((x, rng.integers(0, 5, 200))).kind == "classification"
    assert load((x, rng.integers(0, 190, 200))).kind == "regression"
    assert load((x, rng.integers(0, 5, 200)), prepare={"task": "regression"}).kind == "regression"
    assert load((x, rng.normal(size=(200, 2)))).outputs == 2


def test_rows_without_a_target_are_left_out_and_noted():
    frame = pd.DataFrame({"a": np.arange(60) / 7, "y": [None, "u", "v"] * 20})
    data = load(frame, target="y")
    assert len(data.train) + len(data.val) + len(data.test) == 40
    assert any("20 rows without" in note for note in data.notes)


@pytest.mark.parametrize(
    ("frame", "target", "message"),
    [
        (
            pd.DataFrame({"price": [1.0] * 40, "a": range(40)}),
            "pirce",
            "target 'pirce' is not a column; did you mean 'price'",
        ),
        (pd.DataFrame({"price": ["x"] * 40, "a": range(40)}), "price", "single value, 'x'"),
        (pd.DataFrame({"price": [None] * 40, "a": range(40)}), "price", "no value in any row"),
        (pd.DataFrame({"price": ["x", "y"] * 3, "a": range(6)}), "price", "6 rows are too few"),
        (pd.DataFrame({"price": ["x", "y"] * 20, "a": [1] * 40}), "price", "no column is left"),
        (pd.DataFrame({"price": [f"n{k}" for k in range(40)], "a": range(40)}), "price", "identifier"),
        (pd.DataFrame({"a": range(40)}), None, "needs `target:`"),
    ],
)
def test_data_that_cannot_be_learned_from(frame, target, message):
    with pytest.raises(DataError, match=message):
        load(frame, target=target)


def test_files_that_cannot_be_read(tmp_path: Path):
    (tmp_path / "bad.csv").write_text("a,b\n1,2\n1,2,3\n")
    (tmp_path / "longer.csv").write_text("a,b\n1,2,3\n4,5,6\n")
    (tmp_path / "empty.csv").write_text("")
    (tmp_path / "cut.tsv.gz").write_bytes(gzip.compress(b"a\tb\n1\t2\n")[:-9])
    for name, message in [("bad.csv", "line 3"), ("longer.csv", "more fields"), ("empty.csv", "is empty")]:
        with pytest.raises(DataError, match=message):
            load(name, target="a", base=tmp_path)
    with pytest.raises(DataError, match=r"cut\.tsv\.gz cannot be read"):
        load("cut.tsv.gz", target="a", base=tmp_path)
    with pytest.raises(DataError, match=r"no file .*did you mean 'empty.csv'"):
        load("emptty.csv", target="a", base=tmp_path)
    with pytest.raises(DataError, match="did you mean 'digits'"):
        load("digit", base=tmp_path)


def test_shapes_are_integers_that_know_their_layout_and_need_no_torch():
    inputs = Inputs((3, 8, 8))
    assert inputs == 192
    assert Inputs.from_json(inputs.to_json()).shape == (3, 8, 8)
    assert Outputs.from_json(Outputs(5, "values").to_json()).kind == "values"
    code = "import sys, automl.data.shapes, automl.metrics.registry, automl.models; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


@pytest.mark.parametrize(
    ("table", "kind", "outputs"), [("adult", "classification", 2), ("537_houses", "regression", 1)]
)
def test_real_tables(shared_data: Path, table, kind, outputs):
    data = load(shared_data / "tables" / f"{table}.tsv.gz", target="target", prepare={"rows": 2000})
    assert (data.kind, int(data.outputs)) == (kind, outputs)
    assert len(data.train) == 1000
