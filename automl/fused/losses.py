"""Losses with their gradients by hand, and metrics, for all lanes at once.

`gradient` gives each lane's mean loss and d(loss)/d(output), so that the step calls `output.backward(gradient)` and no
autograd graph is built for the loss. Kinds: "classification" (cross-entropy with label smoothing per lane),
"next_token" (the same per position), "regression" (mean squared error).

Shape letters: K lanes, M rows (batch, or batch times positions), B batch, C classes, O values.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

KINDS = ("classification", "next_token", "regression")
FEW = 32


def gradient(
    kind: str, out: Tensor, y: Tensor, weight: Tensor | None, smoothing: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Losses `[K]` and their gradient, shaped like `out`.

    `out`: `[K, B, C]`, `[K, B, T, V]` or `[K, B, O]`; `y`: `[K, B]`, `[K, B, T]` (int64) or `[K, B, O]`; `weight`:
    `[K, B]` or None; `smoothing`: `[K]` or None. With weights the loss is sum(w * l) / sum(w).
    """
    if kind == "regression":
        return _squared(out, y, weight)
    share = _shares(y, weight)
    flat, labels = out.flatten(1, -2), y.flatten(1)
    losses, g = _cross_entropy(flat, labels, share.flatten(1), smoothing)
    return losses, g.reshape(out.shape)


def _shares(y: Tensor, weight: Tensor | None) -> Tensor:
    """Each row's share of its lane's mean, shaped like `y` (broadcast)."""
    count = y[0].numel()
    if weight is None:
        return torch.full((1, 1), 1.0 / count, device=y.device)
    per_sample = y[0, 0].numel()
    share = weight / (weight.sum(1, keepdim=True).clamp_min(1e-12) * per_sample)
    return share.view(*share.shape, *(1 for _ in y.shape[2:])).expand(y.shape)


def _cross_entropy(out: Tensor, y: Tensor, share: Tensor, smoothing: Tensor | None) -> tuple[Tensor, Tensor]:
    """`out` `[K, M, C]`. Few classes go in front of the rows: softmax over a short last axis is 10 times slower."""
    classes = out.shape[-1]
    axis = 1 if classes <= FEW else 2
    scores = out.transpose(1, 2).contiguous() if axis == 1 else out
    share, y = share.to(out.dtype), y.unsqueeze(axis)
    logp = torch.log_softmax(scores, axis)
    losses = logp.gather(axis, y).squeeze(axis).neg_()
    if smoothing is not None:
        e = smoothing.view(-1, 1)
        losses.mul_(1.0 - e).sub_(logp.mean(axis) * e)
    total = (losses * share).sum(1)
    g = logp.exp_()
    hit = torch.full_like(losses, -1.0) if smoothing is None else (e - 1.0).expand_as(losses)
    g.scatter_add_(axis, y, hit.unsqueeze(axis))
    if smoothing is not None:
        g.sub_((smoothing / classes).view(-1, 1, 1))
    g.mul_(share.unsqueeze(axis))
    return total, g.transpose(1, 2) if axis == 1 else g


def _squared(out: Tensor, y: Tensor, weight: Tensor | None) -> tuple[Tensor, Tensor]:
    residual = out - y.to(out.dtype).view(out.shape)
    rows = residual.flatten(2)
    if weight is None:
        share = torch.full((1, 1), 1.0 / rows.shape[1], device=out.device, dtype=out.dtype)
    else:
        share = (weight / weight.sum(1, keepdim=True).clamp_min(1e-12)).to(out.dtype)
    share = share / rows.shape[2]
    total = (rows.square().sum(2) * share).sum(1)
    return total, (rows * (2.0 * share.unsqueeze(-1))).view(out.shape)


@dataclass
class Meter:
    """Adds up an evaluation in chunks, all lanes at once; `result()` gives name -> `[K]` on the device.

    classification: loss, accuracy, balanced_accuracy, f1_macro; next_token: loss, accuracy, perplexity; regression:
    loss (mean squared error), rmse, mae, r2. Weights enter loss and accuracy.
    """

    kind: str
    lanes: int
    device: torch.device
    loss: Tensor | None = None
    weight: Tensor | None = None
    confusion: Tensor | None = None
    extra: Tensor | None = None

    def add(self, out: Tensor, y: Tensor, weight: Tensor | None) -> None:
        """`out` `[K, B, ...]` of one chunk, `y` `[B, ...]` and `weight` `[B]` shared by all lanes."""
        w = torch.ones(y.shape[0], device=out.device, dtype=out.dtype) if weight is None else weight.to(out.dtype)
        if self.kind == "regression":
            self._add_values(out.flatten(2), y.to(out.dtype).reshape(y.shape[0], -1), w)
        else:
            self._add_classes(out.flatten(1, -2), y.flatten(), w.repeat_interleave(y[0].numel()))

    def _add_classes(self, out: Tensor, y: Tensor, w: Tensor) -> None:
        classes = out.shape[-1]
        logp = torch.log_softmax(out, -1)
        losses = -logp.gather(-1, y.view(1, -1, 1).expand(out.shape[0], -1, 1)).squeeze(-1)
        guess = out.argmax(-1)
        parts = torch.stack([losses @ w, (guess == y).to(w.dtype) @ w])
        self.loss = parts if self.loss is None else self.loss + parts
        self.weight = w.sum() if self.weight is None else self.weight + w.sum()
        if self.kind == "classification":
            lane = torch.arange(out.shape[0], device=out.device).unsqueeze(1)
            cells = (lane * classes + y) * classes + guess
            counts = torch.bincount(cells.flatten(), minlength=out.shape[0] * classes * classes)
            counts = counts.view(out.shape[0], classes, classes)
            self.confusion = counts if self.confusion is None else self.confusion + counts

    def _add_values(self, out: Tensor, y: Tensor, w: Tensor) -> None:
        residual = out - y
        parts = torch.stack([residual.square().mean(2) @ w, residual.abs().mean(2) @ w])
        self.loss = parts if self.loss is None else self.loss + parts
        self.weight = w.sum() if self.weight is None else self.weight + w.sum()
        sums = torch.stack([w @ y, w @ y.square()])
        self.extra = sums if self.extra is None else self.extra + sums

    def result(self) -> dict[str, Tensor]:
        """Metrics by name, each `[K]`."""
        assert self.loss is not None
        assert self.weight is not None
        first, second = self.loss / self.weight
        if self.kind == "regression":
            assert self.extra is not None
            spread = (self.extra[1] - self.extra[0].square() / self.weight).sum() / self.extra.shape[1] / self.weight
            return {"loss": first, "rmse": first.sqrt(), "mae": second, "r2": 1.0 - first / spread}
        values = {"loss": first, "accuracy": second}
        if self.confusion is not None:
            values |= _from_confusion(self.confusion.to(first.dtype))
        else:
            values["perplexity"] = first.exp()
        return values


def _from_confusion(table: Tensor) -> dict[str, Tensor]:
    """`table` `[K, C, C]`: true class by guess. Classes without a true sample are left out of balanced accuracy."""
    hits, truth, guesses = table.diagonal(dim1=1, dim2=2), table.sum(2), table.sum(1)
    seen = (truth > 0).to(table.dtype)
    recall = hits / truth.clamp_min(1)
    counted = ((truth + guesses) > 0).to(table.dtype)
    f1 = 2 * hits / (truth + guesses).clamp_min(1)
    return {"balanced_accuracy": (recall * seen).sum(1) / seen.sum(1).clamp_min(1),
            "f1_macro": (f1 * counted).sum(1) / counted.sum(1).clamp_min(1)}  # fmt: skip
