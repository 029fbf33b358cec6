"""Tables whose targets do not fit into memory: split row by row, with the same targets and weights as in memory."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from automl.data import load
from automl.data.prepared import Prepared
from automl.data.streaming import streaming
from automl.data.streaming.passes.scan import uniform
from automl.data.streaming.request import Request, Sizes
from automl.errors import DataError

ROWS = 6000
PARTS = ("train", "val", "test")
LARGE = Sizes(shard=2**12, chunk=2**14, known=1000)


pytestmark = pytest.mark.usefixtures("cache")


def table() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"n": np.arange(ROWS) % 997, "a": rng.normal(size=ROWS)})
    frame["w"] = rng.integers(1, 4, ROWS)
    frame["group"] = rng.integers(0, 40, ROWS)
    frame["when"] = pd.Timestamp("2021-01-01") + pd.to_timedelta(rng.integers(0, 500, ROWS), unit="h")
    frame["y"] = np.where(frame.a > 0.3, "yes", "no").astype(object)
    frame.loc[[5, 500, 1500, 2500, 5999], "y"] = "rare"
    frame.loc[[7, 77], "y"] = None
    return frame


def both(folder: Path, frame: pd.DataFrame, suffix: str, split: dict[str, object], **prepare: object):
    """The table in memory, and streamed as one that is too large for its targets."""
    file = folder / f"t{suffix}"
    frame.to_parquet(file, row_group_size=700) if suffix == ".parquet" else frame.to_csv(file, index=False)
    prepare = {"types": {"n": "number"}, **prepare}
    whole = load(file.name, base=folder, target="y", split=split, seed=3, prepare={**prepare, "memory": "1GB"})
    return whole, streaming.load(Request.of(file, "y", split, prepare, 3, sizes=LARGE))


def rows(data: Prepared, part: str) -> list[tuple[float, ...]]:
    """Inputs and targets of a part, sorted."""
    own = getattr(data, part)
    return sorted(map(tuple, torch.cat([own.x, own.y.reshape(len(own), -1)], 1).tolist()))


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_parts_at_random_have_their_shares_and_rare_classes_exact_ones(tmp_path, suffix):
    whole, data = both(
        tmp_path, table().drop(columns=["when", "group"]), suffix, {}, weight="w", class_weight="balanced"
    )
    assert data.classes == whole.classes == ["no", "rare", "yes"]
    sizes = [len(data.train), len(data.val), len(data.test)]
    assert sum(sizes) == ROWS - 2
    assert np.allclose(sizes, [0.5 * ROWS, 0.25 * ROWS, 0.25 * ROWS], atol=5 * np.sqrt(ROWS / 4))
    assert [int((part.y == 1).sum()) for part in (data.train, data.val, data.test)] == [2, 2, 1]
    assert data.train.weight is not None
    assert float(data.train.weight.mean()) == pytest.approx(1, abs=1e-4)
    totals = [float(data.train.weight[data.train.y == k].sum()) for k in range(3)]
    assert totals == pytest.approx([len(data.train) / 3] * 3, rel=1e-4)
    assert any("2 rows without a finite target 'y' left out" in note for note in data.notes)
    ours, theirs = (np.array([row for part in PARTS for row in rows(one, part)]) for one in (data, whole))
    assert np.allclose(ours[:, 1:].sum(axis=0), theirs[:, 1:].sum(axis=0), atol=0.05 * ROWS)
    assert np.array_equal(np.unique(ours[:, -1], return_counts=True), np.unique(theirs[:, -1], return_counts=True))


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_parts_by_time_are_those_of_a_table_in_memory(tmp_path, suffix):
    rule = {"time": "when", "train": 0.6, "val": 0.2, "test": 0.2}
    whole, data = both(tmp_path, table().drop(columns=["group"]), suffix, rule)
    for part in ("train", "val", "test"):
        assert [len(getattr(one, part)) for one in (whole, data)] == [len(getattr(data, part))] * 2
        assert rows(data, part) == rows(whole, part)


def test_parts_by_group_are_those_of_a_table_in_memory_in_size_and_share_no_group(tmp_path):
    frame = table().drop(columns=["when"])
    frame["same"] = frame.group.astype(float)
    whole, data = both(tmp_path, frame, ".parquet", {"group": "group"})
    groups = [{row[data.columns.index("same")] for row in rows(data, part)} for part in ("train", "val", "test")]
    assert not groups[0] & groups[1] | groups[0] & groups[2] | groups[1] & groups[2]
    assert len(data.train) == pytest.approx(len(whole.train), abs=200)


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_values_have_their_unit_from_all_training_rows(tmp_path, suffix):
    frame = table().drop(columns=["when", "group"])
    frame["y"] = (frame.a * 100 + 7).where(frame.n > 3)
    _, data = both(tmp_path, frame, suffix, {})
    entry = data.preparation["target"]
    assert float(data.train.y.mean()) == pytest.approx(0, abs=1e-5)
    assert float(data.train.y.std(correction=0)) == pytest.approx(1, abs=1e-5)
    assert entry["center"][0] == pytest.approx(7, abs=5)
    assert entry["scale"][0] == pytest.approx(100, abs=5)


def test_fewer_rows_where_they_are_asked_for(tmp_path):
    _, data = both(tmp_path, table().drop(columns=["when", "group"]), ".parquet", {}, rows=2000)
    used = len(data.train) + len(data.val) + len(data.test)
    assert used == pytest.approx(2000, abs=200)
    assert any(f"{used} of 5998 rows used" in note for note in data.notes)


@pytest.mark.parametrize(("change", "message"), [
    ({"y": "no"}, "single value"), ({"w": -1}, "finite weight of at least 0"), ({"y": range(ROWS)}, "identifier"),
])  # fmt: skip
def test_what_cannot_be_learned_is_told(tmp_path, change, message):
    frame = table().drop(columns=["when", "group"]).assign(**change)
    frame["y"] = [f"n{y}" for y in frame.y] if message == "identifier" else frame.y
    frame.to_parquet(tmp_path / "t.parquet")
    with pytest.raises(DataError, match=message):
        streaming.load(Request.of("t.parquet", "y", {}, {"weight": "w"}, 3, tmp_path, LARGE))


def test_a_row_has_the_same_number_however_rows_are_read():
    whole = uniform(5, 0, 1000)
    assert np.array_equal(np.concatenate([uniform(5, 0, 300), uniform(5, 300, 700)]), whole)
    assert abs(whole.mean() - 0.5) < 0.03
    assert len(np.unique(whole)) == 1000
    assert not np.array_equal(uniform(6, 0, 1000), whole)
