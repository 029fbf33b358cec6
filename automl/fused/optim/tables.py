"""What an epoch of some lanes needs, prepared on the host: learning rates, update numbers, batches, averages.

Shape letters: K lanes, S steps, B batch, N samples.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from automl.fused.lane import Lane
from automl.training.schedules import F64, ema_decay, lr_factors, warmup_steps


@dataclass(frozen=True)
class StepInputs:
    """Prepared values of an epoch: tables `[S, ...]` of which each step reads its own row, and what all steps read."""

    by_step: list[Tensor]
    constants: list[Tensor]


def rates(lanes: Sequence[Lane | None], steps: int, full_steps: int) -> F64:
    """Learning rates `[S, K]` of an epoch's first `steps` of `full_steps` steps; 0 where there is no lane."""
    found = np.zeros((steps, len(lanes)))
    for j, lane in enumerate(lanes):
        if lane is not None:
            h, horizon = lane.hypers, lane.epochs * full_steps
            warm = warmup_steps(h.warmup, horizon, lane.epochs)
            found[:, j] = h.lr * lr_factors(h.schedule, lane.step, steps, horizon, warm)
    return found


def counts(first: Sequence[int], steps: int) -> F64:
    """1-based update numbers `[S, K]`; `first`: updates done before."""
    return np.asarray(first, dtype=np.float64)[None, :] + np.arange(1, steps + 1)[:, None]


def moves(decay: F64, t: F64) -> F64:
    """How far averaged weights move, `[S, K]`: further at first, so that the start is soon forgotten.

    Lanes without an average (`decay` 0) move all the way: their row then equals the weights.
    """
    return 1.0 - ema_decay(decay, t)


def batches(order: Tensor, batch: int, steps: int) -> Tensor:
    """The sample indices of the full batches among `steps`, lane after lane: `[S, K * B]`; `order` `[K, N]`."""
    full = min(steps, order.shape[1] // batch)
    cut = order[:, : full * batch].view(len(order), full, batch)
    return cut.transpose(0, 1).reshape(full, -1)
