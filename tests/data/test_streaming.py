"""Tables that stay on disk: the same rows in the same parts, every row once an epoch, within a limit of memory."""

import os
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

import automl
from automl.core.trial import Metric, State
from automl.data import load
from automl.data.preparing.transform import transform
from automl.data.streaming import cache as caching
from automl.data.streaming import streaming
from automl.data.streaming.request import Request, Sizes
from automl.data.streaming.shards import Streamed
from automl.errors import AutoMLError, DataError, EnvironmentProblem
from automl.models import build
from automl.tasks.builtin import BuiltinTask
from automl.training import Trainer
from automl.training.batches import batches_of

CPU = torch.device("cpu")


SMALL = Sizes(shard=2**12, chunk=2**15)


pytestmark = pytest.mark.usefixtures("cache")


def table(rows: int = 3000) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {"a": rng.normal(size=rows), "b": rng.choice(["x", "y", "z"], rows), "c": rng.normal(size=rows)}
    )
    frame.loc[rng.random(rows) < 0.1, "a"] = np.nan
    frame["w"] = rng.integers(1, 4, rows)
    frame["when"] = np.arange(rows)[::-1]
    frame["y"] = np.where(frame.c + (frame.b == "x") + rng.normal(size=rows) > 0.3, "yes", "no")
    return frame.sort_values("y", ignore_index=True)  # a file in the worst of orders


def both(file: Path, split: dict[str, object] | None = None, **prepare: object):
    """The table read into memory, and streamed from disk in small shards."""
    whole = load(file.name, base=file.parent, target="y", split=split, seed=3, prepare={**prepare, "memory": "1GB"})
    return whole, streaming.load(Request.of(file, "y", split or {}, prepare, 3, sizes=SMALL))


@pytest.mark.parametrize("suffix", [".csv", ".csv.gz", ".tsv", ".parquet"])
def test_the_same_rows_in_the_same_parts(tmp_path, suffix):
    file = tmp_path / f"t{suffix}"
    frame = table()
    if suffix == ".parquet":
        frame.to_parquet(file)
    else:
        frame.to_csv(file, index=False, sep="\t" if suffix == ".tsv" else ",")
    whole, streamed = both(file, weight="w")
    assert isinstance(streamed.train, Streamed)
    assert not isinstance(whole.train, Streamed)
    assert len(streamed.train.edges) > 4
    assert torch.equal(whole.val.x, streamed.val.x)
    assert torch.equal(whole.test.y, streamed.test.y)
    assert whole.val.weight is not None
    assert torch.equal(whole.val.weight, streamed.val.weight)
    assert {**whole.preparation} == {**streamed.preparation}
    assert torch.equal(*(transform(whole.preparation, sample) for sample in (whole.sample, streamed.sample)))
    ours, theirs = (torch.cat([p.x, p.y[:, None]], 1).numpy() for p in (whole.train, streamed.train))
    assert not np.array_equal(ours, theirs)  # in another order
    assert np.array_equal(ours[np.lexsort(ours.T)], theirs[np.lexsort(theirs.T)])
    assert any("streamed from disk: 3,000 rows" in note for note in streamed.notes)


def test_split_by_time_and_a_limit_on_rows(tmp_path):
    file = tmp_path / "t.csv"
    table().to_csv(file, index=False)
    whole, streamed = both(file, {"time": "when", "train": 0.6, "val": 0.2, "test": 0.2}, rows=1000)
    assert (len(streamed.train), len(streamed.val)) == (600, 200)
    assert torch.equal(whole.val.x, streamed.val.x)


def test_regression_has_its_unit_from_all_training_rows(tmp_path):
    file = tmp_path / "t.csv"
    table().assign(y=lambda t: t.c * 100 + 7).to_csv(file, index=False)
    whole, streamed = both(file)
    assert whole.preparation["target"] == streamed.preparation["target"]
    assert torch.equal(whole.test.y, streamed.test.y)


