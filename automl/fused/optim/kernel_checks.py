"""A kernel on a small problem of its own, beside torch's operations.

Lanes differ in everything that may differ, rows are columns of wider rows, and more than one program works on a row.
"""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from automl.fused.tensors import rng
from automl.training import rules
from automl.training.hyperparameters import Hyperparameters

Kernel = Callable[..., None]

LANES = [
    Hyperparameters(lr=1e-2, weight_decay=0.1, momentum=0.9, beta1=0.9, beta2=0.99),
    Hyperparameters(lr=3e-3, momentum=0.0, beta1=0.3, beta2=0.999, eps=1e-6),
    Hyperparameters(lr=1e-1, weight_decay=1e-3, momentum=0.5, beta1=0.95, beta2=0.9, nesterov=True),
]
K, BEFORE, AFTER = len(LANES), 17, 3  # columns of the wider rows beside those that are worked on


def difference(
    name: str, kernel: Kernel, device: torch.device, dtype: torch.dtype, steps: int = 4, width: int = 1500
) -> float:
    """How far `kernel` ends from torch's operations, relative to the largest value; masks: share of other elements."""
    if name == "keep_mask":
        return _masks(kernel, device, width)
    return _steps(name, kernel, device, dtype, steps, width)


def _masks(kernel: Kernel, device: torch.device, width: int) -> float:
    limits, scales = (v.view(-1, 1).to(device) for v in rng.thresholds(np.array([0.0, 0.3, 0.999])))
    flip, times = rng.step_keys([1, 2, 3], [0, 7, 70], 1, ["proof"])[0, 0].unsqueeze(2).to(device)
    words = rng.table(torch.Size((width,)), device).unsqueeze(0)
    ours, theirs = (torch.empty(K, width, dtype=torch.int32, device=device) for _ in range(2))
    kernel(ours, words, flip, times, limits, scales)
    rng.keep_mask(words, flip, times, limits, scales, theirs)
    return (ours != theirs).double().mean().item()


def _steps(name: str, kernel: Kernel, device: torch.device, dtype: torch.dtype, steps: int, width: int) -> float:
    """`steps` updates with random gradients: of the parameters, of every state, and of what must stay beside them."""
    rule, generator, inner = rules.RULES[name], torch.Generator().manual_seed(0), slice(BEFORE, BEFORE + width)
    plain: Kernel = rule.update
    normal = torch.randn(2 + steps, K, BEFORE + width + AFTER, generator=generator, dtype=torch.float64)
    start, (scratch, *gradients) = normal[0].to(device, dtype), (0.1 * normal[1:]).to(device, dtype)
    rates = np.tile([h.lr for h in LANES], (steps, 1))
    tables = rule.tables(LANES, rates, np.tile(np.arange(1.0, steps + 1)[:, None], K))
    own = {n: torch.from_numpy(np.array(t, order="C")).to(device, dtype).unsqueeze(2) for n, t in tables.items()}
    ours, theirs = (
        {n: start.clone() if n == "param" else torch.zeros_like(start) for n in ("param", *rule.states)}
        for _ in range(2)
    )  # fmt: skip

    def given(rows: dict[str, Tensor], s: int) -> tuple[object, ...]:
        param, *states = (matrix[:, inner] for matrix in rows.values())
        return (param, gradients[s].clone()[:, inner], dict(zip(rule.states, states, strict=True)),
                {n: table[s] for n, table in own.items()})  # fmt: skip

    for s in range(steps):
        kernel(*given(ours, s))
        plain(*given(theirs, s), scratch[:, inner])
    gaps = [(ours[n] - theirs[n]).abs().max() / theirs[n].abs().max() for n in ours]
    return torch.stack(gaps).max().item()
