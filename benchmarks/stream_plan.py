"""What a table of any size takes, from terms that are measured at small sizes: preparing, disk, memory, training.

    OMP_NUM_THREADS=1 python benchmarks/stream_plan.py                     # 10^9 x 1,000; two minutes on one core
    OMP_NUM_THREADS=1 python benchmarks/stream_plan.py --rows 1e8 --columns 20 --cores 2

The first table shows whether the terms are what they are taken for: CPU time of each pass for a value (a number of a
row), and of training for a row, at three sizes; they must not grow. The second multiplies them. The fit on the sample,
of 256 MiB at most, is a fixed cost; training is measured at the width of the table. Disks and networks are not measured
but given (`--disk`, `--network`).
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import stream
import torch

from automl.data.streaming import planning, streaming
from automl.data.streaming.passes import shared_work, writer
from automl.data.streaming.request import Request, Sizes

SMALL = Sizes(fit=2**22, known=10_000)
"""A small sample and row-wise splits, so that the parts that are fixed in a large table are small here."""
COLUMNS = 20


def spent(work: Callable[[], Any]) -> tuple[float, Any]:
    """(CPU seconds, what it returned)."""
    begun = time.process_time()
    made = work()
    return time.process_time() - begun, made


def passes(folder: Path, cache: Path) -> dict[str, float]:
    """CPU nanoseconds for a value: of a plain read, of scanning, of deciding, of writing; and of an epoch for a row."""
    request = Request.of(folder, "y", stream.SHARES, {}, 0, sizes=SMALL)
    scan, head, _ = planning.plan_scan(request)
    work = cache / "work"
    work.mkdir(parents=True)
    found: dict[str, float] = {}
    found["plain read"], _ = spent(lambda: stream.read(folder))
    found["scan"], _ = spent(lambda: shared_work.run("scan", scan, work, 1, 0))
    found["decide"], (writing, notes) = spent(lambda: writer.decided(scan, head, work))
    found["write"], _ = spent(lambda: shared_work.run("write", writing, work, 1, 0))
    found["seal"], _ = spent(lambda: writer.seal(writing, notes, work))
    values = writing.layout.ends[-1] * writing.width
    return {name: 1e9 * seconds / values for name, seconds in found.items()}


def trained(folder: Path, cache: Path) -> float:
    """CPU microseconds of training for a row, an epoch of the trainer with its validation."""
    from automl.models import build
    from automl.training import Trainer

    data = streaming.load(Request.of(folder, "y", stream.SHARES, {}, 0, sizes=SMALL), cache=cache)
    trainer = Trainer(build("mlp"), data, stream.CONFIG, 1, seed=0)
    seconds, _ = spent(trainer.epoch)
    return 1e6 * seconds / (len(data.train) + len(data.val))


def fitted(columns: int) -> float:
    """CPU seconds of fitting a preparation on the largest sample of so many columns; it grows with its values alone."""
    import numpy as np
    import pandas as pd

    from automl.data.preparing import tables

    sizes, few = Sizes(), 20
    rows = min(sizes.fit_rows, sizes.fit // (4 * columns))
    x = np.random.default_rng(0).standard_normal((rows, few), dtype=np.float32)
    frame = pd.DataFrame(x, columns=[f"x{k}" for k in range(few)])
    return spent(lambda: tables.fit(frame, np.zeros(rows), {}, []))[0] * columns / few


def measured(rows: int) -> dict[str, float]:
    """The terms at three sizes, printed; those of the largest."""
    found: list[dict[str, float]] = []
    print(f"{'rows':>9} {'plain read':>10} {'scan':>6} {'decide':>6} {'write':>6} {'seal':>6} (ns a value) "
          f"{'training':>8} (us a row)")  # fmt: skip
    for count in (rows // 4, rows // 2, rows):
        with tempfile.TemporaryDirectory() as scratch:
            folder = Path(scratch) / "rows"
            stream.make(folder, count, COLUMNS, 4)
            one = passes(folder, Path(scratch) / "a")
            one["training"] = trained(folder, Path(scratch) / "b")
        found.append(one)
        print(f"{count:>9,} {one['plain read']:>10.1f} {one['scan']:>6.1f} {one['decide']:>6.1f} {one['write']:>6.1f} "
              f"{one['seal']:>6.1f} {'':12} {one['training']:>8.2f}", flush=True)  # fmt: skip
    return found[-1]


def plan(terms: dict[str, float], asked: argparse.Namespace) -> None:
    """Print what the table takes on 1, 8 and 64 nodes."""
    values, rows = asked.rows * asked.columns, asked.rows
    cpu = values * (terms["scan"] + terms["decide"] + terms["write"] + terms["seal"]) * 1e-9
    source, prepared, kept = 4 * values, 4 * values + 8 * rows, 24 * rows + Sizes().fit * 2
    pieces = values * 4 / Sizes().chunk
    print(f"\n{rows:,} rows x {asked.columns:,} numbers (float32)")
    print(f"  source {source / 1e12:.3g} TB, read twice; prepared {prepared / 1e12:.3g} TB, written and read once; "
          f"{kept / 1e9:.3g} GB more on disk until then")  # fmt: skip
    print(f"  in memory of each process: a piece of {Sizes().chunk / 2**20:.0f} MiB and what it becomes, the sample of "
          f"{Sizes().fit / 2**20:.0f} MiB (once), {pieces * 24 / 1e6:.1f} MB for {pieces:,.0f} pieces")  # fmt: skip
    print(f"  fit on the sample: {terms['fit']:.0f} s, in one process")
    print(f"{'nodes':>7} {'preparing, CPU':>15} {'preparing, disk':>16} {'an epoch, CPU':>14} {'an epoch, disk':>15} "
          f"{'1 % of the rows':>16}   what limits preparing")  # fmt: skip
    row_cpu = terms["wide"] * 1e-6
    for nodes in (1, 8, 64):
        computing = cpu / (nodes * asked.cores) + terms["fit"]
        moving = (2 * source / min(asked.network, asked.disk) + 2 * prepared / asked.disk) / nodes
        epoch_cpu, epoch_disk = 0.8 * rows * row_cpu / nodes, 0.8 * prepared / asked.disk / nodes
        slower = max(epoch_cpu, epoch_disk)
        limit = "CPU" if computing > moving else "disk and network"
        print(f"{nodes:>7} {_hours(computing):>15} {_hours(moving):>16} {_hours(epoch_cpu):>14} "
              f"{_hours(epoch_disk):>15} {_hours(slower / 100):>16}   {limit}")  # fmt: skip


def _hours(seconds: float) -> str:
    if seconds >= 3600:
        return f"{seconds / 3600:.1f} h"
    return f"{seconds / 60:.1f} min" if seconds >= 60 else f"{seconds:.1f} s"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=float, default=1e9)
    parser.add_argument("--columns", type=int, default=1000)
    parser.add_argument("--cores", type=int, default=16, help="of a node")
    parser.add_argument("--disk", type=float, default=1e9, help="bytes a second of a node's disk")
    parser.add_argument("--network", type=float, default=1.25e9, help="bytes a second from the store to a node")
    parser.add_argument("--measure", type=int, default=400_000, help="rows of the largest table that is measured")
    asked = parser.parse_args()
    asked.rows = int(asked.rows)
    torch.set_num_threads(1)
    stream.warm()
    terms = measured(asked.measure)
    terms["fit"] = fitted(asked.columns)
    with tempfile.TemporaryDirectory() as scratch:
        rows = max(5_000, min(asked.measure, asked.measure * COLUMNS // asked.columns))
        stream.make(Path(scratch) / "rows", rows, asked.columns, 1)
        terms["wide"] = trained(Path(scratch) / "rows", Path(scratch) / "cache")
    print(f"training a row of {asked.columns:,} values: {terms['wide']:.1f} us; one trial at a time on one core")
    plan(terms, asked)


if __name__ == "__main__":
    main()
