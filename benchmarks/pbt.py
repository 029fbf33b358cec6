"""Population based training in fused lanes: what an exploit costs, and how its winners compare with `halving`'s.

    python benchmarks/pbt.py exploit                 # CPU ms to begin a lane with another one's state
    python benchmarks/pbt.py compare --seeds 10      # against `auto` + `halving` with a cosine, equal trial-epochs

The comparison is of finalists: each search's three best are trained again on three fresh seeds (for `pbt` their
schedules of hyperparameters), and what counts is the winner's accuracy on the test rows. Both search the same five
hyperparameters of training, of a network of 2 x 64 units; each may spend `--epochs` trial-epochs.
"""

import argparse
import json
import resource
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _tables import DATA

import automl

TASKS = {"letter": {"rows": 6000}, "pendigits": {"rows": 6000}, "optdigits": {}}
SPACE: dict[str, Any] = {
    "depth": 2,
    "width": 64,
    "lr": {"float": [1e-4, 3e-2], "log": True},
    "weight_decay": {"float": [1e-6, 1e-1], "log": True},
    "dropout": {"float": [0.0, 0.5]},
    "label_smoothing": {"float": [0.0, 0.2]},
    "beta1": {"float": [0.8, 0.99]},
    "batch_size": 64,
}
METHODS: dict[str, dict[str, Any]] = {
    "auto + halving, cosine": {"space": {**SPACE, "schedule": "cosine"}, "stopper": "halving"},
    "pbt": {"space": SPACE, "strategy": "pbt"},
    "pbt, cosine": {"space": {**SPACE, "schedule": "cosine"}, "strategy": "pbt"},
}


def cpu_s() -> float:
    """CPU seconds of this process and of its children that have ended."""
    found = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in found)


def searched(method: str, task: str, seed: int, epochs: int, horizon: int) -> tuple[float, float, float, int]:
    """(test accuracy of the winner, its mean over fresh seeds, CPU seconds, trials) of one search."""
    with tempfile.TemporaryDirectory() as folder:
        spec = {
            "study": "pbt",
            "model": "mlp",
            "data": str(DATA / "tables" / f"{task}.tsv.gz"),
            "target": "target",
            "metric": "val_accuracy",
            "epochs": horizon,
            "prepare": TASKS[task],
            "budget": {"epochs": epochs},
            "finalists": {"top": 3, "seeds": 3},
            "seed": seed,
            **METHODS[method],
        }
        file = Path(folder) / "space.yaml"
        file.write_text(json.dumps({name: value for name, value in spec.items() if value}))
        begun = cpu_s()
        study = automl.search(file, path=Path(folder) / "study", executor="inline", screen=None)
        assert study.verdict is not None
        means = [f["mean"] for f in study.verdict["finalists"] if f["trial"] == study.verdict["winner"]]
        return study.verdict["test"]["value"], means[0], cpu_s() - begun, len(study.history)


def compare(given: argparse.Namespace) -> None:
    print(f"{given.epochs} trial-epochs, full trials of {given.horizon}; {given.seeds} seeds; accuracy")
    print("| task | method | test: mean | by seed | on fresh seeds | trials | CPU s, with finalists |")
    print("|---" * 7 + "|")
    for task in given.tasks or TASKS:
        for method in METHODS:
            rows = [searched(method, task, seed, given.epochs, given.horizon) for seed in range(given.seeds)]
            test, fresh, seconds, trials = (np.array(column) for column in zip(*rows, strict=True))
            each = " ".join(f"{one:.3f}" for one in test)
            print(f"| {task} | {method} | {test.mean():.4f} | {each} | {fresh.mean():.4f} | {trials.mean():.0f} | "
                  f"{seconds.mean():.1f} |", flush=True)  # fmt: skip


def exploit(given: argparse.Namespace) -> None:
    """A lane that is paused is let go, and another one begins with its state: all that an exploit costs in memory."""
    from automl import data, models
    from automl.fused.engine import Engine
    from automl.fused.problem import Entry, Options, Problem

    made = data.load("digits")
    build = models.build("mlp")
    print("| parameters | lanes | CPU ms a lane: copy out | begin with it | an epoch of all lanes, ms |")
    print("|---" * 5 + "|")
    for width in (32, 256, 512):
        config = {"depth": 2, "width": width, "batch_size": 64, "lr": 1e-3, "dropout": 0.1}
        problem = Problem(build, made.inputs, made.outputs, made.kind, made.train, made.val)
        engine = Engine(problem, Options(fuse="always"))
        lanes = 16
        engine.admit([Entry(k, {**config, "lr": 1e-3 * (k + 1)}, k, 1000) for k in range(lanes)], together=True)
        engine.run_epoch()
        begun = time.process_time()
        engine.run_epoch()
        epoch = time.process_time() - begun
        out, into, number = [], [], lanes
        for _ in range(given.repeats):
            begun = time.process_time()
            states = engine.snapshot(engine.trials)
            out.append((time.process_time() - begun) / lanes)
            engine.release(engine.trials)
            begun = time.process_time()
            entries = [
                Entry(number + k, {**config, "lr": 2e-3 * (k + 1)}, k, 1000, s) for k, s in enumerate(states.values())
            ]
            engine.admit(entries, together=True)
            into.append((time.process_time() - begun) / lanes)
            number += lanes
        size = sum(p.numel() for p in build(config, made.inputs, made.outputs).parameters())
        print(f"| {size:,} | {lanes} | {1e3 * np.median(out):.2f} | {1e3 * np.median(into):.2f} | {1e3 * epoch:.0f} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("what", choices=["exploit", "compare"])
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--epochs", type=int, default=256)
    parser.add_argument("--horizon", type=int, default=16)
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--tasks", nargs="*", default=[])
    given = parser.parse_args()
    torch.set_num_threads(1)
    {"exploit": exploit, "compare": compare}[given.what](given)


if __name__ == "__main__":
    main()
