"""The specification that `automl.fit` searches: its space and length of training follow from the table.

A constant learning rate with averaged weights makes each epoch's model as good as an end: a trial that the time ends is
a member of the pack like any other.
"""

import math
from collections.abc import Mapping
from typing import Any, Literal

Kind = Literal["classification", "regression"]
METRICS: Mapping[str, str] = {"classification": "val_accuracy", "regression": "val_rmse"}
SEVERAL = "val_r2"
"""The metric of several targets, whose units differ: the mean of their R2."""
LARGE = 50_000
"""Rows from which on training is shorter, and numbers have no embeddings, which take several times the CPU time."""
SMALL, BYTES = 5_000, 2**26
"""Below so many rows, in a file of so many bytes (a larger one may be streamed), there are folds: all rows but the test
rows are learned from and chosen by."""
FOLDS, FEW_FOLDS, MINUTE = 8, 4, 60.0
"""So many folds; few where there is less time than a minute, or a number of trials in its place."""
VAL, TEST = (600, 0.05, 0.2), (400, 0.03, 0.15)
"""Rows that are enough to choose by, or to judge by, and the least and the largest share of all rows for them."""
TRIALS = 10_000
"""Trials at most where only time is given."""


def recipe(
    table: str, target: str | list[str], kind: Kind, rows: int, *, name: str, metric: str | None, time_s: float | None,
    trials: int | None, epochs: int | None, seed: int, prepare: Mapping[str, Any] | None = None, size: int = 0,
) -> dict[str, Any]:  # fmt: skip
    """The entries of a space.yaml for a table.

    Args:
        table: path of the table, absolute or relative to the specification.
        target: the column to predict, or several columns of numbers.
        kind: of the target.
        rows: of the table, roughly.
        name: of the study.
        metric: that trials are ranked on; None: accuracy, or the root mean squared error, or of several targets R2.
        time_s: budget in seconds of wall time, the choice of the ensemble included.
        trials: budget of trials.
        epochs: of a full trial; None: by the number of rows.
        seed: of all random numbers.
        prepare: options of `prepare:`.
        size: of the table's file, in bytes.

    Returns:
        The entries, as the reader of specifications takes them.
    """
    full = epochs or round(min(max(200_000 / rows, 60 if rows < LARGE else 30), 300))
    budget = {"trials": TRIALS if trials is None else trials} | ({} if time_s is None else {"time": float(time_s)})
    return {
        "study": name,
        "model": ["mlp", "trees"],
        "data": table,
        "target": target,
        "prepare": {"task": kind, **(prepare or {})},
        "split": split(rows, size, time_s),
        "metric": metric or (METRICS[kind] if isinstance(target, str) else SEVERAL),
        "epochs": full,
        "patience": max(8, full // 6),
        "space": space(rows),
        "budget": budget,
        "pack": True,
        "seed": seed,
    }


def split(rows: int, size: int = 0, time_s: float | None = None) -> dict[str, Any]:
    """The `split:` entry for a table of `rows` rows in a file of `size` bytes; `time_s`: the budget in seconds."""
    val, test = (round(min(max(enough / rows, least), most), 3) for enough, least, most in (VAL, TEST))
    if rows < SMALL and size < BYTES:
        return {"folds": FOLDS if (time_s or 0.0) >= MINUTE else FEW_FOLDS, "test": test}
    return {"train": round(1 - val - test, 3), "val": val, "test": test}


def space(rows: int) -> dict[str, Any]:
    """The space for a table of so many rows: networks, and trees."""
    batch = 2 ** round(math.log2(min(max(rows / 40, 32), 512)))
    found: dict[str, Any] = {
        "architecture": {
            "depth": {"int": [1, 3], "default": 2},
            "width": {"int": [32, 192], "log": True, "default": 96},
        },
        "regularization": {
            "dropout": {"float": [0.0, 0.4], "default": 0.1},
            "weight_decay": {"float": [1e-5, 1e-1], "log": True, "default": 1e-3},
        },
        "optimizer": {
            "optimizer": "adamw",
            "lr": {"float": [5e-4, 1e-2], "log": True, "default": 2e-3},
            "batch_size": batch,
            "schedule": "constant",
            "ema": 0.99,
        },
    }
    found["trees"] = {
        "rounds": 500,
        "shrinkage": {"float": [0.03, 0.3], "log": True, "default": 0.1},
        "leaves": {"int": [7, 63], "log": True, "default": 31},
        "min_leaf": {"int": [2, 50], "log": True, "default": 20},
        "l2": {"float": [1e-3, 10.0], "log": True, "default": 0.1},
        "feature_share": {"float": [0.4, 1.0], "default": 0.8},
    }
    if rows < LARGE:
        found["numbers"] = {
            "embed_numbers": {"choice": ["periodic", "cosine"]},
            "embed_scale": {"float": [0.03, 1.0], "log": True, "default": 0.2},
        }
    return found
