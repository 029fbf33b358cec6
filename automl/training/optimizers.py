"""Optimizers by name: torch's own where it has them, Lion beside them; a learning rate per tensor under muP.

All take parameters that are sharded among devices too (see `automl.training.distributed.fsdp`).
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from automl.models.mup import Factors
from automl.training.distributed.ddp import is_split
from automl.training.hyperparameters import Hyperparameters


class Lion(torch.optim.Optimizer):
    """Sign of an interpolated momentum, decoupled decay (Chen et al. 2023, "Symbolic discovery", algorithm 2)."""

    def __init__(
        self, params: Any, lr: float, betas: tuple[float, float] = (0.9, 0.99), weight_decay: float = 0.0
    ) -> None:
        super().__init__(params, {"lr": lr, "betas": betas, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        for group in self.param_groups:
            beta1, beta2 = group["betas"]
            given = [p for p in group["params"] if p.grad is not None]
            if not given:
                continue
            for p in given:
                if not self.state[p]:
                    self.state[p]["momentum"] = torch.zeros_like(p)
            grads: list[Tensor] = [p.grad for p in given]
            momenta: list[Tensor] = [self.state[p]["momentum"] for p in given]
            update = torch._foreach_mul(momenta, beta1)
            torch._foreach_add_(update, grads, alpha=1 - beta1)
            torch._foreach_sign_(update)
            torch._foreach_mul_(given, 1 - group["lr"] * group["weight_decay"])
            torch._foreach_add_(given, list(update), alpha=-group["lr"])
            torch._foreach_mul_(momenta, beta2)
            torch._foreach_add_(momenta, grads, alpha=1 - beta2)
        return None


def make(
    parameters: Iterable[tuple[str, nn.Parameter]],
    options: Hyperparameters,
    factors: Mapping[str, Factors] | None = None,
    matrices: frozenset[str] = frozenset(),
) -> list[torch.optim.Optimizer]:
    """The optimizers of one model; each parameter group carries `base_lr`, which `set_rate` multiplies.

    Every tensor is decayed, as in torch.optim and the fused rows. `matrices`: names of the hidden matrices, the only
    ones Muon takes (AdamW has the rest); empty: every matrix that is neither first nor last.
    """
    named = [(name, p) for name, p in parameters if p.requires_grad]
    if options.optimizer != "muon":
        return [_optimizer(options.optimizer, _groups(named, options, factors), options)]
    two = [name for name, p in named if p.ndim == 2]
    inner = matrices or frozenset(two[1:-1])
    mine = [(name, p) for name, p in named if name in inner and p.ndim == 2]
    rest = [(name, p) for name, p in named if not (name in inner and p.ndim == 2)]
    made = [_optimizer("adamw", _groups(rest, options, factors), options)] if rest else []
    if mine:  # the update's size is that of AdamW's (0.2 RMS), so one lr serves both
        made.append(_optimizer("muon", _groups(mine, options, factors), options))
    return made


def _groups(
    named: list[tuple[str, nn.Parameter]], options: Hyperparameters, factors: Mapping[str, Factors] | None
) -> list[dict[str, Any]]:
    groups: dict[tuple[Any, ...], dict[str, Any]] = {}
    for name, p in named:
        factor = (factors or {}).get(name, Factors())
        decay = options.weight_decay * factor.weight_decay
        key = (factor.lr, decay, factor.eps)
        if key not in groups:
            rate = options.lr * factor.lr
            groups[key] = {"params": [], "lr": rate, "base_lr": rate, "weight_decay": decay, "eps_factor": factor.eps}
        groups[key]["params"].append(p)
    return list(groups.values())


def _optimizer(name: str, groups: list[dict[str, Any]], options: Hyperparameters) -> torch.optim.Optimizer:
    betas, eps = (options.beta1, options.beta2), options.eps
    scales = [group.pop("eps_factor") for group in groups]
    if name in ("adam", "adamw", "nadam", "rmsprop"):
        for group, scale in zip(groups, scales, strict=True):
            group["eps"] = eps * scale
    optim = torch.optim
    sharded = any(is_split(p) for group in groups for p in group["params"])
    if name == "sgd":
        nesterov = options.nesterov and options.momentum > 0
        return optim.SGD(groups, lr=options.lr, momentum=options.momentum, nesterov=nesterov, fused=not sharded)
    if name == "adam":
        return optim.Adam(groups, lr=options.lr, betas=betas, fused=True)
    if name == "adamw":
        return optim.AdamW(groups, lr=options.lr, betas=betas, fused=True)
    if name == "nadam":
        return optim.NAdam(groups, lr=options.lr, betas=betas, decoupled_weight_decay=True)
    if name == "rmsprop":
        return optim.RMSprop(groups, lr=options.lr, alpha=options.beta2, momentum=options.momentum)
    if name == "adafactor":
        adafactor = optim.Adafactor(groups, lr=options.lr)
        return _gathered(adafactor) if sharded else adafactor
    if name == "muon":
        muon = optim.Muon(
            groups, lr=options.lr, momentum=options.momentum, nesterov=options.nesterov, adjust_lr_fn="match_rms_adamw"
        )
        return _gathered(muon) if sharded else muon
    return Lion(groups, lr=options.lr, betas=betas)


def _gathered(plain: torch.optim.Optimizer) -> torch.optim.Optimizer:
    from automl.training.distributed.fsdp import Gathered

    return Gathered(plain)


@contextmanager
def own_kernels(optimizer: torch.optim.Optimizer) -> Iterator[None]:
    """After taking up a saved state inside, it computes as it was made to; saved ones tell how another was."""
    fused = [group.get("fused") for group in optimizer.param_groups]
    yield
    for group, own in zip(optimizer.param_groups, fused, strict=True):
        if "fused" in group:
            group["fused"] = own


def set_rate(optimizers: list[torch.optim.Optimizer], factor: float) -> None:
    """Every group's learning rate becomes its own base rate times `factor`."""
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = group["base_lr"] * factor