def test_each_epoch_has_every_row_once_in_a_new_order(tmp_path):
    file = tmp_path / "t.csv"
    table().to_csv(file, index=False)
    part = both(file)[1].train

    def epoch(seed: int) -> list[torch.Tensor]:
        return [batch.x for batch in batches_of(replace(part, seed=seed), CPU, 0).epoch(0, 64)]

    first, again, other = epoch(0), epoch(0), epoch(1)
    assert [len(x) for x in first] == [64] * (len(part) // 64) + [len(part) % 64]
    assert torch.equal(torch.cat(first), torch.cat(again))
    assert not torch.equal(torch.cat(first), torch.cat(other))
    ours, all_rows = torch.cat(first).numpy(), part.x.numpy()
    assert np.array_equal(ours[np.lexsort(ours.T)], all_rows[np.lexsort(all_rows.T)])
    shares = [float((batch.y == 1).float().mean()) for batch in batches_of(part, CPU, 0).epoch(0, 64)]
    assert np.std(shares[:-1]) < 0.1  # though the file is sorted by class


def test_training_rows_can_be_joined_with_validation_rows(tmp_path):
    file = tmp_path / "t.csv"
    table().to_csv(file, index=False)
    data = both(file)[1]
    joined = data.train + data.val
    assert torch.equal(joined.x[len(data.train) :], data.val.x)
    assert sum(len(b) for b in batches_of(joined, CPU, 0).epoch(0, 64)) == len(joined)
    with pytest.raises(ValueError, match="in one file"):
        data.val + data.train


def test_single_rows_are_read_into_memory_of_their_own(tmp_path):
    file = tmp_path / "t.csv"
    table().to_csv(file, index=False)
    part = both(file, weight="w")[1].val
    rows = torch.tensor([0, 3, len(part) - 1])
    found = part.at(rows)
    assert torch.equal(found.x, part.x[rows])
    assert torch.equal(found.y, part.y[rows])
    assert torch.equal(found.weight, part.weight[rows])
    os.truncate(part.file, part.file.stat().st_size // 4)
    with pytest.raises(EnvironmentProblem, match="is damaged"):
        part.at(rows)


def test_it_is_prepared_once_and_again_when_the_file_changes(tmp_path, cache):
    file = tmp_path / "t.csv"
    table().to_csv(file, index=False)
    first = both(file)[1]
    before = {path: path.stat().st_mtime_ns for path in cache.rglob("x.bin")}
    assert both(file)[1].fingerprint == first.fingerprint
    assert {path: path.stat().st_mtime_ns for path in cache.rglob("x.bin")} == before
    table(3500).to_csv(file, index=False)
    assert both(file)[1].fingerprint != first.fingerprint
    assert len(list(cache.rglob("x.bin"))) == 2
    assert not list(cache.glob(".*"))  # no unfinished folder is left


def test_training_learns_the_same_and_resumes_exactly(tmp_path):
    file = tmp_path / "t.csv"
    table().to_csv(file, index=False)
    whole, streamed = both(file)
    config = {"width": 16, "lr": 1e-2, "batch_size": 64, "norm": "batch"}
    one, other = (Trainer(build("mlp"), data, config, 4, seed=0) for data in (whole, streamed))
    reports = [[trainer.epoch() for _ in range(4)] for trainer in (one, other)]
    assert reports[1][-1]["val_auroc"] == pytest.approx(reports[0][-1]["val_auroc"], abs=0.03)
    half = Trainer(build("mlp"), streamed, config, 4, seed=0)
    half.epoch()
    rest = Trainer(build("mlp"), streamed, config, 4, seed=0)
    rest.load(half.state())
    assert [rest.epoch() for _ in range(3)] == reports[1][1:]


def test_labels_that_are_numbers_here_and_text_there(tmp_path):
    file = tmp_path / "t.csv"
    rng = np.random.default_rng(0)
    labels = [*map(str, rng.integers(1, 3, 2500)), *rng.choice(["1", "a"], 500)]
    table().assign(y=labels).to_csv(file, index=False)
    whole, streamed = both(file)
    assert streamed.classes == whole.classes == ["1", "2", "a"]
    assert torch.equal(whole.val.y, streamed.val.y)


@pytest.mark.parametrize("line", ["1,2,3,4,5,6,7,8,9\n", '"open\n'])
def test_a_broken_file_is_reported(tmp_path, line):
    file = tmp_path / "t.csv"
    table().to_csv(file, index=False)
    file.write_text(file.read_text() + line)
    with pytest.raises(DataError, match=r"t\.csv"):
        load("t.csv", base=tmp_path, target="y", prepare={"memory": "1KB"})


SPEC = """
model: mlp
data: t.csv
target: y
prepare: {memory: 1KB}
metric: val_auroc
epochs: 3
space: {depth: 1, width: 16, lr: {float: [1e-3, 1e-2], log: true}, optimizer: adamw, batch_size: 64}
stopper: none
budget: {trials: 3}
finalists: {top: 1, seeds: 1}
refit: train+val
"""


def test_a_whole_search(tmp_path):
    table().to_csv(tmp_path / "t.csv", index=False)
    (tmp_path / "space.yaml").write_text(SPEC)
    study = automl.search(tmp_path / "space.yaml", path=tmp_path / "s", executor="inline", workers=1)
    assert all(t.state is State.DONE for t in study.history.trials)
    assert study.verdict is not None
    assert study.verdict["test"]["value"] > 0.75
    assert len(automl.load(study.path).predict(table(50).drop(columns="y"))) == 50


def test_a_search_on_many_files_notices_that_one_has_changed(tmp_path):
    for k in range(2):
        (tmp_path / "t").mkdir(exist_ok=True)
        table().to_csv(tmp_path / "t" / f"{k}.csv", index=False)
    (tmp_path / "space.yaml").write_text(SPEC.replace("t.csv", "t"))
    study = automl.search(tmp_path / "space.yaml", path=tmp_path / "s", executor="inline", workers=1, trials=1)
    assert study.best is not None
    table(2000).to_csv(tmp_path / "t" / "1.csv", index=False)
    with pytest.raises(AutoMLError, match=r"\bt\b.*chang"):
        automl.resume(tmp_path / "s")


def test_the_file_is_not_sent_with_the_task(tmp_path):
    table().to_csv(tmp_path / "t.csv", index=False)
    task = BuiltinTask("mlp", "t.csv", 1, Metric("val_auroc", "maximize"), "y", prepare={"memory": "1KB"},
                         folder=tmp_path)  # fmt: skip
    assert task.with_data().sent is None


@pytest.mark.parametrize("wrong", ["much", "0GB", "12", "-1MB"])
def test_a_wrong_size_is_reported(tmp_path, wrong):
    table(100).to_csv(tmp_path / "t.csv", index=False)
    with pytest.raises(DataError, match=r"prepare\.memory"):
        load("t.csv", base=tmp_path, target="y", prepare={"memory": wrong})


def test_a_missing_target_is_reported(tmp_path):
    table().to_csv(tmp_path / "t.csv", index=False)
    with pytest.raises(DataError, match="target 'yy' is not a column"):
        load("t.csv", base=tmp_path, target="yy", prepare={"memory": "1KB"})


def test_files_unused_for_a_month_are_deleted_when_another_table_is_prepared(tmp_path, cache):
    files = [tmp_path / f"{name}.csv" for name in ("old", "used", "new")]
    for file in files:
        table(300).to_csv(file, index=False)
    for file in files[:2]:
        both(file)
    long_ago = time.time() - caching.UNUSED_S - 60
    for meta in cache.glob("*/meta.json"):
        os.utime(meta, (long_ago, long_ago))
    both(files[1])  # opened again
    both(files[2])
    assert {path.name.partition("-")[0] for path in cache.iterdir() if path.is_dir()} == {"used", "new"}
    whole, streamed = both(files[0])  # prepared again
    assert len(whole.train) == len(streamed.train)
