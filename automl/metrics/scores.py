"""The formulas behind `automl.metrics`, on tensors, where they are (no copy to the host until the end)."""

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from automl.metrics import missing
from automl.metrics.defined import CONSTANT
from automl.metrics.kinds import classes
from automl.metrics.kinds.kind import kind_of
from automl.metrics.kinds.measure import measures


def compute(
    kind: str, wanted: Sequence[str], outputs: Tensor, targets: Tensor, weight: Tensor | None, scale: Tensor | None
) -> dict[str, float]:
    """See `metrics.compute`; `wanted` are names of this kind."""
    if not wanted:
        return {}
    with torch.no_grad():
        outputs = outputs.detach().double() if outputs.device.type == "cpu" else outputs.detach().float()
        if outputs.ndim == 3:
            outputs, weight = (
                outputs.flatten(0, 1),
                None if weight is None else weight.repeat_interleave(outputs.shape[1]),
            )
            targets = targets.flatten()
        w = (
            torch.ones(len(outputs), dtype=outputs.dtype, device=outputs.device)
            if weight is None
            else weight.to(outputs.dtype)
        )
        w = w / w.sum()
        special = {name: measure for name, measure in measures(kind).items() if name in wanted}
        table: dict[str, Tensor] = {}
        if len(special) < len(wanted):
            coded = targets.dtype == torch.int64
            if kind_of(kind).variant == "labels":
                table = {"average_precision": of_labels(outputs, targets, w)}
            else:
                table = _classes(wanted, outputs, targets, w) if coded else _values(outputs, targets, w, scale)
        for name, measure in special.items():
            table[name] = measure.of(w @ measure.each(outputs, *_in_units(outputs, targets, scale)))
        values = torch.stack([table[name] for name in wanted]).tolist()
    return dict(zip(wanted, values, strict=True))


def _classes(wanted: Sequence[str], logits: Tensor, targets: Tensor, w: Tensor) -> dict[str, Tensor]:
    made: dict[str, Tensor] = {}
    guess = logits.argmax(1)
    right = (w * (guess == targets)).sum()
    made["accuracy"] = right
    made["log_loss"] = (w * F.cross_entropy(logits, targets, reduction="none")).sum()
    made["perplexity"] = made["log_loss"].exp()
    if {"balanced_accuracy", "f1_macro", "mcc"} & set(wanted):
        count = logits.shape[1]
        hits = torch.zeros(count, dtype=w.dtype, device=w.device).index_add_(0, targets, w * (guess == targets))
        actual = torch.zeros_like(hits).index_add_(0, targets, w)
        guessed = torch.zeros_like(hits).index_add_(0, guess, w)
        there, either = actual > 0, actual + guessed > 0
        made["balanced_accuracy"] = (hits[there] / actual[there]).mean()
        made["f1_macro"] = (2 * hits[either] / (actual + guessed)[either]).mean()
        made["mcc"] = classes.matthews(hits, actual, guessed)
    if "auroc" in wanted:
        made["auroc"] = auroc(logits.softmax(1), targets, w)
    if "average_precision" in wanted:
        made["average_precision"] = one_against_rest(_precision, logits.softmax(1), targets, w)
    return made


def _in_units(outputs: Tensor, targets: Tensor, scale: Tensor | None) -> tuple[Tensor, Tensor]:
    """(targets, their unit) in the type of the outputs; classes as they are."""
    unit = torch.ones(1, dtype=outputs.dtype, device=outputs.device) if scale is None else scale.to(outputs)
    return (targets if targets.dtype == torch.int64 else targets.to(outputs.dtype)), unit


def of_labels(answers: Tensor, targets: Tensor, w: Tensor) -> Tensor:
    """The mean of the labels' average precisions. `answers` and `targets`: [N, L]."""
    each = [_precision(answers[:, k].contiguous(), targets[:, k] > 0, w) for k in range(answers.shape[1])]
    return torch.stack(each).nanmean()


Area = Callable[[Tensor, Tensor, Tensor], Tensor]
"""(scores [N], which rows are positive [N], weights [N]) -> a number."""


def auroc(scores: Tensor, targets: Tensor, w: Tensor) -> Tensor:
    """The area under the ROC curve: one class against the rest.

    Args:
        scores: [N, C], larger for a class that is more likely.
        targets: classes [N], integers.
        w: weights [N].
    """
    return one_against_rest(_area, scores, targets, w)


def one_against_rest(area: Area, scores: Tensor, targets: Tensor, w: Tensor) -> Tensor:
    """An area under a curve. `scores`: [N, C]; two classes: of the second; more: mean over the classes present."""
    columns = [1] if scores.shape[1] == 2 else range(scores.shape[1])
    areas = [area(scores[:, k], targets == k, w) for k in columns]
    found = torch.stack(areas)
    return found[~found.isnan()].mean() if bool((~found.isnan()).any()) else found[0]


def _precision(score: Tensor, positive: Tensor, w: Tensor) -> Tensor:
    """See `classes.average_precision`."""
    return classes.average_precision(score[None], positive, w)[0]


def _area(score: Tensor, positive: Tensor, w: Tensor) -> Tensor:
    """P(score of a positive > score of a negative) + P(equal) / 2, weighted; nan when one side is empty."""
    _, group = torch.unique(score, return_inverse=True)
    size = int(group.max()) + 1 if len(group) else 0
    up = torch.zeros(size, dtype=w.dtype, device=w.device).index_add_(0, group, w * positive)
    down = torch.zeros_like(up).index_add_(0, group, w * ~positive)
    below = down.cumsum(0) - down
    return (up * (below + down / 2)).sum() / (up.sum() * down.sum())


def _values(values: Tensor, targets: Tensor, w: Tensor, scale: Tensor | None) -> dict[str, Tensor]:
    targets = targets.to(values.dtype)
    unit = torch.ones(values.shape[1], dtype=values.dtype, device=values.device)
    unit = unit if scale is None else scale.to(unit)
    error = missing.gaps(values, targets) * unit
    square, moves = (w @ missing.mean(each, targets) for each in (error**2, error.abs()))
    own = w[:, None] * ~targets.isnan()
    own, targets = own / own.sum(0), targets.nan_to_num(0.0)
    center = (own * targets).sum(0)
    spread = (own * (targets - center) ** 2).sum(0)
    spread = torch.where(spread > CONSTANT * (own * targets**2).sum(0), spread * unit**2, torch.nan)
    return {"rmse": square.sqrt(), "mae": moves, "r2": (1 - (own * error**2).sum(0) / spread).mean()}
