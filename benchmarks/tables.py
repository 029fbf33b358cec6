"""`automl fit` with no options beside boosted trees, by default and tuned for the same time, on tables of half the set.

    python benchmarks/tables.py --half develop --seconds 30 --seeds 1
    python benchmarks/tables.py --half report --seconds 60 --seeds 3 --clock wall

Every second table belongs to `develop`, on which defaults of `automl fit` are chosen; the others are for reports. All
contenders get the same training rows (80 %) and are scored on the same other rows: error = 1 - accuracy, or the root
mean squared error in standard deviations of the target. `ours` is AutoMLClassifier or AutoMLRegressor. A tuned
contender is searched by Optuna (TPE): each trial trains with early stopping on four fifths of the training rows, the
best one is trained again on all of them; `default` are the library's defaults. By default a second is one of CPU time,
on one thread and in this process, so that a busy machine changes nothing; `--clock wall` counts seconds of the clock
and lets everybody use all cores. The data folder: $AUTOML_DATA.
"""

import argparse
import importlib.util
import os
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pandas as pd
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.model_selection import train_test_split

import automl
from automl.estimators import estimator
from automl.study.study import Study

DATA = Path(os.environ.get("AUTOML_DATA", Path(__file__).resolve().parents[2] / "shared" / "data")) / "tables"
ROUNDS, PATIENCE = 1000, 20
"""Trees at most of a tuned contender, and rounds without a better one after which it stops."""


@dataclass(frozen=True)
class Split:
    """The rows of one table: training and other ones; `regression`: numbers are predicted."""

    x: pd.DataFrame
    y: np.ndarray
    new_x: pd.DataFrame
    new_y: np.ndarray
    regression: bool

    @classmethod
    def of(cls, table: str, seed: int, rows: int) -> "Split":
        frame = pd.read_csv(DATA / f"{table}.tsv.gz", sep="\t")
        if rows and len(frame) > rows:
            frame = frame.sample(rows, random_state=seed)
        y = frame.pop("target")
        regression = y.dtype.kind == "f" or y.nunique() > 30
        labels = y.to_numpy(float) if regression else y.astype("category").cat.codes.to_numpy()
        some = None if regression or np.bincount(labels).min() < 2 else labels
        x, new_x, known, new = train_test_split(frame, labels, test_size=0.2, random_state=seed, stratify=some)
        return cls(x.reset_index(drop=True), known, new_x.reset_index(drop=True), new, regression)

    def error(self, model: Any) -> float:
        guessed = model.predict(self.new_x)
        if self.regression:
            return float(np.sqrt(np.mean((guessed - self.new_y) ** 2)) / self.new_y.std())
        return float(np.mean(guessed != self.new_y))


def ours(split: Split, seconds: float, seed: int, clock: str) -> Any:
    made = automl.AutoMLRegressor if split.regression else automl.AutoMLClassifier
    return made(time_s=seconds, random_state=seed).fit(split.x, split.y)


def forest_of_sklearn(split: Split, seed: int, **options: Any) -> Any:
    made = HistGradientBoostingRegressor if split.regression else HistGradientBoostingClassifier
    return made(random_state=seed, **options)


def hgb(split: Split, seconds: float, seed: int, clock: str) -> Any:
    return forest_of_sklearn(split, seed).fit(split.x, split.y)


def lightgbm(split: Split, seconds: float, seed: int, clock: str) -> Any:
    return boosted(split, seed, clock).fit(split.x, split.y)


def boosted(split: Split, seed: int, clock: str, **options: Any) -> Any:
    import lightgbm

    made = lightgbm.LGBMRegressor if split.regression else lightgbm.LGBMClassifier
    return made(random_state=seed, n_jobs=1 if clock == "cpu" else -1, verbose=-1, **options)


def tuned(fit: Callable[..., tuple[float, Any]], split: Split, seconds: float, seed: int, clock: str) -> Any:
    """`fit(split, trial, rows, held, seed, clock)` -> (loss on held rows, a function that trains on all rows)."""
    now = time.process_time if clock == "cpu" else time.perf_counter
    begun, best, longest = now(), (np.inf, lambda: None), 0.0
    labels = None if split.regression or np.bincount(split.y).min() < 2 else split.y
    rows, held = train_test_split(np.arange(len(split.y)), test_size=0.2, random_state=seed, stratify=labels)
    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=seed))
    while now() - begun + 1.5 * longest < seconds:  # the best one is trained once more
        started, trial = now(), study.ask()
        loss, again = fit(split, trial, rows, held, seed, clock)
        study.tell(trial, loss)
        best, longest = min(best, (loss, again), key=lambda one: one[0]), max(longest, now() - started)
    return best[1]()


def loss_of(split: Split, model: Any, held: np.ndarray) -> float:
    guessed = model.predict(split.x.iloc[held])
    return float(np.mean((guessed - split.y[held]) ** 2) if split.regression else np.mean(guessed != split.y[held]))


