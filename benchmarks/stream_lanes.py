"""Lanes on a streamed table: training rows a CPU second for each trial, of 16 lanes, of one trial, and of a plain loop.

    OMP_NUM_THREADS=1 python benchmarks/stream_lanes.py

A table is written, prepared into shards once, and then an MLP is trained on so many of its rows: by a plain PyTorch
loop over the same shards (one read each, a permutation inside, torch's fused AdamW), by the trainer of a single trial,
by one lane, and by 16 lanes together, all with one thread and the same batches. Reading is part of it, evaluation is
not. The ways take turns, and the medians of all rounds are printed.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import nn

from automl.data import load
from automl.data.prepared import Prepared
from automl.fused.engine import Engine
from automl.fused.problem import Entry, Options, Problem
from automl.models import build
from automl.training import Trainer
from automl.training.samples.row_stream import RowStream
from automl.training.samples.units import Unit


def prepared(folder: Path, rows: int, columns: int) -> Prepared:
    """A table of so many rows, streamed."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(rows, columns)).astype(np.float32)
    frame = pd.DataFrame(x, columns=[f"x{k}" for k in range(columns)])
    frame["y"] = np.where(x[:, 0] + x[:, 1] * x[:, 2] + 0.5 * rng.normal(size=rows) > 0, "yes", "no")
    frame.to_parquet(folder / "table.parquet")
    return load("table.parquet", base=folder, target="y", prepare={"memory": "1KB"}, seed=1,
                split={"train": 0.9, "val": 0.05, "test": 0.05})  # fmt: skip


def config(lane: int, batch: int) -> dict[str, Any]:
    return {"width": 64, "depth": 2, "lr": 1e-3 * (1 + lane % 5), "batch_size": batch, "optimizer": "adamw"}


def plain(data: Prepared, batch: int, rows: int) -> Callable[[], None]:
    """A plain loop over shards."""
    model = build("mlp")(config(0, batch), data.inputs, data.outputs)
    optimizer = torch.optim.AdamW(model.parameters(), 1e-3, fused=True)
    stream, loss = RowStream(data.train, torch.device("cpu")), nn.CrossEntropyLoss()

    def train() -> None:
        model.train()
        with stream.reading(batch=batch):
            for first in range(0, rows - batch + 1, batch):
                part = stream.take(first, batch)
                optimizer.zero_grad()
                loss(model(part.x), part.y).backward()
                optimizer.step()

    return train


def alone(data: Prepared, batch: int, rows: int) -> Callable[[], None]:
    trainer = Trainer(build("mlp"), data, config(0, batch), 10**6, 0, unit=Unit("samples", rows))
    return lambda: void(trainer.train_epoch())


def lanes(data: Prepared, batch: int, rows: int, count: int) -> Callable[[], None]:
    few = data.val.head(64)
    problem = Problem(build("mlp"), data.inputs, data.outputs, data.kind, data.train, few, unit=Unit("samples", rows))
    engine = Engine(problem, Options(fuse="require"))
    engine.admit([Entry(k, config(k, batch), k, 10**6) for k in range(count)], together=count > 1)
    return lambda: void(engine.run_epoch())


def void(_: object) -> None:
    pass


def measured(ways: dict[str, tuple[Callable[[], None], int]], rows: int, rounds: int) -> dict[str, float]:
    """Rows a CPU second of all trials of a way, the median of the rounds."""
    speeds: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(rounds + 1):
        for name, (train, trials) in ways.items():
            begun = time.process_time()
            train()
            if number:  # the first round warms up
                speeds[name].append(trials * rows / (time.process_time() - begun))
    return {name: statistics.median(each) for name, each in speeds.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=300_000, help="of the table")
    parser.add_argument("--columns", type=int, default=20)
    parser.add_argument("--batches", type=int, nargs="+", default=[32, 64, 256, 1024])
    parser.add_argument("--step", type=int, default=16_384, help="rows that are trained on in a round")
    parser.add_argument("--lanes", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=5)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        data = prepared(Path(folder), asked.rows, asked.columns)
        names = ("plain loop", "trainer", "one lane", f"{asked.lanes} lanes")
        print(
            f"MLP 64 x 2 on {len(data.train):,} streamed rows of {asked.columns} columns; rows a CPU second of a trial"
        )
        print(f"| batch | {' | '.join(names)} | lanes / plain | lanes / trainer | lanes / one lane |")
        print(f"|{'---|' * 8}")
        for batch in asked.batches:
            ways = {
                names[0]: (plain(data, batch, asked.step), 1),
                names[1]: (alone(data, batch, asked.step), 1),
                names[2]: (lanes(data, batch, asked.step, 1), 1),
                names[3]: (lanes(data, batch, asked.step, asked.lanes), asked.lanes),
            }
            found = measured(ways, asked.step, asked.rounds)
            speeds = " | ".join(f"{value:,.0f}" for value in found.values())
            fast = found[names[3]]
            ratios = " | ".join(f"{fast / found[name]:.1f}x" for name in names[:3])
            print(f"| {batch} | {speeds} | {ratios} |", flush=True)


if __name__ == "__main__":
    main()
