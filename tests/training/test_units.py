"""Steps that are no epochs: what they hold, in which order samples come, and that a trial goes on in the middle."""

from pathlib import Path

import numpy as np
import pytest
import torch

from automl.data import load
from automl.data.prepared import Part
from automl.data.streaming.shards import Streamed, mapped
from automl.models import build
from automl.training import Trainer
from automl.training.batches import batches_of
from automl.training.samples import order
from automl.training.samples.row_stream import RowStream
from automl.training.samples.units import Unit
from automl.training.samples.validation import Validation, sample

CPU = torch.device("cpu")
CONFIG = {"width": 8, "lr": 1e-2, "batch_size": 32, "schedule": "cosine", "warmup": 0.2, "dropout": 0.1}


def streamed(folder: Path, rows: int = 1000, seed: int = 0) -> Streamed:
    """A part of rows (k, -k) with target k % 7, in shards of 100 to 148 rows."""
    numbers = torch.arange(rows)
    x = torch.stack([numbers, -numbers], 1).float()
    x.numpy().tofile(folder / "x.bin")
    (numbers % 7).numpy().tofile(folder / "y.bin")
    edges = [0, *np.cumsum(100 + np.arange(rows // 125) * 6 % 50).tolist()]
    edges = (*(e for e in edges if e < rows - 50), rows)
    return Streamed(mapped(folder / "x.bin", 0, rows, 2), numbers % 7, None, folder / "x.bin", 0, edges, seed)


@pytest.mark.parametrize("samples", [1, 2, 3, 17, 100, 1025])
def test_an_order_has_every_sample_once_an_epoch_and_any_part_of_it_can_be_had(samples):
    whole = order.drawn([3, 2**62], [0, 5 * samples], 3 * samples, samples, "cpu")
    for lane in whole:
        for epoch in lane.split(samples):
            assert torch.equal(epoch.sort().values, torch.arange(samples))
    part = order.drawn([2**62], [6 * samples - 1], samples, samples, "cpu")[0]
    assert torch.equal(part, whole[1, samples - 1 : 2 * samples - 1])
    if samples > 10:
        assert not torch.equal(whole[0, :samples], whole[0, samples : 2 * samples])
        assert not torch.equal(whole[0, :samples], whole[1, :samples])


def test_all_orders_of_few_samples_come_equally_often():
    found = order.drawn(range(6000), [0] * 6000, 3, 3, "cpu")
    counts = np.unique(found.numpy(), axis=0, return_counts=True)[1]
    assert len(counts) == 6
    assert ((counts - 1000.0) ** 2 / 1000).sum() < 25  # chi-squared with 5 degrees of freedom: p = .0001


def test_units_are_full_batches():
    assert Unit("samples", 1000).updates(10**9, 256) == 4
    assert Unit("samples", 10).updates(10**9, 256) == 1
    assert Unit("batches", 7).updates(10**9, 256) == 7
    assert Unit("tokens", 4096).of_sequences(64) == Unit("samples", 64)
    assert Unit().updates(1001, 100) == 10  # the one sample that is left over is skipped
    assert str(Unit("samples", 10**6)) == "1,000,000 samples"
    assert Unit.of({"samples": 5, "number": 3}) == Unit("samples", 5)
    assert Unit.of({}) == Unit()


def test_a_stream_has_every_row_once_an_epoch_from_any_place(tmp_path):
    part = streamed(tmp_path)
    with (rows := RowStream(part, CPU)).reading():
        whole = torch.cat([rows.take(first, 64).x[:, 0] for first in range(0, 1984, 64)])
    for epoch in (whole[:1000], whole[1000:]):
        assert len(epoch.unique()) == len(epoch)
    assert rows.read <= 2 * len(part.edges)
    assert not torch.equal(whole[:984], whole[1000:1984])
    elsewhere = RowStream(part, CPU)
    assert torch.equal(elsewhere.take(777, 500).x[:, 0], whole[777:1277])
    assert torch.equal(elsewhere.take(777, 500).y, whole[777:1277].long() % 7)
    assert not torch.equal(RowStream(streamed(tmp_path, seed=1), CPU).take(0, 500).x[:, 0], whole[:500])


def test_places_that_are_read_in_turns_read_each_shard_once(tmp_path):
    rows = RowStream(streamed(tmp_path), CPU)
    with rows.reading(places=2):
        for first in range(0, 900, 30):
            rows.take(first, 30)
            rows.take(2500 + first, 30)
    assert rows.read <= 2 * len(rows.part.edges)
    assert len(rows._shards) <= 2 * 4


def test_a_file_that_cannot_be_read_ends_the_stream(tmp_path):
    part = streamed(tmp_path)

    class Broken(Streamed):
        def read(self, shard, order, device):
            raise OSError("the disk is gone")

    rows = RowStream(Broken(part.x, part.y, None, part.file, 0, part.edges), CPU)
    with pytest.raises(OSError, match="the disk is gone"), rows.reading():
        rows.take(0, 10)


@pytest.mark.parametrize("on_disk", [False, True])
def test_batches_are_full_and_go_on_after_an_epoch(tmp_path, on_disk):
    part = streamed(tmp_path)
    rows = batches_of(part if on_disk else Part(part.x, part.y), CPU, seed=5)
    whole = list(rows.stretch(0, 40, 64))
    assert {len(batch) for batch in whole} == {64}
    first = torch.cat([batch.x[:, 0] for batch in whole])[:1000]
    assert len(first.unique()) == 1000
    again = list(rows.stretch(13, 27, 64))
    assert all(torch.equal(a.x, b.x) and torch.equal(a.y, b.y) for a, b in zip(again, whole[13:], strict=True))
    assert [len(batch) for batch in rows.epoch(3, 64)] == [64] * 15 + [40]


@pytest.mark.parametrize("on_disk", [False, True])
def test_a_trial_goes_on_in_the_middle_of_an_epoch(tmp_path, on_disk):
    data = load("digits")
    if on_disk:
        x = data.train.x.flatten(1).contiguous()
        x.numpy().tofile(tmp_path / "x.bin")
        data.train.y.numpy().tofile(tmp_path / "y.bin")
        edges = (0, *range(100, len(x), 100), len(x))
        file = mapped(tmp_path / "x.bin", 0, *x.shape)
        part = Streamed(file.view(-1, *data.train.x.shape[1:]), data.train.y, None, tmp_path / "x.bin", 0, edges)
        data = type(data)(**{**vars(data), "train": part})
    unit = Unit("samples", 300)

    def trainer() -> Trainer:
        return Trainer(build("mlp"), data, CONFIG, 6, seed=3, unit=unit)

    one = trainer()
    whole = [one.epoch() for _ in range(6)]
    assert one.steps == 9
    half = trainer()
    for _ in range(2):
        half.epoch()
    rest = trainer()
    rest.load(half.state())
    assert [rest.epoch() for _ in range(4)] == whole[2:]
    assert whole[-1]["val_loss"] < whole[0]["val_loss"]


def test_steps_are_measured_on_the_same_sample_and_the_last_one_on_all_rows():
    data = load("digits")
    some = sample(data.val, 50, seed=1)
    assert some is not None
    assert torch.equal(some.x, sample(data.val, 50, seed=1).x)
    assert not torch.equal(some.x, sample(data.val, 50, seed=2).x)
    assert len(sample(data.val, 200, seed=1).x.flatten(1).unique(dim=0)) > 190
    assert sample(data.val, len(data.val), seed=1) is None
    trainer = Trainer(build("mlp"), data, CONFIG, 2, 0, unit=Unit("batches", 5), validation=Validation(data.val, some))
    for part in (some, data.val):
        assert trainer.epoch()["val_accuracy"] == trainer.evaluate(part)["accuracy"]
    kept = Validation(data.val, some, at_end=False)
    assert kept.part(last=True) is some
