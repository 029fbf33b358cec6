"""Optimizers over rows: one update for all lanes of a `[K, P]` matrix, with each lane's own hyperparameters.

Every rule equals its `torch.optim` namesake to rounding. A rule says which state rows it keeps, turns hyperparameters
into a table of coefficients per (step, lane) on the host in float64, and applies one step as a few passes over rows,
with one scratch matrix and no temporaries of size `[K, P]`. On the CPU AdamW, Adam and SGD call torch's own fused
kernel on each row instead, on a GPU every rule has a Triton kernel (`kernels`): both read every element once.

Shape letters: K lanes, P parameters, S steps.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from automl.core.user_code import import_object
from automl.errors import TaskError
from automl.training.hyperparameters import Hyperparameters
from automl.training.schedules import F64

Coefficients = Mapping[str, Tensor]  # each [K, 1]
Update = Callable[[Tensor, Tensor, Mapping[str, Tensor], Coefficients, Tensor], None]


@dataclass(frozen=True)
class Rule:
    """`states`: rows kept per lane; `tables(hypers, lr, t)`: name -> `[S, K]`; `update(p, g, state, c, scratch)`.

    `native`: torch's own kernel of the rule. `shaped`: the rule needs whole tensors: it is called once for each
    parameter, with matrices `[K, *shape]` in place of `[K, P]`.
    """

    states: tuple[str, ...]
    tables: Callable[[Sequence[Hyperparameters], F64, F64], dict[str, F64]]
    update: Update
    native: Callable[..., None] | None = None
    shaped: bool = False


def column(hypers: Sequence[Hyperparameters], name: str) -> F64:
    """One hyperparameter of all lanes, `[K]` float64."""
    return np.asarray([getattr(h, name) for h in hypers], dtype=np.float64)


def _adam_tables(hypers: Sequence[Hyperparameters], lr: F64, t: F64) -> dict[str, F64]:
    beta1, beta2 = column(hypers, "beta1"), column(hypers, "beta2")
    decay = column(hypers, "weight_decay")
    return {
        "keep": 1.0 - lr * decay,
        "decay": np.broadcast_to(decay, lr.shape),
        "new1": np.broadcast_to(1.0 - beta1, lr.shape),
        "new2": np.broadcast_to(1.0 - beta2, lr.shape),
        "root": 1.0 / np.sqrt(1.0 - beta2**t),
        "eps": np.broadcast_to(column(hypers, "eps"), lr.shape),
        "rate": lr / (1.0 - beta1**t),
    }


def _adam_core(p: Tensor, g: Tensor, state: Mapping[str, Tensor], c: Coefficients, s: Tensor) -> None:
    first, second = state["exp_avg"], state["exp_avg_sq"]
    first.lerp_(g, c["new1"])
    second.lerp_(torch.mul(g, g, out=s), c["new2"])
    torch.sqrt(second, out=s).mul_(c["root"]).add_(c["eps"])
    torch.div(first, s, out=s).mul_(c["rate"])
    p.sub_(s)


def _adamw(p: Tensor, g: Tensor, state: Mapping[str, Tensor], c: Coefficients, s: Tensor) -> None:
    """Loshchilov & Hutter 2019, algorithm 2."""
    p.mul_(c["keep"])
    _adam_core(p, g, state, c, s)


def _adam(p: Tensor, g: Tensor, state: Mapping[str, Tensor], c: Coefficients, s: Tensor) -> None:
    """Kingma & Ba 2015, algorithm 1, with coupled L2 decay."""
    g.addcmul_(p, c["decay"])
    _adam_core(p, g, state, c, s)


def _nadam_tables(hypers: Sequence[Hyperparameters], lr: F64, t: F64) -> dict[str, F64]:
    beta1, beta2 = column(hypers, "beta1"), column(hypers, "beta2")
    last = int(t.max())
    momenta = beta1 * (1.0 - 0.5 * 0.96 ** (np.arange(1, last + 2, dtype=np.float64)[:, None] * 4e-3))
    products = np.cumprod(momenta, axis=0)
    at, lanes = t.astype(np.int64) - 1, np.arange(len(hypers))
    mu, mu_next, product = momenta[at, lanes], momenta[at + 1, lanes], products[at, lanes]
    return {
        "keep": 1.0 - lr * column(hypers, "weight_decay"),
        "new1": np.broadcast_to(1.0 - beta1, lr.shape),
        "new2": np.broadcast_to(1.0 - beta2, lr.shape),
        "root": 1.0 / np.sqrt(1.0 - beta2**t),
        "eps": np.broadcast_to(column(hypers, "eps"), lr.shape),
        "gradient": lr * (1.0 - mu) / (1.0 - product),
        "moment": lr * mu_next / (1.0 - product * mu_next),
    }


def _nadam(p: Tensor, g: Tensor, state: Mapping[str, Tensor], c: Coefficients, s: Tensor) -> None:
    """Dozat 2016 with the momentum schedule of `torch.optim.NAdam`, and decoupled decay."""
    first, second = state["exp_avg"], state["exp_avg_sq"]
    p.mul_(c["keep"])
    first.lerp_(g, c["new1"])
    second.lerp_(torch.mul(g, g, out=s), c["new2"])
    torch.sqrt(second, out=s).mul_(c["root"]).add_(c["eps"])
    g.mul_(c["gradient"]).addcmul_(first, c["moment"])
    p.sub_(g.div_(s))


def _sgd_tables(hypers: Sequence[Hyperparameters], lr: F64, t: F64) -> dict[str, F64]:
    momentum, nesterov = column(hypers, "momentum"), column(hypers, "nesterov")
    return {
        "decay": np.broadcast_to(column(hypers, "weight_decay"), lr.shape),
        "mu": np.broadcast_to(momentum, lr.shape),
        "buffer": lr * np.where(nesterov > 0, momentum, 1.0),
        "gradient": lr * nesterov,
    }


def _sgd(p: Tensor, g: Tensor, state: Mapping[str, Tensor], c: Coefficients, s: Tensor) -> None:
    """Sutskever et al. 2013 as in `torch.optim.SGD` (dampening 0)."""
    buffer = state["momentum"]
    g.addcmul_(p, c["decay"])
    buffer.mul_(c["mu"]).add_(g)
    torch.mul(buffer, c["buffer"], out=s).addcmul_(g, c["gradient"])
    p.sub_(s)


def _rmsprop_tables(hypers: Sequence[Hyperparameters], lr: F64, t: F64) -> dict[str, F64]:
    return {
        "decay": np.broadcast_to(column(hypers, "weight_decay"), lr.shape),
        "mu": np.broadcast_to(column(hypers, "momentum"), lr.shape),
        "new2": np.broadcast_to(1.0 - column(hypers, "beta2"), lr.shape),
        "eps": np.broadcast_to(column(hypers, "eps"), lr.shape),
        "lr": lr,
    }


def _rmsprop(p: Tensor, g: Tensor, state: Mapping[str, Tensor], c: Coefficients, s: Tensor) -> None:
    """Hinton's lecture 6e as in `torch.optim.RMSprop`; its alpha is `beta2`."""
    second, buffer = state["exp_avg_sq"], state["momentum"]
    g.addcmul_(p, c["decay"])
    second.lerp_(torch.mul(g, g, out=s), c["new2"])
    torch.sqrt(second, out=s).add_(c["eps"])
    buffer.mul_(c["mu"]).add_(torch.div(g, s, out=s))
    p.sub_(torch.mul(buffer, c["lr"], out=s))


