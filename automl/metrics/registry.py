"""Metrics by name: which way is better (no torch needed), and their value for outputs and targets (torch).

All are weighted means where weights are given. Definitions are scikit-learn's; `auroc` and
`average_precision` are one-vs-rest, macro average (of two classes: of the second).
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from automl.errors import SpecError, did_you_mean
from automl.metrics.kinds.kind import kind_of

if TYPE_CHECKING:
    from torch import Tensor

Direction = Literal["minimize", "maximize"]


@dataclass(frozen=True)
class Metric:
    """`kind`: the task, or the variant of one (see `Kind`), that it belongs to; "any" for the loss.
    `shown_only`: trials are not ranked by it, as its best value lies between its ends."""

    direction: Direction
    kind: Literal["classification", "regression", "ordinal", "quantiles", "counts", "labels", "next_token", "any"]
    shown_only: bool = False


METRICS: dict[str, Metric] = {
    "loss": Metric("minimize", "any"),
    "accuracy": Metric("maximize", "classification"),
    "balanced_accuracy": Metric("maximize", "classification"),
    "f1_macro": Metric("maximize", "classification"),
    "f1_micro": Metric("maximize", "labels"),
    "auroc": Metric("maximize", "classification"),
    "average_precision": Metric("maximize", "classification"),
    "mcc": Metric("maximize", "classification"),
    "log_loss": Metric("minimize", "classification"),
    "ece": Metric("minimize", "classification"),
    "qwk": Metric("maximize", "ordinal"),
    "rank_mae": Metric("minimize", "ordinal"),
    "rmse": Metric("minimize", "regression"),
    "mae": Metric("minimize", "regression"),
    "r2": Metric("maximize", "regression"),
    "pinball": Metric("minimize", "quantiles"),
    "coverage": Metric("maximize", "quantiles", shown_only=True),
    "poisson_deviance": Metric("minimize", "counts"),
    "perplexity": Metric("minimize", "next_token"),
}
SHARED = {"next_token": ("accuracy",), "labels": ("f1_macro", "average_precision")}
"""Kind of task, or variant -> metrics of other kinds that it has too."""
SHOWN_ONLY = frozenset(name for name, metric in METRICS.items() if metric.shown_only)
"""Metrics that are reported, and that trials cannot be ranked by."""
COSTS = {
    "parameters": "numbers that a model learns",
    "flops": "operations of a prediction for one sample",
    "bytes": "bytes of a model's parameters and buffers",
    "latency_ms": "milliseconds of a prediction for one sample, measured",
    "latency_64_ms": "milliseconds of a prediction for 64 samples, measured",
}
"""What a described model costs, by name; lower is better."""
_LOWER = frozenset(
    re.findall(r"\w+", "loss error perplexity ppl rmse mse mae mape nll cost regret time latency wer cer")
)
_HIGHER = frozenset(
    re.findall(r"\w+", "accuracy acc auc auroc auprc f1 score reward return r2 precision recall map bleu iou dice")
)


def names(kind: str) -> list[str]:
    """The metrics a task of that kind reports (each as `val_NAME`), the loss first."""
    groups = kind_of(kind).reported
    shared = [name for group in groups for name in SHARED.get(group, ())]
    return [*(name for name, metric in METRICS.items() if metric.kind in (*groups, "any")), *shared]


def known() -> list[str]:
    """The metrics by which trials of some kind of task can be ranked."""
    return [name for name in METRICS if name not in SHOWN_ONLY]


def ranking(kind: str) -> list[str]:
    """Those of `names` by which trials can be ranked."""
    return [name for name in names(kind) if name not in SHOWN_ONLY]


def direction(name: str) -> Direction:
    """Which way `name` is better. `val_`, `train_`, `test_` before the name do not matter.

    Raises SpecError when the name does not tell: then write `metric: {name: ..., direction: minimize}`.
    """
    bare = re.sub(r"^(val|valid|validation|train|training|test|eval)[_/.-]", "", name.lower())
    if bare in METRICS:
        return METRICS[bare].direction
    if bare in COSTS:
        return "minimize"
    words = re.split(r"[^a-z0-9]+", bare)
    lower, higher = _LOWER.intersection(words), _HIGHER.intersection(words)
    if bool(lower) != bool(higher) or words[-1] in _LOWER | _HIGHER:
        return "minimize" if words[-1] in _LOWER or (lower and words[-1] not in _HIGHER) else "maximize"
    raise SpecError(
        f"metric {name!r}: lower or higher is better? write metric: {{name: {name}, direction: minimize}} (or maximize)"
        f"{did_you_mean(bare, METRICS)}"
    )


def bounds(name: str) -> tuple[float, float]:
    """The least and the largest value that `name` can have; infinite where it has no such end."""
    known = METRICS.get(re.sub(r"^(val|train|test)_", "", name.lower()))
    if known is None:
        return -math.inf, math.inf
    if known.direction == "minimize":
        return 0.0, math.inf
    if known is METRICS["mcc"]:
        return -1.0, 1.0
    return (0.0 if known.kind in ("classification", "quantiles", "labels") else -math.inf), 1.0


def compute(
    kind: str,
    outputs: "Tensor",
    targets: "Tensor",
    weight: "Tensor | None" = None,
    *,
    scale: "Tensor | None" = None,
    only: Sequence[str] | None = None,
) -> dict[str, float]:
    """Every metric of the kind except `loss` (or those in `only`), as floats.

    `outputs`: logits [N, C], values [N, D] (quantiles [N, D * Q]) or logits [N, T, V]; `targets`: [N] int64, [N, D] or
    [N, T] int64; `weight`: [N]; `scale`: [D], the unit of a regression target, so that rmse and mae come out in the
    data's own unit. An undefined metric (auroc with one class present) is nan.
    """
    from automl.metrics import scores

    wanted = [name for name in names(kind) if name != "loss" and (only is None or name in only)]
    return scores.compute(kind, wanted, outputs, targets, weight, scale)
