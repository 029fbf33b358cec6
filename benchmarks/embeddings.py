"""Embeddings of numbers: the same search of an `mlp` without them and with each kind, and boosted trees beside it.

    python benchmarks/embeddings.py --half develop
    python benchmarks/embeddings.py --half report --seeds 3

The same configs (random search, the seed decides) train on the same rows; only `embed_numbers` differs. Printed is the
mean test score of the config that is best on validation rows: accuracy, or the root mean squared error in standard
deviations of the target; CPU seconds of the search in brackets. Trees are scikit-learn's histogram boosting with its
defaults, trained on the same training rows. The data folder: $AUTOML_DATA.
"""

import argparse
import os
import tempfile
import time
from pathlib import Path
from statistics import fmean

import numpy as np
import pandas as pd
import yaml
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

import automl
from automl.data import load

DATA = Path(os.environ.get("AUTOML_DATA", Path(__file__).resolve().parents[2] / "shared" / "data")) / "tables"
TASKS = {
    "develop": ("phoneme", "215_2dplanes", "waveform_40", "537_houses"),
    "report": ("page_blocks", "227_cpu_small", "pendigits", "503_wind"),
}
KINDS = ("none", "periodic", "cosine", "piecewise")
ROWS = 6_000


def entries(name: str, kind: str, trials: int, epochs: int, seed: int, regression: bool) -> dict[str, object]:
    """The specification of one search."""
    space: dict[str, object] = {
        "depth": {"int": [1, 3]}, "width": {"int": [32, 192], "log": True}, "dropout": {"float": [0.0, 0.4]},
        "lr": {"float": [5e-4, 1e-2], "log": True}, "weight_decay": {"float": [1e-5, 1e-1], "log": True},
        "batch_size": 64, "optimizer": "adamw", "schedule": "cosine", "embed_numbers": kind,
    }  # fmt: skip
    if kind in ("periodic", "cosine"):
        space["embed_scale"] = {"float": [0.03, 0.5], "log": True}
    return {
        "study": "embeddings", "model": "mlp", "data": str(DATA / f"{name}.tsv.gz"), "target": "target",
        "prepare": {"rows": ROWS, "task": "regression" if regression else "classification"},
        "metric": "val_rmse" if regression else "val_accuracy", "epochs": epochs, "space": space,
        "strategy": "random", "stopper": "none", "budget": {"trials": trials}, "finalists": "none", "seed": seed,
    }  # fmt: skip


def searched(spec: dict[str, object]) -> tuple[float, float]:
    """(test score of the best trial, CPU seconds)."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "space.yaml"
        file.write_text(yaml.safe_dump(spec))
        began = time.process_time()
        automl.search(file, dir=folder, name="one", executor="inline")
        seconds = time.process_time() - began
        model = automl.load(Path(folder) / "one")
        test = load(spec["data"], target="target", prepare=spec["prepare"], seed=int(str(spec["seed"]))).test
        assert test is not None
        outputs = automl_outputs(model, test.x)
        if model.kind == "regression":
            return float((outputs[:, 0] - test.y[:, 0]).square().mean().sqrt()), seconds
        return float((outputs.argmax(1) == test.y).float().mean()), seconds


def automl_outputs(model: object, x: object) -> object:
    """Outputs [N, units] of prepared rows."""
    from automl.bundle.outputs import compute

    return compute(model.module, x, model.device)  # type: ignore[attr-defined]


def trees(name: str, seed: int, regression: bool) -> float:
    """The test score of boosted trees on the same parts."""
    prepare = {"rows": ROWS, "task": "regression" if regression else "classification"}
    data = load(str(DATA / f"{name}.tsv.gz"), target="target", prepare=prepare, seed=seed)
    assert data.test is not None
    kind = HistGradientBoostingRegressor if regression else HistGradientBoostingClassifier
    y = [part.y[:, 0].numpy() if regression else part.y.numpy() for part in (data.train, data.test)]
    got = kind(random_state=seed).fit(data.train.x.numpy(), y[0]).predict(data.test.x.numpy())
    return float(np.sqrt(np.mean((got - y[1]) ** 2)) if regression else np.mean(got == y[1]))


def main() -> None:
    """Print a table, a line for each task."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--half", choices=TASKS, default="develop")
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--trials", type=int, default=10)
    parser.add_argument("--epochs", type=int, default=15)
    args = parser.parse_args()
    print("| task | " + " | ".join(KINDS) + " | boosted trees |\n" + "|---" * (len(KINDS) + 2) + "|")
    for name in TASKS[args.half]:
        target = pd.read_csv(DATA / f"{name}.tsv.gz", sep="\t", usecols=["target"]).target
        regression = target.nunique() > 30
        cells = []
        for kind in KINDS:
            runs = [searched(entries(name, kind, args.trials, args.epochs, s, regression)) for s in range(args.seeds)]
            cells.append(f"{fmean(r[0] for r in runs):.4f} ({fmean(r[1] for r in runs):.0f})")
        cells.append(f"{fmean(trees(name, seed, regression) for seed in range(args.seeds)):.4f}")
        print(f"| {name} ({'rmse' if regression else 'accuracy'}) | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
