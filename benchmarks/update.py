"""Updates on streams with drift made from real tables: against the frozen model, and against training anew.

python benchmarks/update.py [--streams adult,mnist] [--ways head,finetune,auto] [--steps 3] [--full] [--json FILE]

A model is trained on the first part of a stream. Then files of rows come one by one: `adult` sorted by age, `ETTh1` in
time, `mnist` and `letter` with classes that come one after the other. Each way of updating has a chain of its own
versions. After each file all models are scored on test rows that no update has seen: those like the file's ("new"),
and those of all that came before ("old"). The cost of an update is the CPU time of making the challenger, as a share
of `retrain` on the same rows. Without --full, tables are cut to what a few minutes allow. Data: $AUTOML_DATA.
"""

import argparse
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

import automl
from automl.bundle import io
from automl.bundle.outputs import compute
from automl.data import further, load
from automl.metrics.rows import sample
from automl.models import build
from automl.training import Trainer
from automl.updating.options import Options
from automl.updating.text import described
from automl.updating.update import update

DATA = Path(os.environ.get("AUTOML_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))
SEED = 0


@dataclass(frozen=True)
class Stream:
    """What comes one after the other.

    Attributes:
        model, config, epochs, metric: what is trained at the beginning.
        begin: the rows to begin with.
        files: the rows that come, each as `update` takes them.
        tests: test rows like `begin`, then like each of the files.
        spec: further entries of the specification: target, prepare.
    """

    model: str
    config: dict[str, Any]
    epochs: int
    metric: str
    begin: Any
    files: list[Any]
    tests: list[Any]
    spec: dict[str, Any]


def cut(rows: Any, index: Any) -> Any:
    """Rows of a table, or of (x, y)."""
    return rows.iloc[index].reset_index(drop=True) if isinstance(rows, pd.DataFrame) else tuple(a[index] for a in rows)


def spread(rows: Any, count: int, seed: int) -> tuple[Any, Any]:
    """(rows to learn from, a quarter as test rows), in random order."""
    order = np.random.default_rng(seed).permutation(count)
    return cut(rows, order[count // 4 :]), cut(rows, order[: count // 4])


def adult(steps: int, full: bool) -> Stream:
    """Ages rise: the younger half, then ever older people."""
    frame = pd.read_csv(DATA / "tables" / "adult.tsv.gz", sep="\t")
    frame = frame if full else frame.sample(16_000, random_state=SEED)
    frame = frame.sort_values("age", kind="stable").reset_index(drop=True)
    edges = np.linspace(len(frame) // 2, len(frame), steps + 1).astype(int)
    pieces = [
        spread(cut(frame, slice(a, b)), b - a, k) for k, (a, b) in enumerate(zip([0, *edges[:-1]], edges, strict=True))
    ]
    target = "target" if "target" in frame else str(frame.columns[-1])
    return Stream("mlp", {"depth": 2, "width": 128, "lr": 1e-3, "batch_size": 128}, 20 if full else 12, "val_accuracy",
                  pieces[0][0], [p[0] for p in pieces[1:]], [p[1] for p in pieces],
                  {"target": target})  # fmt: skip


def etth1(steps: int, full: bool) -> Stream:
    """Six hours ahead; time goes on."""
    frame = pd.read_csv(DATA / "ett" / "ETTh1.csv.gz")
    frame = frame if full else frame.iloc[:9_000]
    window, edges = 48, np.linspace(len(frame) // 2, len(frame), steps + 1).astype(int)
    spans = list(zip([0, *edges[:-1]], edges, strict=True))
    files, tests = [], []
    for a, b in spans:
        middle = b - (b - a) // 4
        files.append(cut(frame, slice(max(a - window, 0), middle)))
        tests.append(cut(frame, slice(middle - window, b)))
    return Stream("mlp", {"depth": 2, "width": 128, "lr": 1e-3, "batch_size": 128}, 20 if full else 12, "val_rmse",
                  files[0], files[1:], tests,
                  {"target": "OT", "prepare": {"window": window, "horizon": 6}, "split": {"time": "date"}})  # fmt: skip


def mnist(steps: int, full: bool) -> Stream:
    """Digits 0 to 4 at the beginning, then a new one in each file."""
    with np.load(DATA / "mnist" / "mnist.npz") as arrays:
        names = {name.lower(): name for name in arrays}
        x, y = arrays[names["x_train"]], arrays[names["y_train"]]
    each = 4_000 if full else 600
    index = {digit: np.flatnonzero(y == digit)[:each] for digit in range(10)}
    first = 10 - min(steps, 5)
    pieces = [spread((x[i], y[i]), len(i), k) for k, i in enumerate([
        np.concatenate([index[d] for d in range(first)]), *(index[d] for d in range(first, 10))])]  # fmt: skip
    return Stream("convnet", {"stages": 2, "width": 16, "lr": 2e-3, "batch_size": 64}, 8 if full else 5, "val_accuracy",
                  pieces[0][0], [p[0] for p in pieces[1:]], [p[1] for p in pieces], {})  # fmt: skip


def letter(steps: int, full: bool) -> Stream:
    """Letters A to T at the beginning, then two new ones in each file."""
    frame = pd.read_csv(DATA / "tables" / "letter.tsv.gz", sep="\t")
    target = "target" if "target" in frame else str(frame.columns[-1])
    labels = sorted(frame[target].unique())
    groups = [labels[: 26 - 2 * steps], *(labels[26 - 2 * k : 28 - 2 * k] for k in range(steps, 0, -1))]
    pieces = []
    for k, group in enumerate(groups):
        rows = cut(frame, np.flatnonzero(frame[target].isin(group)))
        rows = rows if full else rows.iloc[: 500 * len(group)].reset_index(drop=True)
        pieces.append(spread(rows, len(rows), k))
    return Stream("mlp", {"depth": 2, "width": 256, "lr": 2e-3, "batch_size": 128}, 20, "val_accuracy", pieces[0][0],
                  [p[0] for p in pieces[1:]], [p[1] for p in pieces],
                  {"target": target, "prepare": {"task": "classification"}})  # fmt: skip


STREAMS: dict[str, Callable[[int, bool], Stream]] = {"adult": adult, "etth1": etth1, "mnist": mnist, "letter": letter}


def begin(stream: Stream, folder: Path) -> Path:
    """Train the first model; its bundle, which knows its specification."""
    data = load(
        stream.begin,
        seed=SEED,
        split=stream.spec.get("split"),
        **{k: v for k, v in stream.spec.items() if k != "split"},
    )
    trainer = Trainer(build(stream.model), data, stream.config, stream.epochs, SEED)
    for _ in range(stream.epochs):
        trainer.train_epoch()
    spec = {"model": stream.model, "metric": stream.metric, "epochs": stream.epochs, "seed": SEED, **stream.spec}
    return io.save(folder, model=stream.model, config=stream.config, prepared=data, state_dict=trainer.weights(),
                   metrics={}, spec=spec)  # fmt: skip


def score(folder: Path, stream: Stream, tests: list[Any]) -> float:
    """The metric of a saved model on test rows."""
    model = automl.load(folder)
    assert isinstance(model, automl.bundle.model.Model)
    name, hits, rows = stream.metric.removeprefix("val_"), [], 0
    for test in tests:
        found = further.read(test, model.preparation, model.manifest["spec"])
        outputs = compute(model.module, further.prepared(model.preparation, found.rows), "cpu")
        classes = list(model.classes or [])
        known = [
            *classes,
            *(label for label in dict.fromkeys(found.y.tolist() if classes else []) if label not in classes),
        ]
        if classes:
            outputs = torch.cat([outputs, torch.full((len(outputs), len(known) - len(classes)), -1e9)], 1)
        y = further.targets_of(model.preparation, known, found.y)
        scale = None if classes else torch.tensor(model.preparation["target"]["scale"])
        one = sample(name, model.kind, outputs, y, scale=scale)
        hits.append(one.value * len(y))
        rows += len(y)
    return float(sum(hits)) / rows


def chain(way: str, stream: Stream, start: Path, folder: Path, lose: float) -> list[dict[str, Any]]:
    """Update the model of one chain with each file; what was found after each."""
    shutil.copytree(start, folder)
    found = []
    for k, rows in enumerate(stream.files, 1):
        before = score(folder, stream, stream.tests[:k])
        begun = time.process_time()
        done = update(folder, rows, Options(how=way, lose=lose, old=stream.begin if k == 1 else None))
        total = time.process_time() - begun
        found.append({
            "way": way, "step": k, "promoted": done.promoted, "tries": done.entry["tries"],
            "cpu_s": sum(t.get("cpu_s", 0.0) for t in done.entry["tries"]), "total_cpu_s": total,
            "frozen": score(start, stream, [stream.tests[k]]), "new": score(folder, stream, [stream.tests[k]]),
            "before": before, "old": score(folder, stream, stream.tests[:k]),
        })  # fmt: skip
        print(f"    {way} {k}: {'; '.join(map(described, done.entry['tries']))}", flush=True)
    return found


def main() -> None:
    """Run the streams that were asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--streams", default="adult,etth1,mnist,letter")
    parser.add_argument("--ways", default="head,finetune,auto,retrain")
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--lose", type=float, default=0.01)
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    torch.set_num_threads(1)
    results = {}
    for name in given.streams.split(","):
        stream = STREAMS[name](given.steps, given.full)
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary)
            start = begin(stream, folder / "start")
            print(f"{name}: {stream.metric}, at the beginning {score(start, stream, stream.tests[:1]):.4f}", flush=True)
            rows = [r for way in given.ways.split(",") for r in chain(way, stream, start, folder / way, given.lose)]
        results[name] = rows
        table(rows)
    if given.json:
        given.json.write_text(json.dumps(results, indent=1))


def table(rows: list[dict[str, Any]]) -> None:
    """Print what was found."""
    anew = {r["step"]: r["cpu_s"] for r in rows if r["way"] == "retrain"}
    print("| way | step | new rows: frozen | updated | old rows: version before | after | CPU s | of retrain |")
    print("|---|--:|--:|--:|--:|--:|--:|--:|")
    for r in rows:
        share = f"{r['cpu_s'] / anew[r['step']]:.0%}" if r["step"] in anew else ""
        scores = " | ".join(f"{r[name]:.4f}" for name in ("frozen", "new", "before", "old"))
        print(f"| {r['way']} | {r['step']} | {scores} | {r['cpu_s']:.2f} | {share} |", flush=True)


if __name__ == "__main__":
    main()
