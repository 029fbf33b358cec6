"""A network learns from further rows: `head` (its last layer alone), or `finetune` (all of it, at a low rate).

Both learn from new rows and from old ones that were kept ("replay"), and are held near what the old network says of
the old rows (distillation, Li & Hoiem 2016, "Learning without forgetting"; Hinton et al. 2015).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from automl.adapting import heads, regression
from automl.data.prepared import Part

Loss = Callable[[Tensor, Tensor], Tensor]
"""(outputs [N, U], targets [N, U]) -> the loss of each row."""
TRUST = 0.5
"""How much of an old row's target is what the old network says of it; the rest is its true answer."""


@dataclass(frozen=True)
class Rows:
    """What is learned from.

    Attributes:
        new: the new rows.
        old: rows from before; None: none are known.
        kind: "classification" or "regression".
    """

    new: Part
    old: Part | None
    kind: str

    def joined(self) -> tuple[Tensor, Tensor, Tensor]:
        """(x, y, weight) of all, the new rows first. New and old rows together count as much as their numbers."""
        both = self.new if self.old is None else self.new + self.old
        weight = torch.ones(len(both)) if both.weight is None else both.weight
        return both.x, both.y, weight


def head(module: nn.Module, rows: Rows, strength: float = regression.STRENGTH) -> None:
    """Refit the last linear layer on `rows`, in place; all other layers stay unchanged.

    Args:
        module: the network; its last layer has one unit for each class.
        rows: the training rows, new and old.
        strength: the penalty for moving away from the old weights, see `regression.ridge`.

    Raises:
        DataError: the network has no last linear layer.
    """
    module.eval()
    x, y, weight = rows.joined()
    found = heads.find(module, x)
    seen = heads.features(module, found, x)
    layer, bias = found.layer, found.layer.bias is not None
    parts = [layer.weight.detach().cpu(), *([layer.bias.detach().cpu()[:, None]] if bias else [])]
    old = torch.cat(parts, 1)
    h = torch.cat([seen.h, torch.ones(len(x), 1)], 1) if bias else seen.h
    said = found.scale * (h @ old.T) + seen.offset
    target = _targets(rows, y, said)
    if rows.kind == "classification":
        learned = regression.logistic(h, target, old, weight, strength, found.scale, seen.offset)
    else:
        learned = regression.ridge(h, (target - seen.offset) / found.scale, old, weight, strength)
    with torch.no_grad():
        layer.weight.copy_(learned[:, :-1] if bias else learned)
        if bias:
            layer.bias.copy_(learned[:, -1])


def _targets(rows: Rows, y: Tensor, said: Tensor) -> Tensor:
    """[N, U] what the outputs are to be: the truth for new rows, for old ones half of what the old network says."""
    new = len(rows.new)
    if rows.kind == "regression":
        target = y.clone()
        target[new:] = (1 - TRUST) * y[new:] + TRUST * said[new:]
        return target
    target = F.one_hot(y, said.shape[1]).float()
    target[new:] = (1 - TRUST) * target[new:] + TRUST * said[new:].softmax(-1)
    return target


@dataclass(frozen=True)
class Rate:
    """How `finetune` goes.

    Attributes:
        lr: the rate of AdamW at the start; it falls to 0 as a cosine.
        epochs: how often each row is seen.
        batch_size: rows of a step.
        seed: of the order of rows and of dropout.
    """

    lr: float = 3e-4
    epochs: int = 3
    batch_size: int = 128
    seed: int = 0


def said(module: nn.Module, rows: Rows) -> Tensor | None:
    """[N, U] what the network says of the old rows; None where there are none."""
    if rows.old is None:
        return None
    module.eval()
    with torch.no_grad():
        return torch.cat([module(piece) for piece in torch.split(rows.old.x, heads.PIECE)])


def finetune(
    module: nn.Module, rows: Rows, rate: Rate, device: torch.device | str = "cpu", before: Tensor | None = None
) -> None:
    """Train all weights further, in place.

    Batch norms learn from batches of new and old rows together. Without old rows their statistics stay as they are:
    those of a few new rows would replace those of all old ones.

    Args:
        module: the network, on the CPU; its head has a unit for every class.
        rows: what is learned from.
        rate: how.
        device: where to compute; the network comes back to the CPU.
        before: what the old network says of the old rows (`said`); None: the network is the old one still.
    """
    before = said(module, rows) if before is None else before
    module.to(device).eval()
    x, y, weight = (tensor.to(device) for tensor in rows.joined())
    with torch.no_grad():
        units = module(x[:1]).shape[-1]
    whole = torch.zeros(len(x), units, device=y.device)
    if before is not None:
        whole[len(rows.new) :] = before.to(device)
    _train(module, x, _targets(rows, y, whole), weight, rate, _loss_of(rows.kind), rows.old is None)
    module.to("cpu").eval()


def _train(
    module: nn.Module, x: Tensor, target: Tensor, weight: Tensor, rate: Rate, loss_of: Loss, alone: bool
) -> None:
    parameters = [p for p in module.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=rate.lr, weight_decay=0.01, fused=True)
    steps = rate.epochs * math.ceil(len(x) / rate.batch_size)
    step = 0
    with torch.random.fork_rng(devices=[x.device] if x.is_cuda else []):
        torch.manual_seed(rate.seed)
        for _ in range(rate.epochs):
            _train_mode(module, alone=alone)
            for batch in torch.split(torch.randperm(len(x)).to(x.device), rate.batch_size):
                optimizer.zero_grad()
                each, w = loss_of(module(x[batch]), target[batch]), weight[batch]
                ((each * w).sum() / w.sum().clamp_min(1e-12)).backward()  # type: ignore[no-untyped-call]
                optimizer.param_groups[0]["lr"] = rate.lr * (1 + math.cos(math.pi * step / steps)) / 2
                optimizer.step()
                step += 1


def _loss_of(kind: str) -> Loss:
    """(outputs [N, U], targets [N, U]) -> the loss of each row."""
    if kind == "regression":
        return lambda outputs, target: (outputs - target).square().mean(-1)
    return lambda outputs, target: -(target * F.log_softmax(outputs, -1)).sum(-1)


def _train_mode(module: nn.Module, *, alone: bool) -> None:
    """Training mode; `alone`: but for batch norms, which go on with the statistics that they have."""
    module.train()
    if not alone:
        return
    for part in module.modules():
        if isinstance(part, nn.modules.batchnorm._BatchNorm):
            part.eval()
