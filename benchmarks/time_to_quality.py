"""Wall time until the best validation accuracy reaches a target: whole programs on one space, data set and machine.

    python benchmarks/time_to_quality.py --data digits --target 0.975 --seeds 3 --limit 120

Each program runs by itself in a process of its own, imports included: automl (fused), automl --no-fuse, Optuna (TPE and
successive halving, one process per core) and, where it is installed, Ray Tune (ASHA, reused actors). Optuna and Ray
train with the same well-written plain loop: tensors in memory, no DataLoader, fused AdamW, one thread. All have the
same budget of trials, the same rungs (reduction 3) and workers; the order changes from seed to seed. A run that does
not get there within `--limit` seconds counts as the limit.
"""

import argparse
import json
import os
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

SPACE = """
  depth: 2
  width: {width}
  dropout: {{float: [0.0, 0.6]}}
  weight_decay: {{float: [1e-6, 1e-1], log: true}}
  optimizer: adamw
  lr: {{float: [1e-4, 3e-2], log: true}}
  batch_size: 32
"""
SPEC = """
study: race
model: mlp
data: {data}
{prepare}
metric: val_accuracy
epochs: {epochs}
space: {space}
strategy: {strategy}
stopper: asha
budget: {{trials: {trials}}}
finalists: none
"""
Note = Callable[[float], None]


def plain(config: dict[str, float], how: dict[str, Any], report: Callable[[int, float], bool]) -> None:
    """Train one trial; `report(epoch, accuracy)` says whether to go on."""
    import torch
    from torch import nn

    train, val, inputs, outputs = parts(how)
    layers: list[nn.Module] = []
    for size in (inputs, how["width"]):
        layers += [nn.Linear(size, how["width"]), nn.ReLU(), nn.Dropout(config["dropout"])]
    model = nn.Sequential(*layers, nn.Linear(how["width"], outputs))
    optimizer = torch.optim.AdamW(model.parameters(), config["lr"], weight_decay=config["weight_decay"], fused=True)
    loss_of = nn.CrossEntropyLoss()
    for epoch in range(1, how["epochs"] + 1):
        model.train()
        order = torch.randperm(len(train[1]))
        for rows in order.split(32):
            optimizer.zero_grad()
            loss_of(model(train[0][rows]), train[1][rows]).backward()
            optimizer.step()
        model.eval()
        with torch.no_grad():
            accuracy = float((model(val[0]).argmax(1) == val[1]).double().mean())
        if not report(epoch, accuracy):
            return


_held: dict[str, Any] = {}


def parts(how: dict[str, Any]) -> Any:
    """The same tensors for everybody, loaded once in a process."""
    if not _held:
        import torch

        from automl import data

        torch.set_num_threads(1)
        made = data.load(how["data"], prepare=how["prepare"])
        _held["parts"] = (
            (made.train.x.flatten(1), made.train.y),
            (made.val.x.flatten(1), made.val.y),
            int(made.inputs),
            int(made.outputs),
        )
    return _held["parts"]


def run_automl(how: dict[str, Any], fuse: str) -> None:
    import automl

    prepare = f"prepare: {json.dumps(how['prepare'])}" if how["prepare"] else ""
    text = SPEC.format(**{**how, "prepare": prepare}, space=SPACE.format(width=how["width"]))
    with tempfile.TemporaryDirectory() as folder:
        spec = Path(folder) / "space.yaml"
        spec.write_text(text)
        note = noter(how)
        from automl.study import Study

        entered = Study.report_all

        def report_all(study: Any, points: Any) -> Any:
            found = entered(study, points)
            note(max((float(p.metrics["val_accuracy"]) for p in points), default=0.0))
            return found

        Study.report_all = report_all  # type: ignore[method-assign, assignment]
        automl.search(spec, path=Path(folder) / "s", workers=how["workers"], seed=how["seed"], overrides={"fuse": fuse})


def run_optuna_worker(how: dict[str, Any], journal: str) -> None:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    storage = optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend(journal))
    study = optuna.create_study(
        storage=storage, study_name="race", direction="maximize", load_if_exists=True,
        sampler=optuna.samplers.TPESampler(seed=how["seed"] * 100 + how["index"]),
        pruner=optuna.pruners.SuccessiveHalvingPruner(1, 3),
    )  # fmt: skip
    note = noter(how)

    def objective(trial: Any) -> float:
        config = {
            "dropout": trial.suggest_float("dropout", 0.0, 0.6),
            "weight_decay": trial.suggest_float("weight_decay", 1e-6, 1e-1, log=True),
            "lr": trial.suggest_float("lr", 1e-4, 3e-2, log=True),
        }
        last = 0.0

        def report(epoch: int, accuracy: float) -> bool:
            nonlocal last
            last = accuracy
            note(accuracy)
            trial.report(accuracy, epoch)
            if trial.should_prune():
                raise optuna.TrialPruned
            return True

        plain(config, how, report)
        return last

    stop = optuna.study.MaxTrialsCallback(how["trials"], states=None)
    study.optimize(objective, callbacks=[stop])


