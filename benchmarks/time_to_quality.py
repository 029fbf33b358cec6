"""Wall time until the best validation accuracy reaches a target: whole programs on one space, data set and machine.

    python benchmarks/time_to_quality.py --calibrate                   # what Optuna reaches with its full budget
    python benchmarks/time_to_quality.py --target 0.98 --seeds 5       # the race to there
    python benchmarks/time_to_quality.py --data mnist --target 0.97 --seeds 3

The rule, fixed before any race: a full search is 1,000 trials of at most 30 epochs (MNIST: 200 of at most 20), what one
leaves running over a coffee. `--calibrate` runs it with Optuna on seeds 1000, 1001, ...; the target is the median of
the best validation accuracies that it found, and `--limit` three times the median wall time that it took. In the
race all programs search, with seeds 0, 1, ..., until one trial's report reaches the target, or the limit, which then
counts as their time; nobody runs out of trials.

Each program runs by itself, one after the other, in an order that changes from seed to seed; starting up and imports
count. The programs (`_contestants.py`): automl (fused), automl --no-fuse, Optuna (TPE, successive halving, one process
per core) and Ray Tune (ASHA, actors reused). Optuna and Ray Tune train with the plain loop of `_plain.py` and are given
prepared tensors; automl reads the same split from arrays. All have the same space, split, rungs (1, 3, 9, ... epochs)
and workers.
"""

import argparse
import json
import os
import random
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil

PROGRAMS = ["automl", "automl --no-fuse", "optuna", "ray tune"]
SETUPS: dict[str, dict[str, Any]] = {
    "digits": {"trials": 1000, "epochs": 30, "width": 32, "batch": 32, "prepare": {}},
    "mnist": {"trials": 200, "epochs": 20, "width": 64, "batch": 32, "prepare": {"rows": 12000}},
}
SPEC = """
study: race
model: mlp
data: race.npz
metric: val_accuracy
epochs: {epochs}
space:
  depth: 2
  width: {width}
  dropout: {{float: [0.0, 0.6]}}
  weight_decay: {{float: [1e-6, 1e-1], log: true}}
  optimizer: adamw
  lr: {{float: [1e-4, 3e-2], log: true}}
  batch_size: {batch}
strategy: {strategy}
stopper: {{name: asha, eta: 3, min_steps: 1}}
budget: {{time: {limit}s}}
finalists: none
"""


def prepare(setup: dict[str, Any], folder: Path) -> dict[str, str]:
    """One split for all seeds and programs, as a file for automl and as tensors for the peers; returns their paths."""
    import numpy as np
    import torch

    from automl import data

    made = data.load(setup["data"], prepare=setup["prepare"])
    parts = {"train": made.train, "val": made.val, "test": made.test}
    arrays = {f"x_{name}": part.x.flatten(1).numpy() for name, part in parts.items() if part is not None}
    arrays |= {f"y_{name}": part.y.numpy() for name, part in parts.items() if part is not None}
    np.savez(folder / "race.npz", **arrays)
    again = data.load("race.npz", base=folder)
    tensors = {"train": (again.train.x, again.train.y), "val": (again.val.x, again.val.y)}
    torch.save({**tensors, "classes": int(again.outputs)}, folder / "tensors.pt")
    (folder / "space.yaml").write_text(SPEC.format(**setup))
    return {"tensors": str(folder / "tensors.pt"), "spec": str(folder / "space.yaml")}


