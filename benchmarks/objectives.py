"""Several objectives: which share of the true front's volume a search has after some trials, beside Optuna.

    python benchmarks/objectives.py --seeds 10 --json objectives.json
    python benchmarks/objectives.py --seeds 2 --problems zdt1 hpolib_protein_structure --methods auto optuna
    python benchmarks/objectives.py --digits

Functions with known fronts (6 parameters), and exhaustive tables of real trainings as error against parameters. All
searches are sequential; ordered choices are integers for Optuna. `optuna` is Optuna's default sampler, with 100 trials;
`optuna_gp` its GPSampler, with 50. `--digits` compares searches of the digits with early stopping to one that trains 60
trials to their end, which takes at least three times as many epochs: the volume of the front, error against parameters.
"""

import argparse
import json
import tempfile
import time
import warnings
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
from _fronts import NAMES, FrontProblem, problem, volume

import automl
from automl.core.space import Choice, Config, Int
from automl.study.study import Study

AT = (25, 50, 100)
TRIALS = {"auto": 50, "gp": 50, "tpe": 50, "random": 100, "optuna": 100, "optuna_gp": 50}
"""Method: trials of a search."""
DIGITS: dict[str, Any] = {
    "model": "mlp",
    "data": "digits",
    "epochs": 27,
    "objectives": ["val_log_loss", "parameters"],
    "space": {
        "width": {"int": [4, 256], "log": True},
        "depth": [1, 2, 3],
        "lr": {"float": [1e-4, 0.1], "log": True},
        "dropout": {"float": [0.0, 0.5]},
    },
    "finalists": "none",
    "strategy": "auto",
}
BUDGETS = {"none": {"trials": 60}, "asha": {"trials": 150}, "halving": {"epochs": 540}}
"""Stopper: the budget. Early stopping gets about a third of the epochs."""


def ours(one: FrontProblem, method: str, seed: int) -> list[tuple[float, ...]]:
    """The losses of the trials of a search of ours."""
    metric = [{"name": f"f{k}", "direction": "minimize"} for k in range(len(one.reference))]
    study = Study(one.space, metric=metric, trials=TRIALS[method], strategy=method, seed=seed, defaults=False)
    found = []
    while (trial := study.ask()) is not None:
        found.append(one.losses(trial.config))
        study.tell(trial, **{f"f{k}": value for k, value in enumerate(found[-1])})
    return found


def optunas(one: FrontProblem, method: str, seed: int) -> list[tuple[float, ...]]:
    """The losses of the trials of a search of Optuna's."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    ways: list[Any] = ["minimize"] * len(one.reference)
    default = type(optuna.create_study(directions=ways).sampler)
    sampler = optuna.samplers.GPSampler if method == "optuna_gp" else default
    study = optuna.create_study(directions=ways, sampler=sampler(seed=seed))
    found = []
    for _ in range(TRIALS[method]):
        trial = study.ask()
        config: Config = {}
        for name, p in one.space.params.items():
            if isinstance(p, Choice) and not p.ordered:
                config[name] = trial.suggest_categorical(name, [*p.choices])
            elif isinstance(p, Choice):
                config[name] = p.choices[trial.suggest_int(name, 0, len(p.choices) - 1)]
            elif isinstance(p, Int):
                config[name] = trial.suggest_int(name, p.low, p.high)
            else:
                config[name] = trial.suggest_float(name, p.low, p.high)
        found.append(one.losses(config))
        study.tell(trial, found[-1])
    return found


def search(name: str, method: str, seed: int) -> dict[str, Any]:
    """One search: the share of the volume after each number of trials, and CPU seconds."""
    one, began = problem(name), time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = (optunas if method.startswith("optuna") else ours)(one, method, seed)
    seconds = time.process_time() - began
    shares = {str(at): one.share(found[:at]) for at in AT if at <= len(found)}
    return {"problem": name, "method": method, "seed": seed, "seconds": seconds, **shares}


def digits(seeds: int) -> None:
    """The front of the digits with early stopping, for a third of the epochs of full training, and without."""
    print("| stopper | seed | epochs | volume | on the front |\n|---|---|---|---|---|")
    for seed in range(seeds):
        for stopper in BUDGETS:
            with tempfile.TemporaryDirectory() as folder:
                spec = {**DIGITS, "stopper": stopper, "seed": seed, "budget": BUDGETS[stopper]}
                file = Path(folder) / "digits.yaml"
                file.write_text(json.dumps(spec))
                study = automl.search(file, dir=folder, screen=None)
                front = study.history.front()
            points = np.array([(t.vector[0], np.log10(t.vector[1])) for t in front])
            reached = volume(points, np.array([2.5, 5.5]))
            print(f"| {stopper} | {seed} | {study.history.steps_spent} | {reached:.3f} | {len(front)} |", flush=True)


def main() -> None:
    """Print a table; write all single searches as JSON where asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--problems", nargs="+", default=NAMES)
    parser.add_argument("--methods", nargs="+", default=list(TRIALS))
    parser.add_argument("--digits", action="store_true")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    if args.digits:
        digits(args.seeds)
        return
    rows = []
    print("| problem | method | 25 | 50 | 100 | CPU s |\n|---|---|---|---|---|---|")
    for name in args.problems:
        for method in args.methods:
            runs = [search(name, method, seed) for seed in range(args.seeds)]
            rows += runs
            cells = [f"{fmean(run[str(at)] for run in runs):.2f}" if str(at) in runs[0] else "-" for at in AT]
            print(f"| {name} | {method} | {' | '.join(cells)} | {fmean(r['seconds'] for r in runs):.1f} |", flush=True)
            if args.json:
                args.json.write_text(json.dumps(rows))


if __name__ == "__main__":
    main()
