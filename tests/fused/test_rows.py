"""Lanes on streams, and steps that are no epochs: one reading for all lanes, and the same numbers in any company."""

import numpy as np
import pytest
import torch

from automl.data.prepared import Part
from automl.data.shapes import Inputs, Outputs
from automl.data.streaming.shards import Streamed, mapped
from automl.fused.engine import Engine
from automl.fused.problem import Entry, Options, Problem
from automl.fused.signature import MIXES
from automl.models.mlp import build
from automl.training.samples.units import EPOCH, Unit

INPUTS, OUTPUTS = Inputs((6,)), Outputs(3)
CONFIG = {"width": 9, "depth": 1, "dropout": 0.2, "batch_size": 32, "schedule": "cosine", "norm": "batch"}
HALF = Unit("samples", 512)  # 16 updates, of 1,000 samples an epoch


def rows(n, seed=0):
    x = torch.randn(n, 6, generator=torch.Generator().manual_seed(seed))
    return Part(x, x[:, :3].argmax(1))


def streamed(folder, n=1000, weight=None):
    part = rows(n)
    part.x.numpy().tofile(folder / "x.bin")
    part.y.numpy().tofile(folder / "y.bin")
    if weight is not None:
        weight.numpy().tofile(folder / "weight.bin")
    x = mapped(folder / "x.bin", 0, n, 6)
    return Streamed(x, part.y, weight, folder / "x.bin", 0, (*range(0, n, 90), n), seed=4)


def engine(train, unit=EPOCH, mixes=(), **problem):
    made = Problem(build, INPUTS, OUTPUTS, "classification", train, rows(300, 1), unit=unit, mixes=mixes, **problem)
    return Engine(made, Options(fuse="require"))


def entry(k, epochs=4, state=None, **config):
    return Entry(k, {**CONFIG, "lr": 1e-3 * (k + 1), **config}, 10 + k, epochs, state)


def curves(machine, steps):
    """By trial what it reported, step by step, in as many digits as a trial reports."""
    found = {}
    for _ in range(steps):
        report = machine.run_epoch()
        for k, trial in enumerate(report.trials):
            found.setdefault(trial, []).append(
                {n: float(f"{v[k]:.6g}") for n, v in report.metrics.items() if v[k] == v[k]}
            )
    return found


@pytest.mark.parametrize("unit", [EPOCH, HALF, Unit("batches", 45)])
@pytest.mark.parametrize("on_disk", [False, True])
def test_a_lane_has_the_same_curve_in_any_company_and_after_any_stop(tmp_path, unit, on_disk):
    train = streamed(tmp_path) if on_disk else rows(1000)
    together = engine(train, unit)
    together.admit([entry(k) for k in range(3)], together=True)
    begun = curves(together, 1)
    late = entry(7)
    together.release([1])
    together.admit([late], together=True)  # at another place of the stream than its companions
    state = together.snapshot([0])[0]
    whole = curves(together, 3)
    assert [len(whole[k]) for k in (0, 2, 7)] == [3, 3, 3]
    alone = engine(train, unit)
    alone.admit([late], together=True)
    assert curves(alone, 3)[7] == whole[7]
    resumed = engine(train, unit)
    resumed.admit([entry(0, state=state), entry(5)], together=True)
    assert curves(resumed, 3)[0] == whole[0]
    assert whole[0][-1]["val_loss"] < begun[0][0]["val_loss"]


def test_all_lanes_read_each_shard_once(tmp_path):
    machine = engine(streamed(tmp_path), HALF)
    machine.admit([entry(k, epochs=8) for k in range(4)], together=True)
    for _ in range(6):
        machine.run_epoch()
    stream = machine.problem.rows.stream
    passed = 6 * 512 / 90  # shards' worth of rows
    assert stream.read <= passed + 6


MIXED = [{"width": 5, "batch_size": 32}, {"width": 30, "depth": 2, "batch_size": 32}, {"width": 12, "batch_size": 100},
         {"width": 20, "batch_size": 8, "optimizer": "sgd"}]  # fmt: skip


@pytest.mark.parametrize("unit", [EPOCH, HALF])
def test_lanes_of_different_batch_sizes_share_the_reading_and_keep_their_curves(tmp_path, unit):
    train = streamed(tmp_path)
    machine = engine(train, unit, MIXES["mlp"])
    machine.admit([entry(k, **config) for k, config in enumerate(MIXED)], together=True)
    whole = curves(machine, 3)
    seen = 3 * (len(train) if unit.is_epoch else 512)
    assert machine.problem.rows.stream.read <= seen / 90 + 8
    for k, config in enumerate(MIXED):
        alone = engine(train, unit, MIXES["mlp"])
        alone.admit([entry(k, **config)], together=False)
        assert curves(alone, 3)[k] == whole[k]


def test_a_lane_alone_sees_the_samples_of_the_stream_in_the_same_batches(tmp_path):
    train = streamed(tmp_path, weight=torch.linspace(0.5, 1.5, 1000))
    machine = engine(train)
    stream, seen = machine.problem.rows, []
    machine.admit([entry(0, dropout=0.0)], together=True)
    lanes = [machine.runners[key][0].group.lanes[0] for key in machine.runners]
    source = stream.source([lanes[0], None], 32, 32, lambda shape, dtype: torch.empty(shape, dtype=dtype))
    for s in range(32):
        x = source.x(s)
        assert torch.equal(x[0], x[1])
        assert torch.equal(source.y(s)[0], x[0][:, :3].argmax(1))
        assert source.weight(s).shape == x.shape[:2]
        seen.append(x[0].clone())
    assert [len(x) for x in seen] == [32] * 31 + [8]
    assert source.is_full(30)
    assert not source.is_full(31)
    whole = torch.cat(seen)
    assert len(whole.unique(dim=0)) == len(whole) == 1000


def test_steps_are_measured_on_a_sample_and_the_last_one_on_all_rows():
    val = rows(300, 1)
    some = val.head(40)
    machine = engine(rows(200), sample=some)
    machine.admit([entry(0, epochs=3), entry(1, epochs=2)], together=True)
    plain = engine(rows(200))
    plain.admit([entry(0, epochs=3), entry(1, epochs=2)], together=True)
    sampled, whole = curves(machine, 3), curves(plain, 3)
    assert sampled[0][0]["val_accuracy"] != whole[0][0]["val_accuracy"]
    assert np.isclose(sampled[0][0]["val_accuracy"] * 40, round(sampled[0][0]["val_accuracy"] * 40))
    assert sampled[0][2] == whole[0][2]
    assert sampled[1][1] == whole[1][1]
    assert sampled[0][1] != whole[0][1]
    kept = engine(rows(200), sample=some, at_end=False)
    kept.admit([entry(1, epochs=2)], together=True)
    assert curves(kept, 2)[1][1] != whole[1][1]
