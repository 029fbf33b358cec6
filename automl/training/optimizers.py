"""Optimizers by name: most are torch's own; under muP with learning rates of each tensor's own.

Lion is here because torch lacks it. Muon is the rule for lanes: torch's multiplies in bfloat16 on every device, many
times slower than float32 on a CPU without fast bfloat16.

All of them also take sharded parameters (see `automl.training.distributed.fsdp`).
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from automl.errors import SpecError
from automl.models.mup import Factors
from automl.training.distributed.tensors import is_sharded
from automl.training.hyperparameters import Hyperparameters
from automl.training.rules import Rule, rule


class Lion(torch.optim.Optimizer):
    """Lion (Chen et al. 2023, "Symbolic Discovery of Optimization Algorithms", algorithm 2).

    The step is the sign of an interpolation between momentum and gradient; weight decay is decoupled.

    Args:
        params: parameters, or groups of them, as for every torch optimizer.
        lr: learning rate.
        betas: beta1 interpolates for the step, beta2 is the decay of the momentum.
        weight_decay: decoupled; the weights shrink by `lr * weight_decay` in a step.
    """

    def __init__(
        self, params: Any, lr: float, betas: tuple[float, float] = (0.9, 0.99), weight_decay: float = 0.0
    ) -> None:
        super().__init__(params, {"lr": lr, "betas": betas, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Update every parameter that has a gradient; `closure` is not called."""
        for group in self.param_groups:
            beta1, beta2 = group["betas"]
            trained = [p for p in group["params"] if p.grad is not None]
            if not trained:
                continue
            for p in trained:
                if not self.state[p]:
                    self.state[p]["momentum"] = torch.zeros_like(p)
            grads: list[Tensor] = [p.grad for p in trained]
            momenta: list[Tensor] = [self.state[p]["momentum"] for p in trained]
            update = torch._foreach_mul(momenta, beta1)
            torch._foreach_add_(update, grads, alpha=1 - beta1)
            torch._foreach_sign_(update)
            torch._foreach_mul_(trained, 1 - group["lr"] * group["weight_decay"])
            torch._foreach_add_(trained, list(update), alpha=-group["lr"])
            torch._foreach_mul_(momenta, beta2)
            torch._foreach_add_(momenta, grads, alpha=1 - beta2)
        return None


