"""The programs that `time_to_quality.py` races, each run by itself: `python _contestants.py PROGRAM HOW`.

HOW is a JSON object. `spec`, `study`: paths; `tensors`: the peers' data, read by `_plain`; `reached`: the file that
gets the time of the first report at or above `target`; `trials`: null for as many as there is time for; `epochs`,
`width`, `batch`, `workers`, `seed`; `best`, for Optuna: files that get the best accuracy of each of its processes.
Every program looks at each epoch of each trial, and begins with nothing imported.
"""

import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ETA = 3  # of all programs: a third goes on at 1, 3, 9, ... epochs


def noter(how: dict[str, Any]) -> Callable[[float], None]:
    """Writes the moment at which the target was first reached to the file that the race watches."""
    reached = Path(how["reached"])

    def note(accuracy: float) -> None:
        if accuracy >= how["target"] and not reached.exists():
            part = reached.with_suffix(f".{os.getpid()}")
            part.write_text(f"{time.time()} {accuracy}")
            part.rename(reached)

    return note


class Noting:
    """A screen for automl that shows nothing: it notes what is reported to the study."""

    def __init__(self, note: Callable[[float], None]) -> None:
        self.note_accuracy = note

    def begin(self, study: Any) -> None:
        entered = study.report_all

        def report_all(points: Any) -> Any:
            found = entered(points)
            self.note_accuracy(max((float(p.metrics["val_accuracy"]) for p in points), default=0.0))
            return found

        study.report_all = report_all

    def ended(self, study: Any, record: Any) -> None: ...
    def tick(self, study: Any, workers: Any) -> None: ...
    def note(self, text: str) -> None: ...
    def finish(self, study: Any, outcome: str) -> None: ...


def run_automl(how: dict[str, Any], fuse: str) -> None:
    import automl

    screen, place = Noting(noter(how)), {"path": how["study"], "workers": how["workers"], "seed": how["seed"]}
    automl.search(how["spec"], **place, screen=screen, overrides={"fuse": fuse})


def run_optuna(how: dict[str, Any]) -> None:
    """One process per core on one journal, as Optuna's documentation has it."""
    command = [sys.executable, __file__, "optuna-worker"]
    workers = [subprocess.Popen([*command, json.dumps({**how, "index": k})]) for k in range(how["workers"])]
    for worker in workers:
        worker.wait()


def run_optuna_worker(how: dict[str, Any]) -> None:
    import optuna
    from _plain import Plain, tensors

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    backend = optuna.storages.journal.JournalFileBackend(how["study"] + ".journal")
    sampler = optuna.samplers.TPESampler(seed=how["seed"] * 100 + how["index"], constant_liar=True)
    study = optuna.create_study(
        storage=optuna.storages.JournalStorage(backend), study_name="race", direction="maximize", load_if_exists=True,
        sampler=sampler, pruner=optuna.pruners.SuccessiveHalvingPruner(1, ETA),
    )  # fmt: skip
    note, best = noter(how), 0.0

    def objective(trial: Any) -> float:
        nonlocal best
        config = {
            "dropout": trial.suggest_float("dropout", 0.0, 0.6),
            "weight_decay": trial.suggest_float("weight_decay", 1e-6, 1e-1, log=True),
            "lr": trial.suggest_float("lr", 1e-4, 3e-2, log=True),
        }
        model, accuracy = Plain(config, tensors(how["tensors"]), how["width"], how["batch"]), 0.0
        for epoch in range(1, how["epochs"] + 1):
            accuracy = model.epoch()
            note(accuracy)
            best = max(best, accuracy)
            trial.report(accuracy, epoch)
            if trial.should_prune():
                raise optuna.TrialPruned
        return accuracy

    stop = [optuna.study.MaxTrialsCallback(how["trials"], states=None)] if how["trials"] else []
    study.optimize(objective, callbacks=stop)
    if "best" in how:
        Path(f"{how['best']}-{how['index']}").write_text(str(best))


def run_ray(how: dict[str, Any]) -> None:
    import ray
    from ray import tune
    from ray.tune.schedulers import ASHAScheduler

    home = str(Path(__file__).parent)
    ray.init(num_cpus=how["workers"], include_dashboard=False, logging_level="ERROR", log_to_driver=False,
             runtime_env={"env_vars": {"PYTHONPATH": home}})  # fmt: skip

    class Trainable(tune.Trainable):  # type: ignore[misc, name-defined]
        def setup(self, config: dict[str, Any]) -> None:
            self.note = noter(how)
            self.reset_config(config)

        def reset_config(self, config: dict[str, Any]) -> bool:
            from _plain import Plain, tensors

            self.model, self.epochs = Plain(config, tensors(how["tensors"]), how["width"], how["batch"]), 0
            return True

        def step(self) -> dict[str, Any]:
            accuracy = self.model.epoch()
            self.epochs += 1
            self.note(accuracy)
            return {"val_accuracy": accuracy, "done": self.epochs >= how["epochs"]}

    random.seed(how["seed"])
    import numpy as np

    np.random.seed(how["seed"])  # noqa: NPY002  what Ray Tune's random search draws from
    tuner = tune.Tuner(
        Trainable,
        param_space={
            "dropout": tune.uniform(0.0, 0.6),
            "weight_decay": tune.loguniform(1e-6, 1e-1),
            "lr": tune.loguniform(1e-4, 3e-2),
        },
        tune_config=tune.TuneConfig(
            metric="val_accuracy", mode="max", num_samples=how["trials"] or -1, reuse_actors=True,
            max_concurrent_trials=how["workers"],
            scheduler=ASHAScheduler(max_t=how["epochs"], grace_period=1, reduction_factor=ETA),
        ),
        run_config=tune.RunConfig(verbose=0, storage_path=how["study"] + "-ray"),
    )  # fmt: skip
    tuner.fit()
    ray.shutdown()


PROGRAMS: dict[str, Callable[[dict[str, Any]], None]] = {
    "automl": lambda how: run_automl(how, "auto"),
    "automl --no-fuse": lambda how: run_automl(how, "never"),
    "optuna": run_optuna,
    "optuna-worker": run_optuna_worker,
    "ray tune": run_ray,
}

if __name__ == "__main__":
    PROGRAMS[sys.argv[1]](json.loads(sys.argv[2]))
