"""Formulas with a known optimum: numeric, mixed, categorical and conditional ones."""

import math

import numpy as np
from _problems import Problem

from automl.core.space import Choice, Config, Float, Int, Space

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


def _vector(config: Config, dim: int) -> np.ndarray:
    return np.array([float(config[f"x{k}"] or 0) for k in range(dim)])


def hartmann6(config: Config) -> float:
    return float(-(ALPHA * np.exp(-(A * (_vector(config, 6) - P) ** 2).sum(1))).sum())


def ackley10(config: Config) -> float:
    x = _vector(config, 10) - np.linspace(-12, 12, 10)
    return float(
        20 - 20 * math.exp(-0.2 * math.sqrt((x * x).mean())) + math.e - math.exp(np.cos(2 * math.pi * x).mean())
    )


def levy6(config: Config) -> float:
    """Many shallow valleys in a bowl; the optimum is at x = 1 + shift."""
    w = 1 + (_vector(config, 6) - np.linspace(-3, 4, 6) - 1) / 4
    middle = ((w[:-1] - 1) ** 2 * (1 + 10 * np.sin(math.pi * w[:-1] + 1) ** 2)).sum()
    ends = np.sin(math.pi * w[0]) ** 2 + (w[-1] - 1) ** 2 * (1 + np.sin(2 * math.pi * w[-1]) ** 2)
    return float(math.log1p(middle + ends))


def rosenbrock5(config: Config) -> float:
    """A bent valley; the logarithm, because its values span decades."""
    x = _vector(config, 5)
    return float(math.log1p((100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2).sum()))


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


BLOCKS = np.random.default_rng(7).random((8, 4, 4))


def blocks8(config: Config) -> float:
    """Eight choices of four on a ring; each neighbouring pair has a value from a fixed random table."""
    at = [int(config[f"c{k}"] or 0) for k in range(8)]
    return float(sum(BLOCKS[k, at[k], at[(k + 1) % 8]] for k in range(8)))


def _best_ring() -> float:
    """The least value of `blocks8`, by dynamic programming around the ring."""
    best = math.inf
    for first in range(4):
        cost = BLOCKS[0, first].copy()
        for k in range(1, 7):
            cost = (cost[:, None] + BLOCKS[k]).min(axis=0)
        best = min(best, float((cost + BLOCKS[7, :, first]).min()))
    # position 7 is reached by block 6 and left by block 7
    return best


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


def layers(config: Config) -> float:
    """A network of one to four layers: each layer has a width and an activation, the optimizer its own parameters."""
    depth = int(config["depth"] or 1)
    loss = 0.15 * (depth - 3) ** 2
    for k in range(depth):
        width = math.log2(float(config[f"width{k}"] or 1))
        loss += (0.05 * (width - (8 - 0.7 * k)) ** 2 + (0.0 if config[f"activation{k}"] == "gelu" else 0.08)) / depth
    rate = math.log10(float(config["rate"] or 1))
    if config["optimizer"] == "sgd":
        loss += 0.05 + 0.2 * (rate + 1) ** 2 + 0.6 * (float(config["momentum"] or 0) - 0.9) ** 2
    else:
        decay = math.log10(float(config["decay"] or 1))
        loss += 0.3 * (rate + 3 + 0.2 * (depth - 3)) ** 2 + 0.03 * (decay + 2) ** 2
    return loss


def pipeline(config: Config) -> float:
    """A preparation and one of three learners; which preparation is best depends on the learner."""
    learner, prepare = str(config["learner"]), str(config["prepare"])
    fit = {"svm": (0.5, 0.0, 0.15), "knn": (0.4, 0.1, 0.12), "boost": (0.1, 0.12, 0.2)}[learner]
    loss = fit[("raw", "scale", "pca").index(prepare)]
    if prepare == "pca":
        loss += 0.3 * (float(config["kept"] or 0) - 0.7) ** 2
    if learner == "svm":
        c, gamma = (math.log10(float(config[n] or 1)) for n in ("c", "gamma"))
        return loss + 0.03 * (c - 1.5) ** 2 + 0.08 * (gamma + c + 1) ** 2
    if learner == "knn":
        return loss + 0.12 + 0.02 * abs(math.log2(float(config["k"] or 1)) - 3.3)
    rate, depth = math.log10(float(config["rate"] or 1)), float(config["depth"] or 1)
    rounds = math.log10(float(config["rounds"] or 1))
    return loss + 0.1 * (rate + rounds - 1.2) ** 2 + 0.008 * (depth - 6) ** 2 + 0.02 * (rounds - 3) ** 2


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
LAYERS = Space.of(
    {
        "depth": Int(1, 4),
        **{f"width{k}": Int(8, 1024, log=True, when={"depth": list(range(k + 1, 5))}) for k in range(4)},
        **{f"activation{k}": Choice(("relu", "tanh", "gelu"), when={"depth": list(range(k + 1, 5))}) for k in range(4)},
        "rate": Float(1e-5, 1, log=True),
        "optimizer": ["sgd", "adam"],
        "momentum": Float(0, 0.99, when={"optimizer": ["sgd"]}),
        "decay": Float(1e-6, 1, log=True, when={"optimizer": ["adam"]}),
    }
)
PIPELINE = Space.of(
    {
        "prepare": ["raw", "scale", "pca"],
        "kept": Float(0.1, 1, when={"prepare": ["pca"]}),
        "learner": ["svm", "knn", "boost"],
        "c": Float(1e-3, 1e4, log=True, when={"learner": ["svm"]}),
        "gamma": Float(1e-6, 10, log=True, when={"learner": ["svm"]}),
        "k": Int(1, 100, log=True, when={"learner": ["knn"]}),
        "rate": Float(1e-4, 1, log=True, when={"learner": ["boost"]}),
        "depth": Int(1, 15, when={"learner": ["boost"]}),
        "rounds": Int(10, 5000, log=True, when={"learner": ["boost"]}),
    }
)


def _box(dim: int, low: float, high: float) -> Space:
    return Space.of({f"x{k}": Float(low, high) for k in range(dim)})


def problems() -> list[Problem]:
    choices = Space.of({f"c{k}": [0, 1, 2, 3] for k in range(8)})
    return [
        Problem("hartmann6", _box(6, 0, 1), hartmann6, -3.32237, "numeric", "report"),
        Problem("ackley10", _box(10, -32, 32), ackley10, 0.0, "numeric", "report"),
        Problem("rosenbrock5", _box(5, -2, 3), rosenbrock5, 0.0, "numeric", "report"),
        Problem("layers", LAYERS, layers, 0.0, "conditional", "report"),
        Problem("pipeline", PIPELINE, pipeline, 0.0, "conditional", "report"),
        Problem("levy6", _box(6, -10, 10), levy6, 0.0, "numeric", "develop"),
        Problem("mixed10", MIXED, mixed10, 0.0, "mixed", "develop"),
        Problem("blocks8", choices, blocks8, _best_ring(), "mixed", "develop"),
        Problem("tree", TREE, tree, 0.0, "conditional", "develop"),
    ]
