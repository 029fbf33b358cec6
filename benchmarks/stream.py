"""Tables that do not fit into memory: preparing them and training on them, beside plain loops over the same rows.

    OMP_NUM_THREADS=1 python benchmarks/stream.py                       # 400,000 x 20, some minutes on one core
    OMP_NUM_THREADS=1 python benchmarks/stream.py --rows 1000000 --columns 60 --files 20
    python benchmarks/stream.py --make rows --rows 100000000 --files 200   # only the table, as Parquet files
    OMP_NUM_THREADS=1 python benchmarks/stream.py --folder rows           # on a table that was made before

Each line is a process of its own, with one thread: its CPU seconds and the most memory it had (anonymous, without what
its imports take, and all resident, with the pages of mapped files). The model is the same everywhere: an MLP of two
layers of 64, AdamW, batches of 1,024, float32, one epoch of the training rows. The plain loops read numbers that need
no preparation, and do none.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

BATCH, WIDTH = 1024, 64
CONFIG = {"width": WIDTH, "depth": 2, "batch_size": BATCH, "lr": 1e-3, "optimizer": "adamw"}
SHARES = {"train": 0.8, "val": 0.1, "test": 0.1}


def make(folder: Path, rows: int, columns: int, files: int) -> None:
    """Rows of normal numbers, the target a noisy sign of some of them, in Parquet files, each whole or absent."""
    import pyarrow as pa
    from pyarrow import parquet

    folder.mkdir(parents=True, exist_ok=True)
    for k in range(files):
        path, count = folder / f"part-{k:05}.parquet", rows * (k + 1) // files - rows * k // files
        if path.is_file():
            continue
        rng = np.random.default_rng(k)
        x = rng.standard_normal((columns, count), dtype=np.float32)
        y = (x[0] + x[1] * x[2] + rng.standard_normal(count, dtype=np.float32) > 0).astype(np.int64)
        table = pa.table({**{f"x{j}": x[j] for j in range(columns)}, "y": y})
        parquet.write_table(table, path.with_suffix(".new"), row_group_size=100_000, use_dictionary=False)
        path.with_suffix(".new").rename(path)


def _status(entry: str) -> float:
    with open("/proc/self/status") as file:
        return int(next(line for line in file if line.startswith(entry)).split()[1]) / 1024


class Watch:
    """The most memory of this process while it runs, in MiB above what it had before, and CPU seconds."""

    def __enter__(self) -> "Watch":
        self.before = self.peak = _status("RssAnon")  # what was freed while it runs is not taken off
        self.resident = _status("VmRSS")
        self._cpu, self._begun, self._over = _cpu(), time.perf_counter(), threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()
        return self

    def _look(self) -> None:
        while not self._over.wait(0.01):
            self.peak = max(self.peak, _status("RssAnon"))
            self.resident = max(self.resident, _status("VmRSS"))

    def __exit__(self, *error: object) -> None:
        self._over.set()
        self._thread.join()
        self.cpu, self.wall = _cpu() - self._cpu, time.perf_counter() - self._begun

    def figures(self, rows: int, **more: float) -> dict[str, float]:
        return {"rows": rows, "cpu": self.cpu, "wall": self.wall, "anonymous": self.peak - self.before,
                "all_anonymous": self.peak, "resident": self.resident, **more}  # fmt: skip


def _cpu() -> float:
    own, helpers = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    return own.ru_utime + own.ru_stime + helpers.ru_utime + helpers.ru_stime


def _request(folder: Path) -> Any:
    from automl.data.streaming.request import Request

    return Request.of(folder, "y", SHARES, {}, 0)


def read(folder: Path) -> dict[str, float]:
    """One plain read of the source: every row group, all columns, nothing done with it."""
    from pyarrow import parquet

    with Watch() as watch:
        rows = 0
        for file in sorted(folder.glob("*.parquet")):
            with parquet.ParquetFile(file, pre_buffer=False, buffer_size=2**16) as opened:
                for batch in opened.iter_batches(2**16, use_threads=False):
                    rows += len(batch)
    return watch.figures(rows)


def prepare(folder: Path) -> dict[str, float]:
    """The table prepared by automl."""
    from automl.data.streaming import streaming

    with Watch() as watch:
        data = streaming.load(_request(folder))
    return watch.figures(sum(map(len, (data.train, data.val, data.test))), megabytes=sum(
        part.x.numel() * 4 for part in (data.train, data.val, data.test)) / 1e6)  # fmt: skip


def first_step(folder: Path) -> dict[str, float]:
    """A second study: the first batch of a table that was prepared before, imports not counted."""
    from automl import data
    from automl.models import build
    from automl.training import Trainer
    from automl.training.batches import batches_of

    with Watch() as watch:
        loaded = data.load(str(folder), target="y", split=SHARES, prepare={"memory": "1KB"})
        trainer = Trainer(
            build("mlp"), loaded, {"width": WIDTH, "depth": 2, "batch_size": BATCH, "lr": 1e-3}, 1, seed=0
        )
        next(batches_of(loaded.train, trainer.device, 0).epoch(0, BATCH))
    return watch.figures(BATCH)


def train(folder: Path) -> dict[str, float]:
    """An epoch of automl's trainer on the shards, with its validation."""
    from automl.data.streaming import streaming
    from automl.models import build
    from automl.training import Trainer

    data = streaming.load(_request(folder))
    trainer = Trainer(build("mlp"), data, CONFIG, 1, seed=0)
    with Watch() as watch:
        measured = trainer.epoch()
    return watch.figures(len(data.train) + len(data.val), accuracy=float(measured["val_accuracy"]))