def run_optuna(how: dict[str, Any]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        workers = [start("optuna-worker", {**how, "index": k}, folder + "/journal.log") for k in range(how["workers"])]
        for worker in workers:
            worker.wait()


def run_ray(how: dict[str, Any]) -> None:
    import ray
    from ray import tune
    from ray.tune.schedulers import ASHAScheduler

    ray.init(num_cpus=how["workers"], include_dashboard=False, logging_level="ERROR", log_to_driver=False)
    note = noter(how)

    class Trainable(tune.Trainable):  # type: ignore[misc, name-defined]
        def setup(self, config: dict[str, Any]) -> None:
            self.begin(config)

        def begin(self, config: dict[str, Any]) -> None:
            import queue
            import threading

            self.told: queue.Queue[float] = queue.Queue(1)
            self.thread = threading.Thread(target=plain, args=(config, how, self.report), daemon=True)
            self.epochs, self.alive = 0, True
            self.thread.start()

        def report(self, epoch: int, accuracy: float) -> bool:
            self.told.put(accuracy)
            return self.alive

        def step(self) -> dict[str, Any]:
            accuracy = self.told.get()
            self.epochs += 1
            note(accuracy)
            return {"val_accuracy": accuracy, "done": self.epochs >= how["epochs"]}

        def reset_config(self, config: dict[str, Any]) -> bool:
            self.alive = False
            self.begin(config)
            return True

    random.seed(how["seed"])
    tuner = tune.Tuner(
        Trainable,
        param_space={
            "dropout": tune.uniform(0.0, 0.6),
            "weight_decay": tune.loguniform(1e-6, 1e-1),
            "lr": tune.loguniform(1e-4, 3e-2),
        },
        tune_config=tune.TuneConfig(
            metric="val_accuracy", mode="max", num_samples=how["trials"], reuse_actors=True,
            max_concurrent_trials=how["workers"],
            scheduler=ASHAScheduler(max_t=how["epochs"], grace_period=1, reduction_factor=3),
        ),
        run_config=tune.RunConfig(verbose=0),
    )  # fmt: skip
    tuner.fit()
    ray.shutdown()


def noter(how: dict[str, Any]) -> Note:
    """Writes the moment at which the target was first reached to the file that the race watches."""
    reached = Path(how["reached"])

    def note(accuracy: float) -> None:
        if accuracy >= how["target"] and not reached.exists():
            part = reached.with_suffix(f".{os.getpid()}")
            part.write_text(f"{time.time()} {accuracy}")
            part.rename(reached)

    return note


PROGRAMS: dict[str, Callable[[dict[str, Any]], None]] = {
    "automl": lambda how: run_automl(how, "auto"),
    "automl --no-fuse": lambda how: run_automl(how, "never"),
    "optuna": run_optuna,
    "ray tune": run_ray,
}


def start(program: str, how: dict[str, Any], *more: str) -> "subprocess.Popen[bytes]":
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, __file__, "--program", program, "--how", json.dumps(how), *more]
    return subprocess.Popen(command, env=environment, start_new_session=program != "optuna-worker",
                            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)  # fmt: skip


def race(program: str, how: dict[str, Any], limit: float) -> tuple[float, float]:
    """(wall seconds to the target, CPU seconds of the program and its children up to then)."""
    import signal

    with tempfile.TemporaryDirectory() as folder:
        reached = Path(folder) / "reached"
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        begun = time.time()
        process = start(program, {**how, "reached": str(reached)})
        while process.poll() is None and not reached.exists() and time.time() - begun < limit:
            time.sleep(0.01)
        wall = float(reached.read_text().split()[0]) - begun if reached.exists() else limit
        if process.poll() not in (None, 0) and not reached.exists():
            raise RuntimeError(f"{program} failed: {process.stderr.read().decode()[-2000:] if process.stderr else ''}")
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGTERM)
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", choices=["digits", "mnist"], default="digits")
    parser.add_argument("--target", type=float, default=0.975)
    parser.add_argument("--trials", type=int, default=200)
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--width", type=int, default=32)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--limit", type=float, default=120.0)
    parser.add_argument("--strategy", default="random", help="automl's")
    parser.add_argument("--only", nargs="*", default=list(PROGRAMS))
    parser.add_argument("--program", help=argparse.SUPPRESS)
    parser.add_argument("--how", help=argparse.SUPPRESS)
    parser.add_argument("journal", nargs="?", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.program:
        how = json.loads(asked.how)
        if asked.program == "optuna-worker":
            run_optuna_worker(how, asked.journal)
        else:
            PROGRAMS[asked.program](how)
        return
    prepare = {"rows": 12000} if asked.data == "mnist" else {}
    names = ("data", "target", "trials", "epochs", "width", "workers", "strategy")
    how = {**{name: getattr(asked, name) for name in names}, "prepare": prepare}
    walls: dict[str, list[float]] = {name: [] for name in asked.only}
    for seed in range(asked.seeds):
        order = list(asked.only)
        random.Random(seed).shuffle(order)
        for program in order:
            wall, cpu = race(program, {**how, "seed": seed}, asked.limit)
            walls[program].append(wall)
            print(f"seed {seed}  {program:18} {wall:7.1f} s  ({cpu:.1f} CPU s)", flush=True)
    fused = statistics.median(walls[asked.only[0]])
    print(f"\nmedian seconds to {asked.target} on {asked.data}, {asked.seeds} seeds; ratio to {asked.only[0]}")
    for program, seconds in walls.items():
        print(f"{program:18} {statistics.median(seconds):7.1f} s {statistics.median(seconds) / fused:6.1f}x")


if __name__ == "__main__":
    main()
