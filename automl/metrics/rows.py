"""A model's score as a table of rows, from which the score of any other sample of these rows follows.

Almost every metric is a function of means over rows (accuracy: of hits; rmse: of squared errors; balanced accuracy: of
hits and sizes of the classes). So a model's score is kept as a table of rows and that function (`Sample`), and a
thousand bootstrap samples are one matrix product.
"""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from automl.metrics.defined import CONSTANT
from automl.metrics.kinds.kind import kind_of

if TYPE_CHECKING:
    from torch import Tensor

Floats = NDArray[np.float64]
ERRORS = ("loss", "log_loss", "perplexity", "rmse", "mae", "pinball", "poisson_deviance", "rank_mae")
CURVES = ("auroc", "average_precision")
LARGE, SHOWN = 1 << 18, 1 << 17
"""Of more rows than LARGE, that many are kept one by one; the others are in the score alone."""


@dataclass(frozen=True)
class Whole:
    """What some rows stand for where there are too many to keep each: how many there are, and the metric of all."""

    rows: int
    value: float


@dataclass(frozen=True)
class Sample:
    """One model's score on N rows.

    `rows`: [N, k] contributions (the last column is the row's weight). `of`: means [..., k] -> scores [...].
    `hits`: accuracy on unweighted rows, for which there is a closed form (Wilson). `error`: a rising function of one
    mean of errors, [N, 2], whose rows are often far from normal: a few large ones make most of it. `whole`: where
    `rows` are only some of those that were scored (`shown`), all of these.
    """

    rows: Floats
    of: Callable[[Floats], Floats]
    hits: bool = False
    error: bool = False
    whole: "Whole | None" = None

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def value(self) -> float:
        """The metric of these rows, or of those that they stand for."""
        return self._own if self.whole is None else self.whole.value

    @property
    def _own(self) -> float:
        return float(self.of(self.rows.mean(0)))

    @property
    def count(self) -> int:
        """How many rows the value is of."""
        return len(self) if self.whole is None else self.whole.rows

    def resampled(self, counts: Floats) -> Floats:
        """[B] scores of bootstrap samples; `counts`: [B, N], how often each row is drawn."""
        return self.of(counts @ self.rows / len(self))

    def influence(self) -> Floats:
        """[N] how the score would change, to first order, if a row were left out (times N - 1)."""
        n = len(self)
        without = (self.rows.sum(0) - self.rows) / max(n - 1, 1)
        return (n - 1) * (self._own - self.of(without))


@dataclass(frozen=True)
class Ranks(Sample):
    """An area under a curve, which is no function of means. `rows`: [N, C + 2]: scores, label, weight.

    `precision`: that of precision over recall; else that of ROC. `labels`: how many labels a row may have; then `rows`
    are [N, 2 * labels + 1]: the probability of each, whether the row has it, weight.
    """

    precision: bool = False
    labels: int = 0

    def resampled(self, counts: Floats) -> Floats:
        return _areas(self._curves, counts * self.rows[:, -1], _precision if self.precision else _roc)

    @property
    def _curves(self) -> list[tuple[Floats, NDArray[np.bool_]]]:
        """The scores [N] of each curve, and which rows are positive [N]."""
        table, many = self.rows, self.labels
        if many:
            return [(table[:, k], table[:, many + k] > 0) for k in range(many)]
        return [(table[:, k], table[:, -2] == k) for k in _columns(table)]

    @property
    def _own(self) -> float:
        return float(self.resampled(np.ones((1, len(self))))[0])

    def influence(self) -> Floats:
        """Of ROC from the share of rows of the other side that each row is ranked right against (DeLong et al. 1988);
        of precision the derivative by the row's weight."""
        if self.precision:
            found = [_precision_influence(*one, self.rows[:, -1]) for one in self._curves if one[1].any()]
            return np.mean(found, axis=0) if found else np.zeros(len(self))
        labels, n = self.rows[:, -2], len(self)
        total, classes = np.zeros(n), 0
        for k in _columns(self.rows):
            positive = labels == k
            if positive.all() or not positive.any():
                continue
            up, down = self.rows[positive, k], self.rows[~positive, k]
            placed = np.empty(n)
            ordered = np.sort(down)
            right = np.searchsorted(ordered, up, "left") + np.searchsorted(ordered, up, "right")
            placed[positive] = right / 2 / len(down)
            ordered = np.sort(up)
            wrong = np.searchsorted(ordered, down, "left") + np.searchsorted(ordered, down, "right")
            placed[~positive] = 1 - wrong / 2 / len(up)
            area = placed[positive].mean()
            total += (placed - area) * np.where(positive, n / len(up), n / len(down))
            classes += 1
        return total / max(classes, 1)


