"""Measuring a model on streamed rows: the values of all rows at once, in memory that does not grow with them."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from automl import data, metrics
from automl.bundle.io import save
from automl.data.prepared import Part
from automl.evaluation import holdout
from automl.evaluation.holdout import Holdout
from automl.fused.engine import Engine
from automl.fused.problem import Entry, Options, Problem
from automl.metrics import batched, intervals
from automl.metrics import rows as samples
from automl.models import build
from automl.training import Trainer
from automl.training.loop import evaluator
from automl.training.samples import row_stream
from tests.support import peak_memory

CONFIG = {"width": 8, "depth": 1, "batch_size": 256, "lr": 3e-3}
MOST_GROWTH = 24
"""MiB by which ten times as many rows may need more."""
PEAK = """
import sys
from dataclasses import replace
from pathlib import Path
import torch
from automl.evaluation import holdout
from automl.evaluation.holdout import Holdout
from automl.fused.engine import Engine
from automl.fused.problem import Entry, Options, Problem
from automl.models import build
from automl.metrics import batched
from automl.metrics import rows as samples
from automl.training import Trainer
from automl.training.loop import evaluator
from automl.training.samples import row_stream
from tests.data.test_streaming_evaluation import CONFIG, kept, loaded, trained
from tests.support.peak_memory import Peak

torch.set_num_threads(1)
batched.HELD, samples.LARGE, samples.SHOWN, row_stream.AT_ONCE = 2**16, 2**13, 2**12, 2**16
evaluator.EVAL_ROWS = holdout.ROWS = 2**12
prepared = loaded(Path(sys.argv[1]))
trainer = trained(prepared)
few = replace(prepared, val=prepared.val.head(2_000), test=prepared.test.head(2_000))
bundle = kept(Path(sys.argv[1]), trainer, few)
def measure(prepared):
    trainer.evaluate(prepared.val)
    problem = Problem(build("mlp"), prepared.inputs, prepared.outputs, prepared.kind, prepared.train.head(512),
                      prepared.val)
    engine = Engine(problem, Options(fuse="require"))
    engine.admit([Entry(k, CONFIG, k, 1) for k in range(4)], together=True)
    engine.run_epoch()
    scored = Holdout(prepared, build("mlp"), "auroc")
    scored.sample(bundle, "val"), scored.metrics(bundle, "val"), scored.undefined("val")
measure(few)  # everything is imported
peak = Peak()
measure(prepared)
print(len(prepared.val), peak.growth())
"""


def write(folder: Path, rows: int, columns: int = 4) -> None:
    """A table of so many rows."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(rows, columns)).astype(np.float32)
    frame = pd.DataFrame(x, columns=[f"x{k}" for k in range(columns)])
    frame["y"] = np.where(x[:, 0] + rng.normal(size=rows) > 0, "yes", "no")
    frame.to_parquet(folder / "table.parquet", row_group_size=50_000)


def loaded(folder: Path) -> data.Prepared:
    """That table, streamed; most of its rows are for validation."""
    shares = {"train": 0.02, "val": 0.96, "test": 0.02}
    return data.load("table.parquet", base=folder, target="y", prepare={"memory": "1KB"}, split=shares)


def trained(prepared: data.Prepared) -> Trainer:
    """A model that has seen the training rows once."""
    trainer = Trainer(build("mlp"), prepared, CONFIG, 1, seed=0)
    trainer.train_epoch()
    return trainer


def kept(folder: Path, trainer: Trainer, prepared: data.Prepared) -> Path:
    """The model, saved."""
    save(folder / "model", model="mlp", config=CONFIG, prepared=prepared, state_dict=trainer.weights(), metrics={})
    return folder / "model"


@pytest.fixture
def small_limits(monkeypatch):
    """Pieces, and what is held in memory, as small as if there were many more rows."""
    for module, name, value in (
        (batched, "HELD", 1_000),
        (samples, "LARGE", 2_000),
        (samples, "SHOWN", 1_000),
        (evaluator, "EVAL_ROWS", 300),
        (holdout, "ROWS", 300),
        (row_stream, "AT_ONCE", 2_000),
    ):
        monkeypatch.setattr(module, name, value)  # fmt: skip


def test_a_model_alone_is_measured_in_pieces(tmp_path, small_limits):
    write(tmp_path, 6_000)
    prepared = loaded(tmp_path)
    trainer, val = trained(prepared), prepared.val
    found = trainer.evaluate(val)
    wanted = metrics.compute("classification", trainer.predict(val.x), val.y)
    assert {name: found[name] for name in wanted} == pytest.approx(wanted, rel=1e-12)
    assert found["loss"] == found["log_loss"]


def test_lanes_are_measured_in_pieces(tmp_path, small_limits, monkeypatch):
    write(tmp_path, 6_000)
    prepared = loaded(tmp_path)

    def reports(val):
        problem = Problem(build("mlp"), prepared.inputs, prepared.outputs, prepared.kind, prepared.train, val)
        engine = Engine(problem, Options(fuse="require"))
        engine.admit([Entry(k, CONFIG, k, 1) for k in range(3)], together=True)
        return engine.run_epoch().metrics

    streamed = reports(prepared.val)
    monkeypatch.setattr(batched, "HELD", 10**9)
    whole = reports(Part(prepared.val.x.clone(), prepared.val.y.clone()))
    assert list(streamed) == list(whole)
    for name, values in whole.items():
        assert streamed[name] == pytest.approx(values, rel=1e-12), name


@pytest.mark.parametrize("name", ["auroc", "accuracy", "log_loss"])
def test_a_saved_model_is_scored_in_pieces(tmp_path, small_limits, monkeypatch, name):
    write(tmp_path, 6_000)
    prepared = loaded(tmp_path)
    bundle = kept(tmp_path, trained(prepared), prepared)
    many = Holdout(prepared, build("mlp"), name)
    found, every = many.sample(bundle, "val"), many.metrics(bundle, "val")
    again = many.sample_of(many.outputs(bundle, "val"), "val")
    monkeypatch.setattr(samples, "LARGE", 10**9)
    few = Holdout(prepared, build("mlp"), name)
    wanted = few.sample(bundle, "val")
    assert len(found) == 1_000
    assert found.count == len(wanted) == len(prepared.val)
    assert found.value == pytest.approx(wanted.value, rel=1e-12)
    assert again.value == pytest.approx(wanted.value, rel=1e-12)
    assert every == pytest.approx(few.metrics(bundle, "val"), rel=1e-12)
    low, high = intervals.interval(wanted, draws=200)
    assert intervals.interval(found) == pytest.approx((low, high), abs=0.2 * (high - low))


@pytest.mark.slow
@pytest.mark.skipif(not peak_memory.STATUS.is_file(), reason="needs Linux")
def test_memory_does_not_grow_with_the_rows_that_are_measured(tmp_path):
    measured = []
    for rows in (30_000, 300_000):
        folder = tmp_path / str(rows)
        folder.mkdir()
        write(folder, rows)
        measured.append(peak_memory.printed(PEAK, (folder,), folder))
    (few, little), (many, much) = measured
    assert many == pytest.approx(10 * few, rel=0.01)
    assert much - little < MOST_GROWTH, measured
