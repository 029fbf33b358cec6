"""Learning-rate schedules as tables: one row for each step of a round, one column for each lane, on the host.

`progress` runs from 0 to 1 over the trial's full horizon after warm-up, so a trial that is stopped early has been
trained exactly as the first part of the full one. Warm-up is linear, over a share of the horizon (below 1) or a number
of epochs (1 and above).
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
    "step": lambda u: np.where(u < 0.5, 1.0, np.where(u < 0.75, 0.1, 0.01)),  # He et al. 2016: at 1/2 and 3/4
    "wsd": lambda u: np.minimum(1.0, (1.0 - u) / 0.2),  # warm-up, stable, decay over the last fifth (Hu et al. 2024)
}


def warmup_steps(warmup: float, horizon: int, epochs: int) -> int:
    """Steps of warm-up; `horizon` is the trial's number of steps in all, `epochs` its number of epochs."""
    share = warmup if warmup < 1.0 else warmup / max(1, epochs)
    return min(horizon, round(share * horizon))


def factors(kind: str, first: int, steps: int, horizon: int, warmup: int) -> F64:
    """`[S]`: what the base rate is multiplied by at the 0-based steps `first .. first + steps - 1`."""
    t = np.arange(first, first + steps, dtype=np.float64)
    progress = np.clip((t - warmup) / max(1, horizon - warmup), 0.0, 1.0)
    values = SHAPES[kind](progress)
    return np.where(t < warmup, (t + 1.0) / max(1, warmup), values)
