"""An optimizer of your own: AdaBelief (Zhuang et al. 2020, algorithm 2), with decoupled weight decay.

In a specification beside this file:

    space:
      optimizer: adabelief:RULE        # or [adamw, adabelief:RULE], to search it
      lr: {float: [1e-4, 1e-2], log: true}

All lanes are updated at once: `p`, `g` and the states are `[K, P]`, a row for each trial; the coefficients are
`[K, 1]`. Nothing may depend on another row, and a state begins as zeros.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from torch import Tensor

from automl.training.hyperparameters import Hyperparameters
from automl.training.rules import F64, Rule, column


def tables(hypers: Sequence[Hyperparameters], lr: F64, t: F64) -> dict[str, F64]:
    """The coefficients of every step and lane, `[S, K]`, computed once for an epoch.

    Args:
        hypers: of each lane.
        lr: `[S, K]` learning rates, schedules included.
        t: `[S, K]` numbers of the updates, from 1.
    """
    beta1, beta2 = column(hypers, "beta1"), column(hypers, "beta2")
    return {
        "keep": 1.0 - lr * column(hypers, "weight_decay"),
        "new1": np.broadcast_to(1.0 - beta1, lr.shape),
        "new2": np.broadcast_to(1.0 - beta2, lr.shape),
        "root": 1.0 / (1.0 - beta2**t),
        "eps": np.broadcast_to(column(hypers, "eps"), lr.shape),
        "rate": lr / (1.0 - beta1**t),
    }


def update(p: Tensor, g: Tensor, state: Mapping[str, Tensor], c: Mapping[str, Tensor], scratch: Tensor) -> None:
    """One step, in place. `scratch`: room for one intermediate result; `g` may be overwritten too."""
    mean, belief = state["mean"], state["belief"]
    p.mul_(c["keep"])
    mean.lerp_(g, c["new1"])
    surprise = g.sub_(mean).square_()
    belief.lerp_(surprise, c["new2"]).add_(c["eps"])
    scratch.copy_(belief).mul_(c["root"]).sqrt_().add_(c["eps"])
    p.sub_(mean.div(scratch).mul_(c["rate"]))


RULE = Rule(states=("mean", "belief"), tables=tables, update=update)