class RuleOptimizer(torch.optim.Optimizer):
    """A rule for lanes (see `rules`) as an optimizer of one model: each tensor is a row, or a lane's whole tensor.

    Args:
        params: groups of parameters with `weight_decay` and, where it differs, `eps`.
        rule: how they are updated.
        options: all other hyperparameters.
    """

    def __init__(self, params: Any, rule: Rule, options: Hyperparameters) -> None:
        super().__init__(params, {"lr": options.lr, "weight_decay": options.weight_decay, "eps": options.eps})
        self.rule, self.options = rule, options

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Update every parameter that has a gradient; `closure` is not called."""
        for group in self.param_groups:
            hypers = replace(self.options, weight_decay=group["weight_decay"], eps=group["eps"])
            rate = np.full((1, 1), group["lr"])
            for p in group["params"]:
                if p.grad is None:
                    continue
                state = self.state[p]
                if not state:
                    state |= {
                        "updates": torch.zeros((), dtype=torch.int64),
                        **{name: torch.zeros_like(p) for name in self.rule.states},
                    }
                state["updates"] += 1
                tables = self.rule.tables([hypers], rate, np.full((1, 1), float(state["updates"])))
                now = {name: torch.full((1, 1), float(table[0, 0]), dtype=p.dtype, device=p.device)
                       for name, table in tables.items()}  # fmt: skip
                shape = (1, *p.shape) if self.rule.shaped else (1, p.numel())
                rows = {name: state[name].view(shape) for name in self.rule.states}
                gradient = p.grad.clone().view(shape)  # the rule may overwrite it
                self.rule.update(p.view(shape), gradient, rows, now, torch.empty_like(gradient))
        return None


def make(
    parameters: Iterable[tuple[str, nn.Parameter]],
    options: Hyperparameters,
    factors: Mapping[str, Factors] | None = None,
    hidden: frozenset[str] = frozenset(),
) -> list[torch.optim.Optimizer]:
    """The optimizers of one model: one, or for Muon two.

    Every tensor is decayed, as in torch.optim and in the fused engine.

    Args:
        parameters: names and parameters of the model; frozen ones are left out.
        options: which optimizer, and its hyperparameters.
        factors: muP's factors of learning rate, decay and eps, by name; None: all 1.
        hidden: names of the matrices that Muon updates (Jordan et al. 2024 exclude the first and last layer); AdamW
            updates the rest. Empty: all matrices but the first and the last one.

    Returns:
        Optimizers whose parameter groups have a `base_lr`, which `set_lr` multiplies.
    """
    named = [(name, p) for name, p in parameters if p.requires_grad]
    if options.optimizer != "muon":
        return [_optimizer(options.optimizer, _groups(named, options, factors), options)]
    chosen = muon_matrices({name: p.shape for name, p in named}, hidden)
    inner = [(name, p) for name, p in named if name in chosen]
    rest = [(name, p) for name, p in named if name not in chosen]
    found = [_optimizer("adamw", _groups(rest, options, factors), options)] if rest else []
    if inner:  # Muon's updates are scaled to the size of AdamW's (RMS 0.2), so one learning rate serves both
        found.append(_optimizer("muon", _groups(inner, options, factors), options))
    return found


def muon_matrices(shapes: Mapping[str, Sequence[int]], hidden: frozenset[str]) -> frozenset[str]:
    """The names of the parameters that Muon updates: matrices, the first and the last one excluded.

    Args:
        shapes: of the trained parameters, by name, in the model's order.
        hidden: those that are surely hidden matrices (muP knows); empty: it is not known.
    """
    matrices = [name for name, shape in shapes.items() if len(shape) == 2]
    return hidden.intersection(matrices) if hidden else frozenset(matrices[1:-1])


def _groups(
    named: list[tuple[str, nn.Parameter]], options: Hyperparameters, factors: Mapping[str, Factors] | None
) -> list[dict[str, Any]]:
    """Parameter groups: one for each combination of learning rate, decay and eps."""
    groups: dict[tuple[Any, ...], dict[str, Any]] = {}
    for name, p in named:
        factor = (factors or {}).get(name, Factors())
        decay = options.weight_decay * factor.weight_decay
        key = (factor.lr, decay, factor.eps)
        if key not in groups:
            lr = options.lr * factor.lr
            groups[key] = {"params": [], "lr": lr, "base_lr": lr, "weight_decay": decay, "eps_factor": factor.eps}
        groups[key]["params"].append(p)
    return list(groups.values())


def _optimizer(name: str, groups: list[dict[str, Any]], options: Hyperparameters) -> torch.optim.Optimizer:
    """The optimizer of that name for `groups`."""
    betas, eps = (options.beta1, options.beta2), options.eps
    scales = [group.pop("eps_factor") for group in groups]
    if name in ("adam", "adamw", "nadam", "rmsprop") or ":" in name:
        for group, scale in zip(groups, scales, strict=True):
            group["eps"] = eps * scale
    optim = torch.optim
    sharded = any(is_sharded(p) for group in groups for p in group["params"])
    if ":" in name and sharded:
        raise SpecError(f"optimizer: {name} cannot update a model that is divided; take parallel: replicate")
    if ":" in name:
        return RuleOptimizer(groups, rule(name), options)
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
        return _gathering(adafactor, optim.Adafactor) if sharded else adafactor
    if name == "muon":
        muon = replace(rule(name), states=("exp_avg",))  # for lanes it also has the state of AdamW's tensors
        own = RuleOptimizer(groups, muon, options)
        return _gathering(own, partial(RuleOptimizer, rule=muon, options=options)) if sharded else own
    return Lion(groups, lr=options.lr, betas=betas)


def _gathering(plain: torch.optim.Optimizer, make: Callable[..., torch.optim.Optimizer]) -> torch.optim.Optimizer:
    from automl.training.distributed.fsdp import GatheringOptimizer

    return GatheringOptimizer(plain, make)


@contextmanager
def keeping_kernels(optimizer: torch.optim.Optimizer) -> Iterator[None]:
    """Keeps the choice of fused kernels while a state is loaded inside the block; a saved state brings its own."""
    fused = [group.get("fused") for group in optimizer.param_groups]
    yield
    for group, own in zip(optimizer.param_groups, fused, strict=True):
        if "fused" in group:
            group["fused"] = own


def set_lr(optimizers: list[torch.optim.Optimizer], factor: float) -> None:
    """Set the learning rate of every parameter group to its `base_lr` times `factor`."""
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = group["base_lr"] * factor