def fit_hgb(split: Split, trial: optuna.Trial, rows: np.ndarray, held: np.ndarray, seed: int, clock: str) -> Any:
    options = {
        "learning_rate": trial.suggest_float("learning_rate", 0.01, 0.3, log=True),
        "max_leaf_nodes": trial.suggest_int("max_leaf_nodes", 4, 128, log=True),
        "min_samples_leaf": trial.suggest_int("min_samples_leaf", 2, 100, log=True),
        "l2_regularization": trial.suggest_float("l2_regularization", 1e-6, 10.0, log=True),
        "max_features": trial.suggest_float("max_features", 0.3, 1.0),
    }
    stop = {"max_iter": ROUNDS, "early_stopping": True, "n_iter_no_change": PATIENCE, "validation_fraction": 0.15}
    model = forest_of_sklearn(split, seed, **options, **stop).fit(split.x.iloc[rows], split.y[rows])
    final = partial(forest_of_sklearn, split, seed, **options, max_iter=model.n_iter_, early_stopping=False)
    return loss_of(split, model, held), lambda: final().fit(split.x, split.y)


def fit_lightgbm(split: Split, trial: optuna.Trial, rows: np.ndarray, held: np.ndarray, seed: int, clock: str) -> Any:
    import lightgbm

    options = {
        "learning_rate": trial.suggest_float("learning_rate", 0.01, 0.3, log=True),
        "num_leaves": trial.suggest_int("num_leaves", 4, 128, log=True),
        "min_child_samples": trial.suggest_int("min_child_samples", 2, 100, log=True),
        "reg_lambda": trial.suggest_float("reg_lambda", 1e-6, 10.0, log=True),
        "colsample_bytree": trial.suggest_float("colsample_bytree", 0.3, 1.0),
        "subsample": trial.suggest_float("subsample", 0.5, 1.0), "subsample_freq": 1,
    }  # fmt: skip
    model = boosted(split, seed, clock, n_estimators=ROUNDS, **options)
    held_rows = [(split.x.iloc[held], split.y[held])]
    model.fit(split.x.iloc[rows], split.y[rows], eval_set=held_rows,
              callbacks=[lightgbm.early_stopping(PATIENCE, verbose=False)])  # fmt: skip
    trees = max(1, model.best_iteration_ or ROUNDS)
    final = partial(boosted, split, seed, clock, n_estimators=trees, **options)
    return loss_of(split, model, held), lambda: final().fit(split.x, split.y)


CONTENDERS: dict[str, Callable[[Split, float, int, str], Any]] = {
    "ours": ours,
    "hgb": hgb,
    "hgb tuned": partial(tuned, fit_hgb),
    "lightgbm": lightgbm,
    "lightgbm tuned": partial(tuned, fit_lightgbm),
}


def contenders(names: str) -> dict[str, Callable[[Split, float, int, str], Any]]:
    """Those asked for, or all that are installed."""
    known = importlib.util.find_spec("lightgbm") is not None
    chosen = {name: one for name, one in CONTENDERS.items() if known or "lightgbm" not in name}
    return {name: one for name, one in chosen.items() if not names or name in names.split(",")}


def summary(errors: pd.DataFrame) -> str:
    """Mean ranks, wins of ours, and by how much ours is behind the best of the others."""
    lines = [f"mean rank: {', '.join(f'{n} {r:.2f}' for n, r in errors.rank(axis=1).mean().sort_values().items())}"]
    if "ours" in errors and errors.shape[1] > 1:
        others = errors.drop(columns="ours")
        for name in others:
            wins = int((errors.ours < errors[name]).sum())
            lines.append(f"ours is better than {name} on {wins} of {len(errors)}")
        behind = errors.ours / others.min(axis=1) - 1
        lines.append(f"furthest behind the best other one: {behind.max():+.1%} of the error, on {behind.idxmax()}")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--half", choices=("develop", "report"), default="develop")
    parser.add_argument("--tables", type=int, default=100, help="so many of the half")
    parser.add_argument("--only", default="", help="names of tables, with commas")
    parser.add_argument("--contenders", default="", help=f"of {', '.join(CONTENDERS)}; with commas")
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--rows", type=int, default=0, help="of each table at most; 0: all")
    parser.add_argument("--clock", choices=("cpu", "wall"), default="cpu")
    options = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    warnings.simplefilter("ignore")
    if options.clock == "cpu":
        assert Study.__init__.__kwdefaults__ is not None
        Study.__init__.__kwdefaults__["clock"] = time.process_time
        estimator.CELLS = 10**15  # this process alone trains
    names = sorted(path.name.removesuffix(".tsv.gz") for path in DATA.glob("*.tsv.gz"))
    half = names[0 if options.half == "develop" else 1 :: 2]
    chosen = options.only.split(",") if options.only else half[: options.tables]
    found = contenders(options.contenders)
    print("| table | " + " | ".join(found) + " |\n|---|" + "---|" * len(found), flush=True)
    errors = {}
    for table in chosen:
        each: dict[str, list[float]] = {name: [] for name in found}
        spent = dict.fromkeys(found, 0.0)
        for seed in range(options.seeds):
            split = Split.of(table, seed, options.rows)
            for name, fit in found.items():
                begun = time.process_time() if options.clock == "cpu" else time.perf_counter()
                each[name].append(split.error(fit(split, options.seconds, seed, options.clock)))
                spent[name] += (time.process_time() if options.clock == "cpu" else time.perf_counter()) - begun
        errors[table] = {name: float(np.mean(values)) for name, values in each.items()}
        cells = (f"{errors[table][name]:.4f} ({spent[name] / options.seeds:.0f} s)" for name in found)
        print(f"| {table} | " + " | ".join(cells) + " |", flush=True)
    print("\n" + summary(pd.DataFrame(errors).T))


if __name__ == "__main__":
    main()