def _loop(batches: Iterator[tuple[Any, Any]], columns: int) -> int:
    """A plain loop: the same model and optimizer."""
    import torch
    from torch import nn

    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(columns, WIDTH), nn.ReLU(), nn.Linear(WIDTH, WIDTH), nn.ReLU(), nn.Linear(WIDTH, 2))
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, fused=True)
    rows = 0
    for x, y in batches:
        optimizer.zero_grad(set_to_none=True)
        nn.functional.cross_entropy(model(x), y).backward()
        optimizer.step()
        rows += len(y)
    return rows


def plain(folder: Path) -> dict[str, float]:
    """A plain loop over row groups of the source, read with pyarrow, shuffled inside each."""
    import torch
    from pyarrow import parquet

    files = sorted(folder.glob("*.parquet"))
    columns = len(parquet.read_schema(files[0]).names) - 1

    def batches() -> Iterator[tuple[Any, Any]]:
        for file in files:
            with parquet.ParquetFile(file, pre_buffer=False, buffer_size=2**16) as opened:
                for group in range(opened.num_row_groups):
                    table = opened.read_row_group(group, use_threads=False)
                    x = torch.from_numpy(np.column_stack([table[k].to_numpy() for k in range(columns)]))
                    y = torch.from_numpy(table["y"].to_numpy())
                    order = torch.randperm(len(y))
                    x, y = x[order], y[order]
                    yield from ((x[k : k + BATCH], y[k : k + BATCH]) for k in range(0, len(y), BATCH))

    with Watch() as watch:
        rows = _loop(batches(), columns)
    return watch.figures(rows)


def loader(folder: Path) -> dict[str, float]:
    """torch's DataLoader over the shards that automl wrote: a shard an item, its rows shuffled."""
    import torch
    from torch.utils.data import DataLoader, Dataset

    from automl.data.streaming import streaming

    part = streaming.load(_request(folder)).train

    class Shards(Dataset[Any]):
        def __len__(self) -> int:
            return len(part.edges) - 1

        def __getitem__(self, k: int) -> tuple[Any, Any]:
            first, end = part.edges[k], part.edges[k + 1]
            order = torch.randperm(end - first)
            return part.x[first:end][order], part.y[first:end][order]

    def batches() -> Iterator[tuple[Any, Any]]:
        for x, y in DataLoader(Shards(), batch_size=None, shuffle=True):
            yield from ((x[k : k + BATCH], y[k : k + BATCH]) for k in range(0, len(y), BATCH))

    with Watch() as watch:
        rows = _loop(batches(), int(part.x.shape[1]))
    return watch.figures(rows)


def warm() -> None:
    """Import and compile everything that a first step needs, so that it is in no figure."""
    import torch

    from automl import data
    from automl.models import build
    from automl.training import Trainer

    Trainer(build("mlp"), data.load("diabetes"), CONFIG, 1, seed=0).epoch()
    _loop(iter([(torch.randn(8, 4), torch.zeros(8, dtype=torch.int64))]), 4)


CASES: dict[str, Callable[[Path], dict[str, float]]] = {
    "one plain read of the source": read, "prepared by automl": prepare, "second study, to its first batch": first_step,
    "trained by automl, with validation": train, "plain loop over pyarrow row groups": plain,
    "plain loop, torch DataLoader over the shards": loader,
}  # fmt: skip


def measured(case: str, folder: Path, cache: Path) -> dict[str, float]:
    """What a process of its own measures."""
    variables = {**os.environ, "OMP_NUM_THREADS": "1", "AUTOML_CACHE": str(cache)}
    command = [sys.executable, __file__, "--folder", str(folder), "--case", case]
    done = subprocess.run(command, env=variables, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr[-3000:])
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def table(folder: Path, cache: Path) -> None:
    """Measure all cases and print a line each."""
    print(f"{'':45} {'rows':>11} {'CPU s':>7} {'wall s':>7} {'rows / CPU s':>12} {'anon. MiB':>9} {'RSS MiB':>8}")
    for case in CASES:
        one = measured(case, folder, cache)
        speed = "" if case.startswith("second") else f"{one['rows'] / max(one['cpu'], 1e-9):,.0f}"
        print(f"{case:45} {one['rows']:>11,.0f} {one['cpu']:>7.1f} {one['wall']:>7.1f} {speed:>12} "
              f"{one['anonymous']:>9.0f} {one['resident']:>8.0f}", flush=True)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=400_000)
    parser.add_argument("--columns", type=int, default=20)
    parser.add_argument("--files", type=int, default=4)
    parser.add_argument("--make", type=Path, help="only make the table, in this folder")
    parser.add_argument("--folder", type=Path, help="a table that --make has made")
    parser.add_argument("--cache", type=Path, help="where the prepared table lies (default: a new folder)")
    parser.add_argument("--case", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.case:
        import torch

        torch.set_num_threads(1)
        warm()
        print(json.dumps(CASES[asked.case](asked.folder)))
    elif asked.make:
        make(asked.make, asked.rows, asked.columns, asked.files)
    else:
        with tempfile.TemporaryDirectory() as scratch:
            folder = asked.folder or Path(scratch) / "rows"
            if not asked.folder:
                make(folder, asked.rows, asked.columns, asked.files)
            table(folder, asked.cache or Path(scratch) / "cache")


if __name__ == "__main__":
    main()