def sample(
    name: str,
    kind: str,
    outputs: "Tensor",
    targets: "Tensor",
    weight: "Tensor | None" = None,
    scale: "Tensor | None" = None,
) -> Sample:
    """The sample of metric `name` (without `val_`), arguments as for `metrics.compute`; `loss` is known too."""
    contribution = rows(name, kind, outputs, targets, scale)
    w = np.ones(len(targets)) if weight is None else weight.double().cpu().numpy()
    return of_rows(name, contribution, w, plain=weight is None and kind == "classification", kind=kind)


def of_rows(
    name: str, contribution: Floats, weight: Floats, *, plain: bool, whole: Whole | None = None, kind: str = ""
) -> Sample:
    """From what `rows` gave (perhaps in pieces, one after the other); `whole`: what it was given were some of these."""
    if name in CURVES:
        table = np.concatenate([contribution, weight[:, None]], 1)
        many = (table.shape[1] - 1) // 2 if kind_of(kind).variant == "labels" else 0
        precision = name == "average_precision"
        return Ranks(table, lambda means: means[..., 0], whole=whole, precision=precision, labels=many)
    table = np.concatenate([contribution * weight[:, None], weight[:, None]], 1)
    function = _special(name, kind) or _FUNCTIONS[name]
    return Sample(table, function, hits=plain and name == "accuracy", error=name in ERRORS, whole=whole)


def _special(name: str, kind: str) -> Callable[[Floats], Floats] | None:
    """The metric of a variant as a function of means whose last one is the weight; None: it has none of that name."""
    import torch

    from automl.metrics.kinds.measure import measures

    if (measure := measures(kind).get(name)) is None:
        return None
    return lambda means: measure.of(torch.from_numpy(means[..., :-1] / means[..., -1:])).numpy()


def shown(rows: int, seed: int = 0) -> NDArray[np.int64]:
    """[SHOWN] which of more than LARGE rows are kept, the same always: one of each of SHOWN equal stretches."""
    ends = np.arange(SHOWN + 1) * rows // SHOWN
    return np.asarray(np.random.default_rng(seed).integers(ends[:-1], ends[1:]))


def rows(name: str, kind: str, outputs: "Tensor", targets: "Tensor", scale: "Tensor | None" = None) -> Floats:
    """[N, k] what each row contributes to the metric."""
    import torch
    import torch.nn.functional as F

    from automl.metrics import missing
    from automl.metrics.kinds.measure import measures

    outputs, n = outputs.detach().double().cpu(), len(targets)
    targets = targets.cpu()
    if (measure := measures(kind).get(name)) is not None:
        unit = torch.ones(1).double() if scale is None else scale.double().cpu()
        return _array(measure.each(outputs, targets if targets.dtype == torch.int64 else targets.double(), unit))
    if name == "average_precision" and kind_of(kind).variant == "labels":
        return _array(torch.cat([outputs, targets.double()], 1))
    if kind == "regression":
        targets = targets.double()
        gap = missing.gaps(outputs, targets)
        if name == "loss":
            return _array(missing.mean(gap.square(), targets)[:, None])
        unit = torch.ones(1) if scale is None else scale.double().cpu()
        gap = gap * unit
        if name == "mae":
            return _array(missing.mean(gap.abs(), targets)[:, None])
        if name == "rmse":
            return _array(missing.mean(gap.square(), targets)[:, None])
        there = ~targets.isnan()
        y = targets.nan_to_num(0.0) * unit  # in standard units: near 0, so that the variance below is exact enough
        return _array(torch.cat([gap.square(), y, y.square(), there.double()], 1))
    if outputs.ndim == 3:
        each = F.cross_entropy(outputs.flatten(0, 1), targets.flatten(), reduction="none").view(n, -1)
        found = (outputs.argmax(-1) == targets).double() if name == "accuracy" else each
        return _array(found.mean(1, keepdim=True))
    guess = outputs.argmax(1)
    if name == "accuracy":
        return _array((guess == targets).double()[:, None])
    if name in ("log_loss", "loss", "perplexity"):
        return _array(F.cross_entropy(outputs, targets, reduction="none")[:, None])
    if name in CURVES:
        return _array(torch.cat([outputs.softmax(1), targets.double()[:, None]], 1))
    classes = outputs.shape[1]
    actual, guessed = F.one_hot(targets, classes).double(), F.one_hot(guess, classes).double()
    parts = [actual * guessed, actual] if name == "balanced_accuracy" else [actual * guessed, actual, guessed]
    return _array(torch.cat(parts, 1))


