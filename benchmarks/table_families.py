"""Families and preparations for tables through whole searches of as many trials, beside scikit-learn's boosted trees.

    OMP_NUM_THREADS=1 python benchmarks/table_families.py  # small: 2,500 rows, 8 trials
    OMP_NUM_THREADS=1 python benchmarks/table_families.py --rows 20000 --trials 40 --seeds 3

Each case is a search as `automl search` runs it, in this process, with two finalists on two seeds and one look at the
test part; "all" searches over mlp, tabm and trees in one study, with an ensemble of at most eight. The boosted trees
are `HistGradientBoosting...` with its defaults, on the training and validation rows of the same split (categories and
missing values as they are). The tables were used for no choice of a range or a default. They are those of AUTOML_DATA.
"""

import argparse
import json
import os
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

import automl
from automl import data

DATA = Path(os.environ.get("AUTOML_DATA", Path(__file__).resolve().parents[2] / "shared" / "data")) / "tables"
TABLES = {"503_wind": "rmse", "page_blocks": "balanced_accuracy", "adult": "accuracy", "waveform_40": "accuracy"}
MLP: dict[str, Any] = {"use": "architecture/mlp", "width": {"int": [32, 256], "log": True}, "depth": {"int": [1, 3]}}
TRAINING = {
    "lr": {"float": [5e-4, 1e-2], "log": True}, "weight_decay": {"float": [1e-4, 1e-1], "log": True},
    "dropout": {"float": [0.0, 0.4]}, "batch_size": 128, "schedule": "cosine",
}  # fmt: skip
EMBEDDED = {"embed_numbers": "piecewise", "embed_size": 8, "frequencies": 16}
TABM = {"members": 8, "width": {"int": [64, 192], "log": True}, "depth": {"int": [1, 2]}}
TREES = {"use": "architecture/trees"}
CASES: dict[str, dict[str, Any]] = {
    "mlp": {"model": "mlp", "space": {"net": MLP, "training": TRAINING}},
    "mlp, robust_clip": {"model": "mlp", "prepare": {"scale": "robust_clip"},
                         "space": {"net": MLP, "training": TRAINING}},
    "mlp, quantile": {"model": "mlp", "prepare": {"scale": "quantile"}, "space": {"net": MLP, "training": TRAINING}},
    "mlp, quantile, piecewise": {"model": "mlp", "prepare": {"scale": "quantile"},
                                 "space": {"net": MLP, "numbers": EMBEDDED, "training": TRAINING}},
    "tabm, quantile, piecewise": {"model": "tabm", "prepare": {"scale": "quantile"},
                                  "space": {"net": TABM, "numbers": EMBEDDED, "training": TRAINING}},
    "trees": {"model": "trees", "space": {"trees": TREES}},
    "trees, lightgbm": {"model": "trees", "space": {"trees": TREES, "library": "lightgbm"}},
    "all": {"model": ["mlp", "tabm", "trees"], "prepare": {"scale": "quantile"}, "ensemble": 8,
            "space": {"net": {**TABM, "depth": {"int": [1, 3]}}, "numbers": EMBEDDED, "trees": TREES,
                      "training": TRAINING}},
}  # fmt: skip


def spec(table: str, metric: str, case: dict[str, Any], asked: argparse.Namespace, seed: int) -> dict[str, Any]:
    prepare = {"rows": asked.rows, **case.get("prepare", {})}
    return {
        "data": str(DATA / f"{table}.tsv.gz"), "target": "target", "metric": f"val_{metric}", "epochs": 20,
        "patience": 5, "strategy": "random", "stopper": "asha", "budget": {"trials": asked.trials},
        "finalists": {"top": 2, "seeds": 2}, "seed": seed, **case, "prepare": prepare,
    }  # fmt: skip


def searched(described: dict[str, Any]) -> tuple[str, float]:
    """The test score of the winner (with that of the ensemble, where there is one), and CPU seconds."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "space.yaml"
        file.write_text(json.dumps(described))
        begun = time.process_time()
        study = automl.search(file, path=Path(folder) / "s", executor="inline", workers=1)
        spent = time.process_time() - begun
        assert study.verdict is not None
        shown = f"{study.verdict['test']['value']:.4g}"
        if study.verdict.get("ensemble"):
            shown += f" ({study.verdict['ensemble']['test']:.4g})"
        return shown, spent


def boosted(described: dict[str, Any], metric: str) -> tuple[str, float]:
    """scikit-learn's defaults on the training and validation rows of the same split."""
    from sklearn.metrics import accuracy_score, balanced_accuracy_score, root_mean_squared_error

    prepare = {"rows": described["prepare"]["rows"], "impute": "none", "categorical": "embed"}
    made = data.load(described["data"], target="target", seed=described["seed"], prepare=prepare)
    begun = time.process_time()
    kind = HistGradientBoostingRegressor if made.kind == "regression" else HistGradientBoostingClassifier
    first = int(made.inputs) - len(made.inputs.cardinalities)
    both = made.train + made.val
    x, y = both.x.double().numpy(), both.y.numpy().reshape(len(both), -1)[:, 0]
    model = kind(categorical_features=list(range(first, int(made.inputs))), random_state=0).fit(x, y)
    guess, truth = model.predict(made.test.x.double().numpy()), made.test.y.numpy().reshape(len(made.test), -1)[:, 0]
    scores = {"accuracy": accuracy_score, "balanced_accuracy": balanced_accuracy_score, "rmse": root_mean_squared_error}
    value = scores[metric](truth, guess) * (float(made.target_scale[0]) if metric == "rmse" else 1.0)
    return f"{value:.4g}", time.process_time() - begun


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=2500)
    parser.add_argument("--trials", type=int, default=8)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--tables", nargs="*", default=list(TABLES))
    asked = parser.parse_args()
    print("| table, metric | case | test, seed by seed (ensemble) | CPU s |\n|---|---|---|---|", flush=True)
    for table in asked.tables:
        metric = TABLES[table]
        for name, case in CASES.items():
            runs = [searched(spec(table, metric, case, asked, seed)) for seed in range(asked.seeds)]
            line(table, metric, name, runs)
        base = [spec(table, metric, CASES["trees"], asked, seed) for seed in range(asked.seeds)]
        line(table, metric, "scikit-learn's defaults, with the validation rows", [boosted(b, metric) for b in base])


def line(table: str, metric: str, name: str, runs: list[tuple[str, float]]) -> None:
    values = ", ".join(value for value, _ in runs)
    print(f"| {table}, {metric} | {name} | {values} | {np.mean([s for _, s in runs]):.0f} |", flush=True)


if __name__ == "__main__":
    main()
