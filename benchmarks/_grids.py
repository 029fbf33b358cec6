"""Exhaustive tables of real trainings, means over repeats (Klein & Hutter 2019; Dong & Yang 2020; HPOBench)."""

from typing import Any

import numpy as np
from _problems import Problem
from _tables import DATA

from automl.core.space import Choice, Config, Int, Space

DEVELOP = ("hpobench_credit_g", "hpolib_parkinsons_telemonitoring")
REPORT = ("hpobench_phoneme", "hpolib_protein_structure", "nasbench201_cifar10")
WIDE = (16, 25, 40, 64, 101, 161, 256, 406, 645, 1024)
HPOLIB: dict[str, Any] = {
    "activation_fn_1": ["relu", "tanh"],
    "activation_fn_2": ["relu", "tanh"],
    "batch_size": Choice((8, 16, 32, 64), ordered=True),
    "dropout_1": Choice((0.0, 0.3, 0.6), ordered=True),
    "dropout_2": Choice((0.0, 0.3, 0.6), ordered=True),
    "init_lr": Choice((5e-4, 1e-3, 5e-3, 1e-2, 5e-2, 1e-1), ordered=True),
    "lr_schedule": ["cosine", "const"],
    "n_units_1": Choice((16, 32, 64, 128, 256, 512), ordered=True),
    "n_units_2": Choice((16, 32, 64, 128, 256, 512), ordered=True),
}
HPOBENCH: dict[str, Any] = {
    "alpha": Choice(tuple(float(v) for v in np.logspace(-8, 0, 10)), ordered=True),
    "batch_size": Choice((4, 6, 10, 16, 25, 40, 64, 101, 161, 256), ordered=True),
    "depth": Int(1, 3),
    "learning_rate_init": Choice(tuple(float(v) for v in np.logspace(-5, 0, 10)), ordered=True),
    "width": Choice(WIDE, ordered=True),
}
NASBENCH: dict[str, Any] = {f"edge{k}": ["none", "skip", "conv1", "conv3", "pool"] for k in range(6)}


def problems(half: str) -> list[Problem]:
    return [grid(name, half) for name in (DEVELOP if half == "develop" else REPORT)]


def grid(name: str, half: str) -> Problem:
    y = np.load(DATA / "blackbox" / "grids" / f"{name}.npz")["y"].astype(np.float64).mean(axis=-1)
    if name.startswith("hpolib"):
        y, axes = np.log(y), HPOLIB  # errors span decades
    else:
        y, axes = -y, HPOBENCH if name.startswith("hpobench") else NASBENCH
    space = Space.of(axes)
    y = np.where(np.isfinite(y), y, np.nanmax(y[np.isfinite(y)]))
    assert y.shape == tuple(int(p.size) for p in space.params.values()), (name, y.shape)

    def loss(config: Config) -> float:
        return float(y[tuple(int(p.to_unit(config[n]) * p.size) for n, p in space.params.items())])

    return Problem(name, space, loss, float(y.min()), "mixed", half)
