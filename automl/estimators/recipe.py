"""The specification that `automl.fit` searches: its space, length of training and finalists follow from the table."""

from collections.abc import Mapping
from typing import Any, Literal

Kind = Literal["classification", "regression"]
METRICS: Mapping[str, str] = {"classification": "val_accuracy", "regression": "val_rmse"}
SMALL, LARGE = 5_000, 50_000
"""Rows up to which there is a longer training with smaller batches, and from which on a shorter one."""
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
        time_s: budget in seconds of wall time, finalists included.
        trials: budget of trials.
        epochs: of a full trial; None: by the number of rows.
        seed: of all random numbers.
        prepare: options of `prepare:`.

    Returns:
        The entries, as the reader of specifications takes them.
    """
    least = 32 if rows < SMALL else 64
    full = epochs or (40 if rows < SMALL else 30 if rows < LARGE else 15)
    regularization: dict[str, Any] = {"use": "standard"}
    if kind == "regression":
        regularization["label_smoothing"] = 0.0
    budget = {"trials": TRIALS if trials is None else trials} | ({} if time_s is None else {"time": float(time_s)})
    numbers: dict[str, Any] = {}
    if rows < LARGE:  # embeddings cost several times the CPU time of a plain network
        kinds = ["periodic", "cosine"]
        scale = {"float": [0.03, 0.5], "log": True, "default": 0.1, "when": {"embed_numbers": kinds}}
        choice = {"choice": [*kinds, "none"], "default": "none"}
        numbers = {"numbers": {"embed_numbers": choice, "embed_scale": scale}}
    return {
        "study": name,
        "model": "mlp",
        "data": table,
        "target": target,
        "prepare": {"task": kind, **(prepare or {})},
        "split": {"train": 0.65, "val": 0.2, "test": 0.15},
        "metric": metric or METRICS[kind],
        "epochs": full,
        "patience": max(4, full // 4),
        "space": {
            "architecture": {"use": "mlp", "width": {"int": [16, 256], "log": True, "default": 128}},
            **numbers,
            "regularization": regularization,
            "optimizer": {
                "use": "adamw",
                "batch_size": {"choice": [least, 2 * least, 4 * least], "ordered": True, "default": 2 * least},
            },
        },
        "budget": budget,
        "finalists": {"top": 3, "seeds": 2},
        "ensemble": 10,
        "seed": seed,
    }
