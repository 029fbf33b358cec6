"""Losses with their gradients by hand, for all lanes at once.

`gradient` gives each lane's mean loss and d(loss)/d(output), so that the step calls `output.backward(gradient)` and no
autograd graph is built for the loss. Kinds: "classification" (cross-entropy with label smoothing per lane),
"next_token" (the same per position), "regression" (mean squared error). Those of variants have no gradient by hand:
autograd derives it from the one formula (`training.losses.formula`).

Shape letters: K lanes, M rows (batch, or batch times positions), B batch, C classes, O values.
"""

import torch
from torch import Tensor

from automl.errors import TaskError
from automl.training.losses import Each, formula

KINDS = ("classification", "next_token", "regression")
FEW = 32
PREPARED = 1 << 17


def gradient(
    kind: str, out: Tensor, y: Tensor, weight: Tensor | None, smoothing: Tensor | None, own: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Losses `[K]` and their gradient, shaped like `out`.

    `out`: `[K, B, C]`, `[K, B, T, V]` or `[K, B, O]`; `y`: `[K, B]`, `[K, B, T]` (int64) or `[K, B, O]`; `weight`:
    `[K, B]` or None; `smoothing`: `[K]` or None. With weights the loss is sum(w * l) / sum(w). `own`: `[K, B]`, each
    sample's share in its mixed self (see `training.augment`); the rest is its partner's, in the lane's reverse order.

    Of models with members, `out` is `[K, B, M, C]` or `[K, B, M, O]`: each member has a loss of its own.
    """
    if kind != "next_token" and out.dim() == 4:
        members = out.shape[2]
        y, weight, own = y.repeat_interleave(members, 1), of_members(weight, members), of_members(own, members)
        losses, g = gradient(kind, out.flatten(1, 2), y, weight, smoothing, own)
        return losses, g.reshape(out.shape)
    if (special := formula(kind)) is not None:
        return gradient_of(special, out, y, weight, own)
    if kind == "regression":
        return _squared(out, y if own is None else mixed(y.to(out.dtype), own), weight)
    share = _shares(y, weight, out.dtype)
    flat, labels = out.flatten(1, -2), y.flatten(1)
    losses, g = _cross_entropy(flat, labels, share.flatten(1), smoothing, own)
    return losses, g.reshape(out.shape)


def gradient_of(
    each_of: Each, out: Tensor, y: Tensor, weight: Tensor | None, own: Tensor | None
) -> tuple[Tensor, Tensor]:
    """As `gradient`, by autograd, for any loss of each sample: all lanes' samples are one batch to it."""
    if out.dim() == 4:
        members = out.shape[2]
        y = y.repeat_interleave(members, 1)
        total, g = gradient_of(each_of, out.flatten(1, 2), y, of_members(weight, members), of_members(own, members))
        return total, g.reshape(out.shape)
    leaf = out.detach().requires_grad_()

    def each(targets: Tensor) -> Tensor:
        found = each_of(leaf.flatten(0, 1), targets.flatten(0, 1))
        if found.shape != (out.shape[0] * out.shape[1],):
            raise TaskError(f"a loss must return one number for each sample, not a tensor of shape {list(found.shape)}")
        return found.view(out.shape[:2])

    with torch.enable_grad():
        y = y if y.dim() == 2 else y.to(out.dtype).flatten(2)
        values = each(y) if own is None else each(y) * own + each(y.flip(1)) * (1 - own)
        share = 1.0 / out.shape[1] if weight is None else weight / weight.sum(1, keepdim=True).clamp_min(1e-12)
        total = (values * share).sum(1)
        total.sum().backward()  # type: ignore[no-untyped-call]
    assert leaf.grad is not None
    return total.detach(), leaf.grad


def of_members(values: Tensor | None, members: int) -> Tensor | None:
    """What samples `[K, B, ...]` have, for each of their members: `[K, B * members, ...]`."""
    return None if values is None else values.repeat_interleave(members, 1)


def mixed(values: Tensor, own: Tensor) -> Tensor:
    """`values` `[K, B, ...]` of samples that were mixed with their partners; `own` `[K, B]` is what they keep."""
    share = own.to(values.dtype).view(*own.shape, *(1 for _ in values.shape[2:]))
    return values * share + values.flip(1) * (1 - share)


def _shares(y: Tensor, weight: Tensor | None, dtype: torch.dtype) -> Tensor:
    """Each row's share of its lane's mean, shaped like `y` (broadcast)."""
    count = y[0].numel()
    if weight is None:
        return torch.full((1, 1), 1.0 / count, device=y.device, dtype=dtype)
    per_sample = y[0, 0].numel()
    share = weight / (weight.sum(1, keepdim=True).clamp_min(1e-12) * per_sample)
    return share.view(*share.shape, *(1 for _ in y.shape[2:])).expand(y.shape)


def _cross_entropy(
    out: Tensor, y: Tensor, share: Tensor, smoothing: Tensor | None, own: Tensor | None
) -> tuple[Tensor, Tensor]:
    """`out` `[K, M, C]`. Few classes go in front of the rows: softmax over a short last axis is 10 times slower."""
    classes = out.shape[-1]
    axis = 1 if classes <= FEW else 2
    scores = out.transpose(1, 2).contiguous() if axis == 1 else out
    share, y = share.to(out.dtype), y.unsqueeze(axis)
    logp = torch.log_softmax(scores, axis)
    losses = logp.gather(axis, y).squeeze(axis).neg_()
    if own is not None:
        own = own.to(out.dtype)
        losses.mul_(own).sub_(logp.gather(axis, y.flip(3 - axis)).squeeze(axis).mul_(1 - own))
    if smoothing is not None:
        e = smoothing.view(-1, 1)
        losses.mul_(1.0 - e).sub_(logp.mean(axis) * e)
    total = (losses * share).sum(1)
    g = logp.exp_()
    hit = torch.full_like(losses, -1.0) if smoothing is None else (e - 1.0).expand_as(losses)
    if own is None:
        g.scatter_add_(axis, y, hit.unsqueeze(axis))
    else:
        g.scatter_add_(axis, y, (hit * own).unsqueeze(axis))
        g.scatter_add_(axis, y.flip(3 - axis), (hit * (1 - own)).unsqueeze(axis))
    if smoothing is not None:
        g.sub_((smoothing / classes).view(-1, 1, 1))
    g.mul_(share.unsqueeze(axis))
    return total, g.transpose(1, 2) if axis == 1 else g


class Targets:
    """Cross-entropy of an epoch's full batches against labels prepared for many steps: 5 operations a step, not 14.

    `y` `[N]` int64; `chosen` `[S, K * B]`: sample indices of each step; `smoothing` `[K]` or None. The prepared labels
    are smoothed one-hot rows times -1 / B, so that the loss is `labels . log p` and its gradient `p / B + labels`.
    """

    def __init__(self, y: Tensor, chosen: Tensor, lanes: int, smoothing: Tensor | None) -> None:
        self.y, self.chosen, self.lanes, self.smoothing = y, chosen, lanes, smoothing
        self.batch = chosen.shape[1] // lanes
        self.labels: list[tuple[Tensor, Tensor]] = []
        self.first = 0

    def gradient(self, out: Tensor, step: int, losses: Tensor, own: Tensor | None = None) -> Tensor:
        """The gradient `[K, B, C]` at `out` `[K, B, C]`; the lanes' losses are written to `losses` `[K, 1, 1]`.

        `own` `[K, B]`: see `losses.gradient`.
        """
        if not self.first <= step < self.first + len(self.labels):
            self.first, self.labels = step, self._prepared(out, step)
        labels, rows = self.labels[step - self.first]
        if own is not None:
            labels = mixed(labels.transpose(1, 2), own).transpose(1, 2).contiguous()
            rows = labels.flatten(1).unsqueeze(1)
        logp = torch.log_softmax(out.transpose(1, 2).contiguous(), 1)  # over a short last axis it is 10 times slower
        torch.bmm(rows, logp.view(len(out), -1, 1), out=losses)
        return torch.add(labels, logp.exp_(), alpha=1.0 / self.batch).transpose(1, 2)

    def _prepared(self, out: Tensor, step: int) -> list[tuple[Tensor, Tensor]]:
        """`[K, C, B]` and, for the loss, the same as `[K, 1, C * B]`, for each of the following steps: as many as make
        PREPARED elements."""
        classes = out.shape[-1]
        steps = max(1, PREPARED // out.numel())
        y = self.y[self.chosen[step : step + steps]].view(-1, self.lanes, 1, self.batch)
        made = torch.zeros(len(y), self.lanes, classes, self.batch, dtype=out.dtype, device=out.device)
        made.scatter_(2, y, -1.0 / self.batch)
        if self.smoothing is not None:
            e = self.smoothing.to(out.dtype).view(-1, 1, 1)
            made.mul_(1.0 - e).sub_(e / (classes * self.batch))
        return list(zip(made, made.flatten(2).unsqueeze(2), strict=True))


def _squared(out: Tensor, y: Tensor, weight: Tensor | None) -> tuple[Tensor, Tensor]:
    y = y.to(out.dtype).view(out.shape)
    rows = (out - y).flatten(2)
    if rows.shape[2] > 1:
        return _squared_of_several(rows, y, weight)
    if weight is None:
        share = torch.full((1, 1), 1.0 / rows.shape[1], device=out.device, dtype=out.dtype)
    else:
        share = (weight / weight.sum(1, keepdim=True).clamp_min(1e-12)).to(out.dtype)
    return (rows.square().sum(2) * share).sum(1), (rows * (2.0 * share.unsqueeze(-1))).view(out.shape)


def _squared_of_several(rows: Tensor, y: Tensor, weight: Tensor | None) -> tuple[Tensor, Tensor]:
    """Losses and gradient of `rows` `[K, B, D]` = outputs - `y`, of which those of missing targets (see
    `metrics.missing`) are set to 0. As few operations as without missing ones: a step's launches are counted."""
    absent = (y != y).flatten(2)
    rows.masked_fill_(absent, 0.0)
    count, half = absent.sum(2, dtype=rows.dtype), rows.shape[1] / 2.0
    if weight is None:  # 2 / B / targets of the row
        scale = torch.rsub(count, rows.shape[2] * half, alpha=half).clamp_min_(half).reciprocal_()
    else:
        share = weight / weight.sum(1, keepdim=True).clamp_min(1e-12)
        scale = (2.0 * share).to(rows.dtype) / (rows.shape[2] - count).clamp_min(1.0)
    g = rows * scale.unsqueeze(-1)
    total = torch.baddbmm(rows.new_zeros(1, 1, 1), g.flatten(1).unsqueeze(1), rows.flatten(1).unsqueeze(2), beta=0.0,
                          alpha=0.5)  # fmt: skip
    return total.view(-1), g.view(y.shape)
