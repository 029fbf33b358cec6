"""The specification that `automl.fit` searches: its space and length of training follow from the table.

A constant learning rate with averaged weights makes each epoch's model as good as an end: a trial that the time ends is
a member of the pack like any other.
"""

import math
from collections.abc import Mapping
from typing import Any, Literal

Kind = Literal["classification", "regression"]
METRICS: Mapping[str, str] = {"classification": "val_accuracy", "regression": "val_rmse"}
LARGE = 50_000
"""Rows from which on training is shorter, and numbers have no embeddings, which take several times the CPU time."""
TRIALS = 10_000
"""Trials at most where only time is given."""


def recipe(
    table: str, target: str, kind: Kind, rows: int, *, name: str, metric: str | None, time_s: float | None,
    trials: int | None, epochs: int | None, seed: int, prepare: Mapping[str, Any] | None = None,
) -> dict[str, Any]:  # fmt: skip
    """The entries of a space.yaml for a table.

    Args:
        table: path of the table, absolute or relative to the specification.
        target: the column to predict.
        kind: of the target.
        rows: of the table, roughly.
        name: of the study.
        metric: that trials are ranked on; None: accuracy, or the root mean squared error.
        time_s: budget in seconds of wall time, the choice of the ensemble included.
        trials: budget of trials.
        epochs: of a full trial; None: by the number of rows.
        seed: of all random numbers.
        prepare: options of `prepare:`.

    Returns:
        The entries, as the reader of specifications takes them.
    """
    full = epochs or round(min(max(200_000 / rows, 60 if rows < LARGE else 30), 300))
    batch = 2 ** round(math.log2(min(max(rows / 40, 32), 512)))
    budget = {"trials": TRIALS if trials is None else trials} | ({} if time_s is None else {"time": float(time_s)})
    space: dict[str, Any] = {
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
    if rows < LARGE:
        space["numbers"] = {
            "embed_numbers": {"choice": ["periodic", "cosine"]},
            "embed_scale": {"float": [0.03, 1.0], "log": True, "default": 0.2},
        }
    return {
        "study": name,
        "model": "mlp",
        "data": table,
        "target": target,
        "prepare": {"task": kind, **(prepare or {})},
        "split": {"train": 0.65, "val": 0.2, "test": 0.15},
        "metric": metric or METRICS[kind],
        "epochs": full,
        "patience": max(8, full // 6),
        "space": space,
        "budget": budget,
        "pack": True,
        "seed": seed,
    }