def _lion_tables(hypers: Sequence[Hyperparameters], lr: F64, t: F64) -> dict[str, F64]:
    return {
        "keep": 1.0 - lr * column(hypers, "weight_decay"),
        "new1": np.broadcast_to(1.0 - column(hypers, "beta1"), lr.shape),
        "new2": np.broadcast_to(1.0 - column(hypers, "beta2"), lr.shape),
        "lr": lr,
    }


def _lion(p: Tensor, g: Tensor, state: Mapping[str, Tensor], c: Coefficients, s: Tensor) -> None:
    """Chen et al. 2023, algorithm 2."""
    first = state["exp_avg"]
    p.mul_(c["keep"])
    torch.lerp(first, g, c["new1"], out=s)
    p.sub_(s.sign_().mul_(c["lr"]))
    first.lerp_(g, c["new2"])


def _muon_tables(hypers: Sequence[Hyperparameters], lr: F64, t: F64) -> dict[str, F64]:
    momentum, nesterov = column(hypers, "momentum"), column(hypers, "nesterov")
    return {
        "keep": 1.0 - lr * column(hypers, "weight_decay"),
        "new1": np.broadcast_to(1.0 - momentum, lr.shape),
        "blend": np.broadcast_to(np.where(nesterov > 0, momentum, 1.0), lr.shape),
        "lr": lr,
    }


