"""Population based training in fused lanes: what an exploit costs, and how its winners compare with `halving`'s.

    python benchmarks/pbt.py exploit                 # CPU ms to begin a lane with another one's state
    python benchmarks/pbt.py compare --seeds 10      # against `auto` + `halving` with a cosine, equal trial-epochs
    python benchmarks/pbt.py ray                     # a population of 8 beside Ray Tune's PopulationBasedTraining

The comparison is of finalists: each search's three best are trained again on three fresh seeds (for `pbt` their
schedules of hyperparameters), and what counts is the winner's accuracy on the test rows. Both search the same five
hyperparameters of training, of a network of 2 x 64 units; each may spend `--epochs` trial-epochs.
"""

import argparse
import contextlib
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch
from _tables import DATA

import automl
from automl.data import load

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
    from automl import models
    from automl.fused.engine import Engine
    from automl.fused.problem import Entry, Options, Problem

    made = load("digits")
    build = models.build("mlp")
    print("| parameters | lanes | CPU ms a lane: copy out | begin with it | an epoch of all lanes, ms |")
    print("|---" * 5 + "|")
    for width in (32, 256, 512):
        config = {"depth": 2, "width": width, "batch_size": 64, "lr": 1e-3, "dropout": 0.1}
        problem = Problem(build, made.inputs, made.outputs, made.kind, made.train, made.val, own_factory=False)
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


def ours(folder: Path, epochs: int, ready: int) -> float:
    """A population of 8 in a process of its own; returns the best validation accuracy."""
    space = {"depth": 2, "width": 32, "batch_size": 32, **{n: SPACE[n] for n in ("lr", "weight_decay", "dropout")}}
    spec = {"study": "ours", "model": "mlp", "data": "digits", "metric": "val_accuracy", "epochs": epochs}
    spec |= {"space": space, "strategy": "pbt", "stopper": {"name": "population", "size": 8, "ready": ready}}
    spec |= {"budget": {"epochs": 8 * epochs}, "finalists": "none", "executor": "inline"}
    (folder / "ours.yaml").write_text(json.dumps(spec))
    command = [Path(sys.executable).with_name("automl"), "search", "ours.yaml", "--quiet"]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    best = automl.Study.open(folder / "studies" / "ours").best
    assert best is not None
    assert best.loss is not None
    return -best.loss


def rays(folder: Path, epochs: int, ready: int) -> float:
    """The same of Ray Tune: quarter by quarter, checkpoints of the plain training loop, actors reused."""
    import ray
    from _plain import Plain, tensors
    from ray import tune
    from ray.tune.schedulers import PopulationBasedTraining

    made = load("digits")
    data = {"train": (made.train.x, made.train.y), "val": (made.val.x, made.val.y), "classes": int(made.outputs)}
    torch.save(data, folder / "tensors.pt")
    path, here = str(folder / "tensors.pt"), str(Path(__file__).parent)

    def train(config: dict[str, float]) -> None:
        trial, done = Plain(config, tensors(path), 32, 32), 0
        if (found := tune.get_checkpoint()) is not None:
            with found.as_directory() as saved:
                state = torch.load(Path(saved) / "state.pt")
            trial.model.load_state_dict(state["model"])
            trial.optimizer.load_state_dict(state["optimizer"])
            trial.optimizer.param_groups[0].update(lr=config["lr"], weight_decay=config["weight_decay"])
            done = state["done"]
        for epoch in range(done + 1, epochs + 1):
            accuracy = trial.epoch()
            if epoch % ready:
                tune.report({"accuracy": accuracy})
                continue
            with tempfile.TemporaryDirectory() as at:
                state = {"model": trial.model.state_dict(), "optimizer": trial.optimizer.state_dict(), "done": epoch}
                torch.save(state, Path(at) / "state.pt")
                tune.report({"accuracy": accuracy}, checkpoint=tune.Checkpoint.from_directory(at))

    ray.init(num_cpus=2, include_dashboard=False, logging_level="ERROR", log_to_driver=False,
             runtime_env={"env_vars": {"PYTHONPATH": here, "OMP_NUM_THREADS": "1"}})  # fmt: skip
    space = {"lr": tune.loguniform(1e-4, 3e-2), "weight_decay": tune.loguniform(1e-6, 1e-1)}
    scheduler = PopulationBasedTraining(perturbation_interval=ready, hyperparam_mutations=space)
    tuner = tune.Tuner(
        train,
        param_space={**space, "dropout": tune.uniform(0.0, 0.5)},
        tune_config=tune.TuneConfig(
            metric="accuracy", mode="max", num_samples=8, scheduler=scheduler, reuse_actors=True
        ),
        run_config=tune.RunConfig(verbose=0, storage_path=str(folder / "ray")),
    )
    found = tuner.fit().get_best_result().metrics["accuracy"]
    ray.shutdown()
    return float(found)


def beside_ray(given: argparse.Namespace) -> None:
    """CPU seconds of both programs, with all their processes, from start to end."""
    print("| program | CPU s | wall s | best validation accuracy |")
    print("|---" * 4 + "|")
    for name, program in {"automl": ours, "Ray Tune": rays}.items():
        with tempfile.TemporaryDirectory() as folder:
            code = f"import pbt, pathlib; print(pbt.{program.__name__}(pathlib.Path({folder!r}), {given.horizon}, 3))"
            begun, started = cpu_s(), time.perf_counter()
            command = [sys.executable, "-c", code]
            with subprocess.Popen(command, cwd=Path(__file__).parent, stdout=subprocess.PIPE, text=True) as process:
                spent = followed(process)
                told = process.stdout.read() if process.stdout else ""
            wall = time.perf_counter() - started
            print(f"| {name} | {max(spent, cpu_s() - begun):.1f} | {wall:.0f} | {told.split()[-1]} |", flush=True)


def followed(process: subprocess.Popen[str]) -> float:
    """CPU seconds of a process and of all that it has started, also of those that nobody waits for."""
    seconds: dict[tuple[int, float], float] = {}
    root = psutil.Process(process.pid)
    while process.poll() is None:
        with contextlib.suppress(psutil.Error):
            for one in [root, *root.children(recursive=True)]:
                with contextlib.suppress(psutil.Error):
                    used = one.cpu_times()
                    seconds[one.pid, one.create_time()] = used.user + used.system
        time.sleep(0.1)
    return sum(seconds.values())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("what", choices=["exploit", "compare", "ray"])
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--epochs", type=int, default=256)
    parser.add_argument("--horizon", type=int, default=16)
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--tasks", nargs="*", default=[])
    given = parser.parse_args()
    torch.set_num_threads(1)
    {"exploit": exploit, "compare": compare, "ray": beside_ray}[given.what](given)


if __name__ == "__main__":
    main()
