"""What follows from a training step's number: learning-rate schedules, warm-up, and the decay of averaged weights.

A schedule multiplies the base learning rate; its progress runs from 0 to 1 over all of the trial's steps after warm-up,
so a trial that is stopped early was trained exactly as the first part of the full one. No torch here: the fused engine
makes tables of these numbers for all lanes on the host. Shape letters: S steps.
"""

from collections.abc import Callable
from typing import Literal

import numpy as np
import numpy.typing as npt

F64 = npt.NDArray[np.float64]
Schedule = Literal["constant", "cosine", "linear", "step", "wsd"]

SHAPES: dict[str, Callable[[F64], F64]] = {
    "constant": np.ones_like,
    "cosine": lambda u: 0.5 * (1.0 + np.cos(np.pi * u)),  # Loshchilov & Hutter 2017, eq. 5 without restarts
    "linear": lambda u: 1.0 - u,
    "step": lambda u: np.where(u < 0.5, 1.0, np.where(u < 0.75, 0.1, 0.01)),  # He et al. 2016, sec. 4.2: at 1/2 and 3/4
    "wsd": lambda u: np.minimum(1.0, (1.0 - u) / 0.2),  # warm-up, stable, decay (last fifth): Hu et al. 2024, sec. 4
}
"""Schedule -> its factor as a function of progress [S] in 0..1."""


def steps_per_epoch(samples: int, batch_size: int) -> int:
    """Optimizer steps of one epoch: the last batch may be smaller, but a single sample left over is skipped.

    A single sample has no variance for a batch norm; the next epoch's order puts it elsewhere.
    """
    full, rest = divmod(samples, batch_size)
    return max(1, full + (1 if rest > 1 or (rest == 1 and batch_size == 1) else 0))


def warmup_steps(warmup: float, steps: int, epochs: int) -> int:
    """Number of warm-up steps.

    Args:
        warmup: share of all steps (below 1), or a number of epochs (1 and above).
        steps: the trial's number of steps in all.
        epochs: the trial's number of epochs.
    """
    share = warmup if warmup < 1.0 else warmup / max(1, epochs)
    return min(steps, round(share * steps))


def lr_factors(schedule: str, first: int, count: int, steps: int, warmup: int) -> F64:
    """Factors of the base learning rate, `[S]`, at the 0-based steps `first` to `first + count - 1`.

    Args:
        schedule: a name in `SHAPES`.
        first, count: which steps.
        steps: the trial's number of steps in all.
        warmup: warm-up steps, over which the factor rises linearly to 1 (see `warmup_steps`).
    """
    t = np.arange(first, first + count, dtype=np.float64)
    progress = np.clip((t - warmup) / max(1, steps - warmup), 0.0, 1.0)
    return np.where(t < warmup, (t + 1.0) / max(1, warmup), SHAPES[schedule](progress))


def ema_decay(decay: float | F64, t: float | F64) -> F64:
    """Decay of the moving average of weights at the 1-based step `t`: min(decay, t / (9 + t)).

    The smaller decay of early steps makes the average forget the initial weights soon; the rule is that of TensorFlow's
    `ExponentialMovingAverage`, (1 + n) / (10 + n) after n updates.

    Args:
        decay: the decay of later steps; a number, or `[K]` for K lanes.
        t: step, from 1; a number, or `[S, K]`.
    """
    return np.asarray(np.minimum(decay, t / (9.0 + t)))