def _muon(p: Tensor, g: Tensor, state: Mapping[str, Tensor], c: Coefficients, s: Tensor) -> None:
    """Jordan et al. 2024 for matrices `[K, O, I]`, scaled to the size of AdamW's updates as in Liu et al. 2025, eq. 4.

    As `torch.optim.Muon` with `match_rms_adamw`.
    """
    own = {name: value.view(-1, 1, 1) for name, value in c.items()}
    buffer = state["exp_avg"]
    buffer.lerp_(g, own["new1"])
    torch.lerp(g, buffer, own["blend"], out=s)
    p.mul_(own["keep"]).sub_(orthogonalized(s).mul_(0.2 * max(p.shape[1:]) ** 0.5 * own["lr"]))


def orthogonalized(matrices: Tensor) -> Tensor:
    """Nearly U V^T of each matrix U S V^T in `[K, O, I]`: five Newton-Schulz iterations (Jordan et al. 2024).

    In bfloat16 on a GPU, as its authors do. On a CPU that would be slower, so there it is the matrices' own format, in
    which a lane has the same bits whatever other lanes there are.
    """
    wide = matrices.shape[1] <= matrices.shape[2]
    x = matrices if wide else matrices.transpose(1, 2)
    x = x.bfloat16() if x.device.type == "cuda" else x
    x = x / torch.linalg.matrix_norm(x, keepdim=True).clamp_min(1e-7)
    for _ in range(5):
        gram = x @ x.transpose(1, 2)
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=-4.7750, alpha=2.0315), x, beta=3.4445)
    return (x if wide else x.transpose(1, 2)).to(matrices.dtype)


def _adafactor_tables(hypers: Sequence[Hyperparameters], lr: F64, t: F64) -> dict[str, F64]:
    return {
        "keep": 1.0 - lr * column(hypers, "weight_decay"),
        "new2": t**-0.8,
        "rho": np.minimum(lr, 1.0 / np.sqrt(t)),
    }


def _adafactor(p: Tensor, g: Tensor, state: Mapping[str, Tensor], c: Coefficients, s: Tensor) -> None:
    """Shazeer & Stern 2018, algorithms 4 to 6, as in `torch.optim.Adafactor`; `p` is `[K, *shape]`.

    The second moments of a matrix are kept as those of its rows and of its columns, each in the first elements of a
    state row; those of a vector whole, in the first one.
    """
    shape = p.shape[1:]
    own = {name: value.view(-1, *(1 for _ in shape)) for name, value in c.items()}
    tiny = torch.finfo(p.dtype).eps

    def rms(x: Tensor) -> Tensor:
        return x.flatten(1).square().mean(1).sqrt().view(-1, *(1 for _ in shape))

    size = rms(p).clamp_min(1e-3) * own["rho"]
    p.mul_(own["keep"])
    torch.mul(g, g, out=s)
    if len(shape) > 1:
        of_rows, of_columns = s.mean(-1, keepdim=True), s.mean(-2, keepdim=True)
        rows = _first(state["row_var"], of_rows).lerp_(of_rows, own["new2"])
        columns = _first(state["col_var"], of_columns).lerp_(of_columns, own["new2"])
        estimate = torch.mul(rows, columns, out=s).div_(rows.mean(-2, keepdim=True).clamp_min(tiny))
    else:
        estimate = s.copy_(state["row_var"].lerp_(s, own["new2"]))
    update = estimate.clamp_min_(tiny * tiny).rsqrt_().mul_(g)
    p.sub_(update.mul_(size / rms(update).clamp_min(1.0)))


