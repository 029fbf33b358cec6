"""What an evaluation says of all lanes at once: every metric of `automl.metrics`, as vectors over the lanes.

Sums are kept in float64, so that a metric does not depend on how the samples were cut into chunks.

Shape letters: K lanes, B samples of a chunk, N samples in all, C classes, D values of a target.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from automl.metrics import missing
from automl.metrics.defined import CONSTANT
from automl.metrics.kinds import classes
from automl.metrics.kinds.kind import kind_of
from automl.metrics.kinds.measure import Measure, measures
from automl.metrics.runs import Runs

F64 = torch.float64
HELD, HELD_GPU = 1 << 20, 1 << 25
"""Scores, targets and weights that are held in memory for auroc; more are kept in a file (see `runs`)."""


@dataclass
class Meter:
    """`add` chunks, then `result()` gives name -> `[K]`, as `training.Trainer.evaluate` gives numbers.

    `kind`: classification, regression or next_token. `scale` `[D]`: the unit of a regression target. `ranks`: the lanes
    for which auroc and average precision, which have to sort all scores, and the calibration error are wanted; they are
    nan for the others. Memory does not depend on N.
    """

    kind: str
    lanes: int
    device: torch.device
    scale: Tensor | None = None
    ranks: Tensor | None = None
    sums: dict[str, Tensor] = field(default_factory=dict)
    scores: list[Tensor] = field(default_factory=list)
    truth: list[tuple[Tensor, Tensor]] = field(default_factory=list)
    _held: int = 0
    _runs: Runs | None = None
    _special: Mapping[str, Measure] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._special = measures(self.kind)

    @torch.no_grad()
    def add(self, out: Tensor, y: Tensor, weight: Tensor | None) -> None:
        """`out` `[K, B, ...]` of one chunk, `y` `[B, ...]` and `weight` `[B]` shared by all lanes."""
        if weight is None or self.kind == "next_token":
            w = torch.ones(len(y), device=out.device, dtype=F64)
        else:
            w = weight.to(F64)
        self._sum("weight", w.sum())
        if self.kind == "regression":
            out, y = out.flatten(2).to(F64), y.to(F64).reshape(len(y), -1)
            variant = kind_of(self.kind).variant
            if variant not in ("quantiles", "labels"):
                self._values(out, y, w)
            elif variant == "labels" and self.ranks is not None:
                self._keep(out[self.ranks].transpose(1, 2), y.T > 0, w)
        elif self.kind == "next_token":
            self._tokens(out, y)
        else:
            self._classes(out, y, w)
        unit = torch.ones(1, dtype=F64, device=out.device) if self.scale is None else self.scale.to(out.device, F64)
        for name, measure in self._special.items():
            if measure.late and self.ranks is None:
                continue
            own = out[self.ranks].to(F64) if measure.late else out
            each = measure.each(own, y, unit).to(F64)
            sums = each.transpose(1, 2).flatten(0, 1).contiguous() @ w  # a row's bits do not depend on the other lanes
            self._sum(f"of {name}", sums.view(len(each), -1))

    def _sum(self, name: str, value: Tensor) -> None:
        self.sums[name] = self.sums[name] + value if name in self.sums else value

    def _classes(self, out: Tensor, y: Tensor, w: Tensor) -> None:
        scores = out.transpose(1, 2).contiguous()  # [K, C, B]: softmax over a short last axis is 10 times slower
        own = scores.gather(1, y.expand(len(scores), 1, len(y))).squeeze(1)
        losses = (scores.logsumexp(1) - own).to(F64)
        guess = out.argmax(2)  # over a middle axis it takes four times as long
        shares = torch.zeros(len(y), scores.shape[1], dtype=F64, device=y.device).scatter_(1, y[:, None], w[:, None])
        guessed = torch.zeros(scores.shape[:2], dtype=F64, device=y.device)
        self._sum("loss", losses @ w)
        self._sum("hits", (guess == y).to(F64) @ shares)
        self._sum("actual", shares.sum(0))
        self._sum("guessed", guessed.scatter_add_(1, guess, w.expand(guess.shape)))
        if self.ranks is not None:
            shares, columns = out[self.ranks].to(F64).softmax(2).transpose(1, 2), _columns(out.shape[2])
            self._keep(shares[:, columns], torch.stack([y == k for k in columns]), w)

    def _keep(self, scores: Tensor, positive: Tensor, w: Tensor) -> None:
        """Keep what metrics of order need: `scores` `[K, C, B]`, which rows are `positive` `[C, B]`, weights `[B]`."""
        self.scores.append(scores)
        self.truth.append((positive, w))
        self._held += scores.numel() + 2 * len(w)
        if self._held > (HELD_GPU if self.device.type == "cuda" else HELD):
            self._keep_in_file()

    def _tokens(self, out: Tensor, y: Tensor) -> None:
        """`out` `[K, B, T, V]`, `y` `[B, T]`."""
        logp = torch.log_softmax(out, -1)
        losses = -logp.gather(-1, y.expand(out.shape[:-1]).unsqueeze(-1)).squeeze(-1)
        self._sum("loss", losses.to(F64).mean(2).sum(1))
        self._sum("right", (out.argmax(-1) == y).to(F64).mean(2).sum(1))

    def _values(self, out: Tensor, y: Tensor, w: Tensor) -> None:
        residual, share = missing.gaps(out, y), missing.shares(y)
        squares, moves = residual.square(), residual.abs()
        if share is None:
            self._sum("squares", torch.einsum("kbd,b->kd", squares, w))
            self._sum("moves", torch.einsum("kbd,b->kd", moves, w))
            self._sum("y", w @ y)
            self._sum("yy", w @ y.square())
            return
        own, cell = w[:, None] * (share > 0), w[:, None] * share * y.shape[1]
        y = y.nan_to_num(0.0)
        self._sum("squares", torch.einsum("kbd,bd->kd", squares, cell))
        self._sum("moves", torch.einsum("kbd,bd->kd", moves, cell))
        self._sum("own", torch.einsum("kbd,bd->kd", squares, own))
        self._sum("rows", own.sum(0))
        self._sum("y", (own * y).sum(0))
        self._sum("yy", (own * y.square()).sum(0))

    @torch.no_grad()
    def result(self) -> dict[str, Tensor]:
        """Metrics by name, each float64 `[K]`, the loss first."""
        s, total = self.sums, self.sums["weight"]
        special = {name: self._measured(name, one) for name, one in self._special.items()}
        if self.kind == "regression":
            if kind_of(self.kind).variant == "labels":
                return special | {"average_precision": self._curves()["average_precision"]}
            return special if kind_of(self.kind).variant == "quantiles" else self._regression() | special
        loss = s["loss"] / total
        if self.kind == "next_token":
            return {"loss": loss, "perplexity": loss.clamp_max(700.0).exp(), "accuracy": s["right"] / total}
        actual, both = s["actual"], s["actual"] + s["guessed"]
        there, either = (actual > 0).to(F64), (both > 0).to(F64)
        recall = s["hits"] / actual.clamp_min(1e-300)
        f1 = 2 * s["hits"] / both.clamp_min(1e-300)
        return {
            "loss": loss,
            "accuracy": s["hits"].sum(1) / total,
            "balanced_accuracy": (recall * there).sum(1) / there.sum(),
            "f1_macro": (f1 * either).sum(1) / either.sum(1),
            **self._curves(),
            "mcc": classes.matthews(s["hits"] / total, actual / total, s["guessed"] / total),
            "log_loss": loss,
            **special,
        }

    def _measured(self, name: str, measure: Measure) -> Tensor:
        """[K] a measure; nan for lanes that were not measured by it."""
        if not measure.late:
            return measure.of(self.sums[f"of {name}"] / self.sums["weight"])
        found = torch.full((self.lanes,), torch.nan, dtype=F64, device=self.device)
        if self.ranks is not None:
            found[self.ranks] = measure.of(self.sums[f"of {name}"] / self.sums["weight"])
        return found

    def _regression(self) -> dict[str, Tensor]:
        s, total = self.sums, self.sums["weight"]
        unit = torch.ones_like(s["y"]) if self.scale is None else self.scale.to(s["y"])
        squares = s["squares"] / total
        rows = s.get("rows", total)  # of each target
        power = s["yy"] / rows
        spread = power - (s["y"] / rows).square()
        spread = torch.where(spread > CONSTANT * power, spread, torch.nan)
        return {
            "loss": squares.mean(1),
            "rmse": (squares * unit.square()).mean(1).sqrt(),
            "mae": (s["moves"] / total * unit).mean(1),
            "r2": (1 - s.get("own", s["squares"]) / rows / spread).mean(1),
        }

    def _curves(self) -> dict[str, Tensor]:
        """Metrics that need all scores in order, each [K]: the areas under the curves of ROC and of precision."""
        names = ("auroc", "average_precision")
        found = {name: torch.full((self.lanes,), torch.nan, dtype=F64, device=self.device) for name in names}
        if self.ranks is None:
            return found
        if self._runs is not None:
            self._keep_in_file()
            pairs = torch.tensor([self._runs.areas(k) for k in range(self._runs.curves)], dtype=F64)
            made = pairs.view(len(self.ranks), -1, 2).nanmean(1).T.to(self.device)
        else:
            scores, positive, w = self._ranked()
            kept = [(scores[:, j].contiguous(), own) for j, own in enumerate(positive)]
            areas = (_area, classes.average_precision)
            made = torch.stack([torch.stack([area(*one, w) for one in kept]).nanmean(0) for area in areas])
        for name, values in zip(names, made, strict=True):
            found[name][self.ranks] = values
        return found

    def _ranked(self) -> tuple[Tensor, Tensor, Tensor]:
        """What `_keep` was given and is in memory: scores `[K, C, N]`, positives `[C, N]`, weights `[N]`."""
        positives, weights = zip(*self.truth, strict=True)
        return torch.cat(self.scores, 2), torch.cat(positives, 1), torch.cat(weights)

    def _keep_in_file(self) -> None:
        """Move the scores that are in memory to a file, as a run of each curve."""
        if not self.scores:
            return
        scores, positives, w = self._ranked()
        lanes, curves = scores.shape[:2]
        self._runs = self._runs or Runs(lanes * curves)
        weight = w.cpu().numpy()
        for j, own in enumerate(positives):
            positive = own.cpu().numpy()
            for lane in range(lanes):
                self._runs.add(lane * curves + j, scores[lane, j].cpu().numpy(), positive, weight)
        self.scores.clear()
        self.truth.clear()
        self._held = 0


def _columns(classes: int) -> list[int]:
    """The classes whose curves make up auroc: of two the second one, of more all of them."""
    return [1] if classes == 2 else list(range(classes))


def _area(score: Tensor, positive: Tensor, w: Tensor) -> Tensor:
    """`[K]`: P(score of a positive > score of a negative) + P(equal) / 2, weighted; nan when one side is empty.

    `score` `[K, N]`; `positive` and `w` `[N]`.
    """
    ordered, order = score.sort(1)
    down = torch.nn.functional.pad((w * ~positive)[order].cumsum(1), (1, 0))
    below = down.gather(1, torch.searchsorted(ordered, score, right=False))
    upto = down.gather(1, torch.searchsorted(ordered, score, right=True))
    up = w * positive
    return ((below + upto) / 2) @ up / (up.sum() * (w * ~positive).sum())