def _array(tensor: "Tensor") -> Floats:
    return np.asarray(tensor.numpy(), dtype=np.float64)


def _mean(means: Floats) -> Floats:
    return means[..., 0] / means[..., -1]


def _balanced(means: Floats) -> Floats:
    hits, actual = np.split(means[..., :-1], 2, axis=-1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.nanmean(np.where(actual > 0, hits / actual, np.nan), axis=-1))


def _f1(means: Floats) -> Floats:
    hits, actual, guessed = np.split(means[..., :-1], 3, axis=-1)
    either = actual + guessed
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.nanmean(np.where(either > 0, 2 * hits / either, np.nan), axis=-1))


def _mcc(means: Floats) -> Floats:
    from automl.metrics.kinds.classes import matthews

    return np.asarray(matthews(*np.split(means[..., :-1] / means[..., -1:], 3, axis=-1)))


def _r2(means: Floats) -> Floats:
    square, y, y_square, there = np.split(means[..., :-1] / means[..., -1:], 4, axis=-1)
    with np.errstate(invalid="ignore", divide="ignore"):
        square, y, y_square = square / there, y / there, y_square / there
        spread = y_square - y**2
        return np.asarray((1 - square / np.where(spread > CONSTANT * y_square, spread, np.nan)).mean(-1))


_FUNCTIONS: dict[str, Callable[[Floats], Floats]] = {
    "loss": _mean,
    "accuracy": _mean,
    "log_loss": _mean,
    "perplexity": lambda means: np.exp(np.minimum(_mean(means), 700.0)),
    "balanced_accuracy": _balanced,
    "f1_macro": _f1,
    "mcc": _mcc,
    "rmse": lambda means: np.sqrt(_mean(means)),
    "mae": _mean,
    "r2": _r2,
}


def _columns(table: Floats) -> Sequence[int]:
    classes = table.shape[1] - 2
    return [1] if classes == 2 else range(classes)


Curve = Callable[[Floats, Floats], Floats]
"""(weights of positives and of negatives [B, G] with each of G rising scores) -> areas [B]."""


def _areas(curves: Sequence[tuple[Floats, NDArray[np.bool_]]], weights: Floats, curve: Curve) -> Floats:
    """[B] the mean of the areas of several curves, (scores [N], which rows are positive [N]), of those that have one.

    `weights`: [B, N] of the rows in each of B samples.
    """
    areas = []
    for scores, known in curves:
        order = np.argsort(scores, kind="stable")
        starts = np.flatnonzero(np.diff(scores[order], prepend=-np.inf))  # equal scores stand together
        positive = known[order]
        up = np.add.reduceat(np.where(positive, weights[:, order], 0.0), starts, axis=1)
        down = np.add.reduceat(np.where(positive, 0.0, weights[:, order]), starts, axis=1)
        with np.errstate(invalid="ignore", divide="ignore"):
            areas.append(curve(up, down))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a sample with one class alone has no area: nan
        return np.asarray(np.nanmean(areas, axis=0))


def _roc(up: Floats, down: Floats) -> Floats:
    """The share of pairs of a positive and a negative in which the positive has the higher score."""
    below = np.cumsum(down, axis=1) - down
    return np.asarray((up * (below + down / 2)).sum(1) / (up.sum(1) * down.sum(1)))


def _precision(up: Floats, down: Floats) -> Floats:
    """The mean over positives of the precision among all with at least their score."""
    above, others = (side[:, ::-1].cumsum(axis=1)[:, ::-1] for side in (up, down))
    return np.asarray((up * np.nan_to_num(above / (above + others))).sum(1) / up.sum(1))


def _precision_influence(score: Floats, positive: NDArray[np.bool_], weight: Floats) -> Floats:
    """[N] the derivative of the average precision by each row's weight, times the sum of weights.

    A row counts among those above each positive of at most its score: with U and D the weights of positives and
    negatives above, a precision U / (U + D) rises by D / (U + D)^2 with a positive one, and falls by U / (U + D)^2.
    """
    groups, place = np.unique(score, return_inverse=True)
    up, down = (np.bincount(place, weight * side, len(groups)) for side in (positive, ~positive))
    above, others = (side[::-1].cumsum()[::-1] for side in (up, down))
    total, every = up.sum(), above + others
    precision = above / every
    whole = (up * precision).sum() / total
    rise, fall = (np.cumsum(up * side / every**2)[place] / total for side in (others, above))
    own = np.where(positive, (precision[place] - whole) / total + rise, -fall)
    return np.asarray(own * weight.sum())