def _first(row: Tensor, like: Tensor) -> Tensor:
    """The first elements of each lane's `row` `[K, ...]`, as a view of the shape of `like` `[K, ...]`."""
    return row.flatten(1)[:, : like[0].numel()].view(like.shape)


def _native_adam(kernel: Callable[..., Any]) -> Callable[..., None]:
    def step(
        p: list[Tensor], g: list[Tensor], state: Mapping[str, list[Tensor]], t: Tensor, h: Hyperparameters, lr: float
    ) -> None:
        kernel(
            p, g, state["exp_avg"], state["exp_avg_sq"], [], [t] * len(p), lr=lr, beta1=h.beta1, beta2=h.beta2,
            weight_decay=h.weight_decay, eps=h.eps, amsgrad=False, maximize=False,
        )  # fmt: skip

    return step


def _native_sgd(
    p: list[Tensor], g: list[Tensor], state: Mapping[str, list[Tensor]], t: Tensor, h: Hyperparameters, lr: float
) -> None:
    torch._fused_sgd_(
        p, g, state["momentum"] if h.momentum else [], weight_decay=h.weight_decay, momentum=h.momentum, lr=lr,
        dampening=0.0, nesterov=h.nesterov and h.momentum > 0, maximize=False, is_first_step=False,
    )  # fmt: skip


RULES: dict[str, Rule] = {
    "adafactor": Rule(("row_var", "col_var"), _adafactor_tables, _adafactor, shaped=True),
    "adam": Rule(("exp_avg", "exp_avg_sq"), _adam_tables, _adam, _native_adam(torch._fused_adam_)),
    "adamw": Rule(("exp_avg", "exp_avg_sq"), _adam_tables, _adamw, _native_adam(torch._fused_adamw_)),
    "lion": Rule(("exp_avg",), _lion_tables, _lion),
    "muon": Rule(("exp_avg", "exp_avg_sq"), _muon_tables, _muon, shaped=True),
    "nadam": Rule(("exp_avg", "exp_avg_sq"), _nadam_tables, _nadam),
    "rmsprop": Rule(("exp_avg_sq", "momentum"), _rmsprop_tables, _rmsprop),
    "sgd": Rule(("momentum",), _sgd_tables, _sgd, _native_sgd),
}


@cache
def rule(optimizer: str) -> Rule:
    """The rule of that name: one of `hyperparameters.OPTIMIZERS`, or a user's own, `module:name`.

    Raises:
        TaskError: a user's rule cannot be imported, or is no `Rule`.
    """
    if ":" not in optimizer:
        return RULES[optimizer]
    own = import_object(optimizer)
    if not isinstance(own, Rule):
        raise TaskError(f"optimizer: {optimizer} must be a Rule, not {type(own).__name__}")
    return own


def clip_rows(g: Tensor, limits: Tensor) -> None:
    """Scale each row of `g` `[K, P]` to a norm of at most `limits` `[K]` (inf: not at all), as `clip_grad_norm_`."""
    norms = torch.linalg.vector_norm(g, dim=1)
    g.mul_((limits / (norms + 1e-6)).clamp_(max=1.0).unsqueeze(1))
