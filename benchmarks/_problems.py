"""Black boxes without curves: functions, exhaustive grids of real trainings, a conditional tree of model families."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from _tables import DATA

from automl.space import Choice, Config, Float, Int, Space


@dataclass(frozen=True, eq=False)
class Problem:
    """`loss(config)`, lower is better; regret is (loss - best) / (median of random - best)."""

    name: str
    space: Space
    loss: Callable[[Config], float]
    best: float
    kind: str  # numeric, mixed or conditional
    half: str  # develop or report

    @property
    def median(self) -> float:
        return _median(self)

    def regret(self, loss: float) -> float:
        return (loss - self.best) / (self.median - self.best)


@lru_cache
def _median(problem: Problem) -> float:
    rng = np.random.default_rng(0)
    return float(np.median([problem.loss(problem.space.sample(rng)) for _ in range(2000)]))


ALPHA = np.array([1.0, 1.2, 3.0, 3.2])
A = np.array(
    [[10, 3, 17, 3.5, 1.7, 8], [0.05, 10, 17, 0.1, 8, 14], [3, 3.5, 1.7, 10, 17, 8], [17, 8, 0.05, 10, 0.1, 14]]
)
P = 1e-4 * np.array(
    [
        [1312, 1696, 5569, 124, 8283, 5886],
        [2329, 4135, 8307, 3736, 1004, 9991],
        [2348, 1451, 3522, 2883, 3047, 6650],
        [4047, 8828, 8732, 5743, 1091, 381],
    ]
)


def hartmann6(config: Config) -> float:
    x = np.array([config[f"x{k}"] for k in range(6)])
    return float(-(ALPHA * np.exp(-(A * (x - P) ** 2).sum(1))).sum())


def ackley10(config: Config) -> float:
    x = np.array([config[f"x{k}"] for k in range(10)]) - np.linspace(-12, 12, 10)
    return float(
        20 - 20 * math.exp(-0.2 * math.sqrt((x * x).mean())) + math.e - math.exp(np.cos(2 * math.pi * x).mean())
    )


def mixed10(config: Config) -> float:
    """A stand-in for a network: five log scales, three integers, two choices, with interactions."""
    logs = np.array([math.log10(float(config[f"f{k}"] or 1)) for k in range(5)])
    ints = np.array([float(config[f"i{k}"] or 0) for k in range(3)])
    a, b = "abc".index(str(config["a"])), "uvwx".index(str(config["b"]))
    target = np.array([-3.0, -2.0, -4.0, -1.0, -2.5]) + 0.5 * np.array([a, b, -a, 0, b]) / 2
    valley = ((logs - target) ** 2).sum() + 0.5 * (logs[0] + logs[1] + 5) ** 2
    return float(
        valley + ((ints - np.array([20, 40, 8])) ** 2).sum() / 400 + (0.0, 0.6, 1.0)[a] + (0.4, 0.0, 0.8, 0.5)[b]
    )


def tree(config: Config) -> float:
    """Three families, each with its own parameters; the best one needs tuning before it shows."""
    match config["family"]:
        case "linear":
            return 0.25 + 0.02 * (math.log10(float(config["l2"] or 1)) + 2) ** 2
        case "forest":
            depth, share = float(config["depth"] or 1), float(config["share"] or 0)
            return 0.12 + 0.0015 * (depth - 14) ** 2 + 0.4 * (share - 0.3) ** 2
        case _:
            rate, width = math.log10(float(config["rate"] or 1)), math.log2(float(config["width"] or 1))
            drop = float(config["drop"] or 0) if config["regular"] else 0.3
            return 0.25 * (rate + 3.2) ** 2 + 0.03 * (width - 7) ** 2 + 0.5 * (drop - 0.15) ** 2


def _unit(dim: int, low: float, high: float) -> Space:
    return Space.of({f"x{k}": Float(low, high) for k in range(dim)})


def _grid(name: str, half: str) -> Problem:
    """An exhaustive table of real trainings, the mean over its repeats."""
    found = np.load(DATA / "blackbox" / "grids" / f"{name}.npz")
    y = found["y"].astype(np.float64).mean(axis=-1)
    if name.startswith("hpolib"):
        y = np.log(y)  # targets span decades
        axes = {
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
    elif name.startswith("hpobench"):
        y = -y
        wide = (16, 25, 40, 64, 101, 161, 256, 406, 645, 1024)
        axes = {
            "alpha": Choice(tuple(float(v) for v in np.logspace(-8, 0, 10)), ordered=True),
            "batch_size": Choice((4, 6, 10, 16, 25, 40, 64, 101, 161, 256), ordered=True),
            "depth": Int(1, 3),
            "learning_rate_init": Choice(tuple(float(v) for v in np.logspace(-5, 0, 10)), ordered=True),
            "width": Choice(wide, ordered=True),
        }
    else:
        y = -y
        axes = {f"edge{k}": ["none", "skip", "conv1", "conv3", "pool"] for k in range(6)}
    space = Space.of(axes)
    y = np.where(np.isfinite(y), y, np.nanmax(y[np.isfinite(y)]))
    assert y.shape == tuple(int(p.size) for p in space.params.values()), (name, y.shape)

    def loss(config: Config) -> float:
        return float(y[tuple(int(p.to_unit(config[n]) * p.size) for n, p in space.params.items())])

    return Problem(name, space, loss, float(y.min()), "mixed", half)


MIXED = Space.of(
    {
        **{f"f{k}": Float(1e-6, 1, log=True) for k in range(5)},
        **{f"i{k}": Int(1, 64) for k in range(3)},
        "a": list("abc"),
        "b": list("uvwx"),
    }
)
TREE = Space.of(
    {
        "family": ["linear", "forest", "network"],
        "l2": Float(1e-6, 1e2, log=True, when={"family": ["linear"]}),
        "depth": Int(1, 40, when={"family": ["forest"]}),
        "share": Float(0.05, 1, when={"family": ["forest"]}),
        "rate": Float(1e-5, 1, log=True, when={"family": ["network"]}),
        "width": Int(8, 1024, log=True, when={"family": ["network"]}),
        "regular": Choice((True, False), when={"family": ["network"]}),
        "drop": Float(0, 0.8, when={"regular": [True]}),
    }
)


@lru_cache
def problems(half: str) -> tuple[Problem, ...]:
    made = [
        Problem("hartmann6", _unit(6, 0, 1), hartmann6, -3.32237, "numeric", "report"),
        Problem("ackley10", _unit(10, -32, 32), ackley10, 0.0, "numeric", "report"),
        Problem("mixed10", MIXED, mixed10, 0.0, "mixed", "develop"),
        Problem("tree", TREE, tree, 0.0, "conditional", "develop"),
        *(_grid(n, "develop") for n in ("hpobench_credit_g", "hpolib_parkinsons_telemonitoring")),
        *(_grid(n, "report") for n in ("hpobench_phoneme", "hpolib_protein_structure", "nasbench201_cifar10")),
    ]
    return tuple(p for p in made if p.half == half)