def race(program: str, how: dict[str, Any], limit: float) -> tuple[float, float, float]:
    """(wall seconds to the target, CPU seconds of the program and all its children up to then, accuracy reached)."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        reached, errors = Path(folder) / "reached", Path(folder) / "errors"
        how = {**how, "reached": str(reached), "study": folder + "/study"}
        command = [sys.executable, str(Path(__file__).with_name("_contestants.py")), program, json.dumps(how)]
        spent = os.times()
        begun = time.time()
        with errors.open("w") as file:
            environment = {**os.environ, "OMP_NUM_THREADS": "1"}
            process = psutil.Popen(command, env=environment, stdout=file, stderr=file)
        while process.poll() is None and not reached.exists() and time.time() - begun < limit:
            time.sleep(0.01)
        ended = time.time()
        if process.poll() and not reached.exists():
            raise RuntimeError(f"{program} failed: {errors.read_text()[-3000:]}")
        cpu = _end(process)
        after = os.times()
        cpu += after.children_user + after.children_system - spent.children_user - spent.children_system
        at, accuracy = map(float, reached.read_text().split()) if reached.exists() else (ended, float("nan"))
        return (at - begun if reached.exists() else limit), cpu, accuracy


def _end(process: psutil.Popen) -> float:
    """End the program and all its descendants; returns the CPU seconds of those that this process cannot wait for."""
    if process.poll() is not None:
        return 0.0
    family = process.children(recursive=True)
    cpu = 0.0
    for one in family:
        try:
            times = one.cpu_times()
            cpu += times.user + times.system + times.children_user + times.children_system
        except psutil.NoSuchProcess:
            continue
    for one in (process, *family):
        try:
            one.kill()
        except psutil.NoSuchProcess:
            continue
    process.wait()
    psutil.wait_procs(family, timeout=10)
    return cpu


def calibrate(how: dict[str, Any], seeds: int) -> None:
    """Optuna's full searches: best accuracy and wall time of each, and their medians."""
    found: list[tuple[float, float]] = []
    for seed in range(1000, 1000 + seeds):
        with tempfile.TemporaryDirectory() as folder:
            best = Path(folder) / "best"
            begun = time.time()
            wall, cpu, _ = race("optuna", {**how, "seed": seed, "target": 2.0, "best": str(best)}, 1e9)
            wall = time.time() - begun
            found.append((max(float(file.read_text()) for file in Path(folder).glob("best*")), wall))
        print(f"seed {seed}  best {found[-1][0]:.5f}  {wall:7.1f} s  ({cpu:.1f} CPU s)", flush=True)
    best, wall = (statistics.median(column) for column in zip(*found, strict=True))
    print(f"--target {best:.5f} --limit {3 * wall:.0f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", choices=list(SETUPS), default="digits")
    parser.add_argument("--calibrate", action="store_true")
    parser.add_argument("--target", type=float, default=0.98)
    parser.add_argument("--limit", type=float, default=120.0)
    parser.add_argument("--trials", type=int, help="of a full search; other than the setup's")
    parser.add_argument("--batch", type=int, help="another batch size than the setup's")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--strategy", default="auto", help="automl's; auto is its default")
    parser.add_argument("--only", nargs="*", default=PROGRAMS)
    asked = parser.parse_args()
    setup = {**SETUPS[asked.data], "data": asked.data, "strategy": asked.strategy, "limit": int(asked.limit) + 60}
    setup |= {"batch": asked.batch or setup["batch"], "trials": asked.trials or setup["trials"]}
    with tempfile.TemporaryDirectory() as folder:
        how = {**setup, **prepare(setup, Path(folder)), "workers": asked.workers}
        if asked.calibrate:
            calibrate(how, asked.seeds)
            return
        how |= {"trials": None, "target": asked.target}
        walls: dict[str, list[float]] = {name: [] for name in asked.only}
        for seed in range(asked.first_seed, asked.first_seed + asked.seeds):
            order = list(asked.only)
            random.Random(seed).shuffle(order)
            for program in order:
                wall, cpu, accuracy = race(program, {**how, "seed": seed}, asked.limit)
                walls[program].append(wall)
                load = os.getloadavg()[0]
                print(f"seed {seed}  {program:17} {wall:7.1f} s  {cpu:6.1f} CPU s  {accuracy:.4f}  load {load:.1f}",
                      flush=True)  # fmt: skip
    first = statistics.median(walls[asked.only[0]])
    print(f"\nmedian seconds to {asked.target} on {asked.data}, {asked.seeds} seeds; ratio to {asked.only[0]}")
    for program, seconds in walls.items():
        median = statistics.median(seconds)
        print(f"{program:17} {median:7.1f} s {median / first:6.1f}x   missed {sum(s >= asked.limit for s in seconds)}")


if __name__ == "__main__":
    main()
