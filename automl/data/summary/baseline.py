"""What a constant guess scores: the commonest class, the mean or median of the training targets, the last value."""

import math

import torch
from torch import Tensor

from automl import metrics
from automl.data.prepared import Part, Prepared
from automl.data.streaming.shards import Streamed
from automl.metrics import rows
from automl.metrics.defined import undefined
from automl.metrics.kinds.kind import kind_of

MOST_CELLS = 2_000_000
"""Validation rows times outputs; of more rows than that, evenly spaced ones are looked at."""
Scores = dict[str, float]
Guesses = dict[str, str]


def of(prepared: Prepared) -> tuple[Scores, Guesses]:
    """({"val_accuracy": ...}, {"val_accuracy": the guess in words}); empty where there are no validation rows."""
    val = _spaced(prepared.val, max(int(prepared.outputs), 1))
    if not len(val) or not len(prepared.train):
        return {}, {}
    if prepared.kind == "next_token":
        found = _tokens(prepared, val)
    elif prepared.kind == "classification":
        found = _classes(prepared, val)
    else:
        found = _values(prepared, val)
    defined = {
        name: (value, guess)
        for name, (value, guess) in found.items()
        if math.isfinite(value) and not undefined(name, prepared.kind, val.y)
    }
    scores = {f"val_{name}": value for name, (value, _) in defined.items()}
    return scores, {f"val_{name}": guess for name, (_, guess) in defined.items()}


def _spaced(part: Part, units: int) -> Part:
    """The part, or evenly spaced rows of it where it is large."""
    step = -(-len(part) * units // MOST_CELLS)
    if step <= 1:
        return part
    return Part(part.x[::step], part.y[::step], None if part.weight is None else part.weight[::step])


def rows_of_classes(part: Part, units: int) -> Tensor:
    """[units] how many rows of each class a part has."""
    return torch.tensor(part.counts) if isinstance(part, Streamed) else torch.bincount(part.y, minlength=units)


def targets_of(prepared: Prepared) -> Tensor:
    """The training targets; of a streamed part, whose rows are in random order, the first ones stand for all."""
    return prepared.train_y[:MOST_CELLS] if isinstance(prepared.train, Streamed) else prepared.train_y


def _classes(prepared: Prepared, val: Part) -> dict[str, tuple[float, str]]:
    """The commonest class as the answer, the shares of the training part as its probabilities."""
    train, units = prepared.train, len(prepared.classes)
    counted = rows_of_classes(train, units).tolist()
    few = slice(MOST_CELLS if isinstance(train, Streamed) else None)
    counts = torch.tensor(counted, dtype=torch.float64)
    if train.weight is not None:
        counts = torch.bincount(train.y[few], train.weight[few], minlength=units).double()
    commonest = max(range(units), key=lambda k: (round(float(counts[k]), 3), counted[k]))
    shares = (counts + 1e-3) / (counts.sum() + 1e-3 * units)
    shares[commonest] += 1e-4  # weights may make classes equally common
    logits = shares.log().float().expand(len(val), -1)
    scores = metrics.compute(prepared.kind, logits, val.y, val.weight)
    scores["loss"] = scores["log_loss"]
    always = f"always {str(prepared.classes[commonest])!r}"
    shared = "the shares of the classes in the training rows"
    by_shares = ("loss", "log_loss", "auroc", "average_precision", "ece")
    return {name: (value, shared if name in by_shares else always) for name, value in scores.items()}


def _values(prepared: Prepared, val: Part) -> dict[str, tuple[float, str]]:
    """The training mean or median, or for a series the last value, whichever is better in each metric.

    Of quantiles those of the training targets.
    """
    y = targets_of(prepared)
    weight = None if prepared.train.weight is None else prepared.train.weight[: len(y)]
    there = (~y.isnan()).double() if weight is None else (~y.isnan()).double() * weight[:, None]
    mean = (y.double().nan_to_num(0.0) * there).sum(0) / there.sum(0)
    guesses: dict[str, Tensor] = {
        "the training mean": mean.float().expand_as(val.y),
        "the training median": y.nanmedian(0).values.expand_as(val.y),
    }
    if prepared.inputs.continues and val.x.ndim == 3:
        guesses["the last value"] = val.x[:, -1, list(prepared.inputs.continues)].reshape(val.y.shape)
    if levels := kind_of(prepared.kind).levels:
        at = torch.tensor(levels, dtype=torch.float64)
        guesses = {"the quantiles of the training rows": y.double().nanquantile(at, 0).T.flatten().expand(len(val), -1)}
    best: dict[str, tuple[float, str]] = {}
    for words, outputs in guesses.items():
        found = metrics.compute(prepared.kind, outputs, val.y, val.weight, scale=prepared.target_scale)
        found["loss"] = rows.sample("loss", prepared.kind, outputs, val.y, val.weight).value
        for name, value in found.items():
            sign = 1 if metrics.direction(name) == "minimize" else -1
            if math.isfinite(value) and (name not in best or sign * value < sign * best[name][0]):
                best[name] = value, words
    return best


def _tokens(prepared: Prepared, val: Part) -> dict[str, tuple[float, str]]:
    """The shares of the tokens in the training part."""
    counts = torch.bincount(prepared.train.y.flatten(), minlength=int(prepared.outputs)).double()
    shares = ((counts + 1e-3) / (counts.sum() + 1e-3 * len(counts))).log()
    loss = float(-shares[val.y.flatten()].mean())
    accuracy = float((val.y == int(counts.argmax())).double().mean())
    scores = {"loss": loss, "perplexity": math.exp(min(loss, 700.0)), "accuracy": accuracy}
    return {name: (value, "the commonest token, or how common each is") for name, value in scores.items()}
