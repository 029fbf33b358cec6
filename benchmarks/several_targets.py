"""One model of two targets beside a model for each, on the same rows: R2 on the test part, and CPU seconds.

    OMP_NUM_THREADS=1 python benchmarks/several_targets.py

Each figure is a whole search of 8 trials of an MLP in this process, with two finalists on two seeds; the two single
searches have 8 trials each. The second target is a column of the table, which is an input of none. "Half missing" takes
half of the values of each target away at random, so that a quarter of the rows have none and are left out; a single
search loses the rows without its target. The rows that are scored keep theirs. The tables are those of AUTOML_DATA.
"""

import argparse
import json
import os
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import automl

DATA = Path(os.environ.get("AUTOML_DATA", Path(__file__).resolve().parents[2] / "shared" / "data")) / "tables"
CASES = {"537_houses": "median_income", "503_wind": "BEL"}


def searched(frame: pd.DataFrame, target: str | list[str], seed: int, split: dict[str, Any]) -> tuple[Any, float]:
    """(the saved winner, CPU seconds)."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        frame.to_csv(folder / "t.csv", index=False)
        spec = {
            "data": "t.csv", "target": target, "model": "mlp", "metric": "val_r2", "epochs": 20, "patience": 5,
            "strategy": "random", "stopper": "asha", "budget": {"trials": 8}, "finalists": {"top": 2, "seeds": 2},
            "seed": seed, "split": split, "prepare": {"task": "regression", "scale": "quantile"},
            "space": {
                "width": {"int": [32, 256], "log": True}, "depth": {"int": [1, 3]}, "batch_size": 128,
                "lr": {"float": [5e-4, 1e-2], "log": True}, "dropout": {"float": [0.0, 0.4]}, "schedule": "cosine",
            },
        }  # fmt: skip
        (folder / "space.yaml").write_text(json.dumps(spec))
        begun = time.process_time()
        automl.search(folder / "space.yaml", path=folder / "s", executor="inline", workers=1)
        return automl.load(folder / "s"), time.process_time() - begun


def r2(true: np.ndarray, predicted: np.ndarray) -> float:
    return float(1 - np.square(true - predicted).sum() / np.square(true - true.mean()).sum())


def compared(table: str, asked: argparse.Namespace, missing: bool, seed: int) -> None:
    frame = pd.read_csv(DATA / f"{table}.tsv.gz", sep="\t")
    names = ["target", CASES[table]]
    rng = np.random.default_rng(seed)
    frame = frame.iloc[rng.permutation(len(frame))[: asked.rows]].reset_index(drop=True)
    kept = frame.iloc[: asked.rows * 4 // 5].copy()  # the others are scored here, by the same rule for all
    test = frame.iloc[asked.rows * 4 // 5 :]
    if missing:
        for name in names:
            kept.loc[rng.random(len(kept)) < 0.5, name] = np.nan
    split = {"train": 0.7, "val": 0.2, "test": 0.1}
    model, spent = searched(kept, names, seed, split)
    both = model.predict(test.drop(columns=names))
    alone, took = [], 0.0
    for name in names:
        single, seconds = searched(kept.drop(columns=[n for n in names if n != name]), name, seed, split)
        alone.append(r2(test[name].to_numpy(), single.predict(test.drop(columns=names))))
        took += seconds
    found = [r2(test[name].to_numpy(), both[:, k]) for k, name in enumerate(names)]
    gaps = "half missing" if missing else "whole"
    cells = " | ".join(f"{a:.4f} | {b:.4f}" for a, b in zip(found, alone, strict=True))
    print(f"| {table}, {gaps}, seed {seed} | {cells} | {spent:.0f} | {took:.0f} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rows", type=int, default=2500)
    parser.add_argument("--seeds", type=int, default=3)
    asked = parser.parse_args()
    print(
        "| table | target: both | alone | second: both | alone | CPU s: both | alone |\n|---|---|---|---|---|---|---|"
    )
    for seed in range(asked.seeds):
        for missing in (False, True):
            for table in CASES:
                compared(table, asked, missing, seed)


if __name__ == "__main__":
    main()
