"""Problems with several objectives whose fronts are known: functions, and exhaustive tables of real trainings."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from _grids import HPOBENCH, HPOLIB, grid

from automl.core.objectives.fronts import front_numbers, hypervolume
from automl.core.space import Config, Float, Space

GRIDS = {"hpobench_credit_g": 61, "hpobench_phoneme": 5, "hpolib_protein_structure": 9,
         "hpolib_parkinsons_telemonitoring": 20}  # fmt: skip
"""Table: inputs of its models, by which parameters are counted."""
DIM = 6
"""Parameters of the functions."""


@dataclass(frozen=True)
class FrontProblem:
    """Several objectives, lower is better, and the front that could be found.

    Args:
        name: of the problem.
        space: what is searched.
        losses: of a config.
        reference: what lies beyond it counts for nothing. Functions: a tenth of the front's range beyond its worst
            values; tables: the median loss and the largest network.
        whole: the volume of the true front.
    """

    name: str
    space: Space
    losses: Callable[[Config], tuple[float, ...]]
    reference: np.ndarray
    whole: float

    def share(self, found: list[tuple[float, ...]]) -> float:
        """The volume that `found` dominates, as a share of what the true front does."""
        return volume(np.array(found), self.reference) / self.whole


def volume(points: np.ndarray, reference: np.ndarray) -> float:
    """The hypervolume of points [n, 2 or 3]; of three objectives as a stack of slices along the last one."""
    if points.shape[1] == 2:
        return hypervolume(points, reference)
    inside = points[(points < reference).all(axis=1)]
    inside = inside[np.argsort(inside[:, 2], kind="stable")]
    tops = np.append(inside[1:, 2], reference[2])
    heights = tops - inside[:, 2] if len(inside) else np.zeros(0)
    return sum(hypervolume(inside[: k + 1, :2], reference[:2]) * h for k, h in enumerate(heights) if h > 0)


def _of_front(
    name: str,
    space: Space,
    losses: Callable[[Config], tuple[float, ...]],
    every: np.ndarray,
    reference: np.ndarray | None = None,
) -> FrontProblem:
    front = np.unique(every[front_numbers(every) == 1], axis=0)
    if reference is None:
        reference = front.max(axis=0) + 0.1 * np.ptp(front, axis=0)
    return FrontProblem(name, space, losses, reference, volume(front, reference))


def _box() -> Space:
    return Space.of({f"x{k}": Float(0.0, 1.0) for k in range(DIM)})


def _vector(config: Config) -> list[float]:
    return [float(config[f"x{k}"]) for k in range(DIM)]  # type: ignore[arg-type]


def _zdt(name: str, second: Callable[[float, float], float]) -> FrontProblem:
    """Zitzler, Deb & Thiele (2000): f1 = x0; f2 = g h(x0, g) with g = 1 + 9 mean(x1, ...)."""

    def losses(config: Config) -> tuple[float, ...]:
        x = _vector(config)
        g = 1.0 + 9.0 * sum(x[1:]) / (DIM - 1)
        return x[0], g * second(x[0], g)

    first = np.linspace(0.0, 1.0, 4001)
    every = np.stack([first, [second(float(v), 1.0) for v in first]], axis=1)
    return _of_front(name, _box(), losses, every)


def dtlz2() -> FrontProblem:
    """Deb et al. (2002), three objectives; the front is an eighth of the unit sphere."""

    def losses(config: Config) -> tuple[float, ...]:
        x = _vector(config)
        a, b = x[0] * math.pi / 2, x[1] * math.pi / 2
        radius = 1.0 + sum((v - 0.5) ** 2 for v in x[2:])
        return radius * math.cos(a) * math.cos(b), radius * math.cos(a) * math.sin(b), radius * math.sin(a)

    return FrontProblem("dtlz2", _box(), losses, np.full(3, 1.1), 1.1**3 - math.pi / 6)


def table(name: str) -> FrontProblem:
    """The error of an exhaustive table, and the logarithm of the parameters of its network."""
    problem, inputs = grid(name, "report"), GRIDS[name]
    hpolib = name.startswith("hpolib")
    space = Space.of(HPOLIB if hpolib else HPOBENCH)

    def parameters(config: Config) -> float:
        if hpolib:
            first, second = int(config["n_units_1"]), int(config["n_units_2"])  # type: ignore[arg-type]
            return (inputs + 1) * first + (first + 1) * second + second + 1
        width, depth = int(config["width"]), int(config["depth"])  # type: ignore[arg-type]
        return (inputs + 1) * width + (depth - 1) * (width + 1) * width + 2 * (width + 1)

    def losses(config: Config) -> tuple[float, ...]:
        return problem.loss(config), math.log10(parameters(config))

    sizes = [int(p.size) for p in space.params.values()]
    units = [[(k + 0.5) / n for k in range(n)] for n in sizes]
    counted: dict[tuple[int, ...], float] = {}
    shape = [k for k, n in enumerate(space.params) if n in ("width", "depth", "n_units_1", "n_units_2")]
    best: dict[tuple[int, ...], float] = {}
    known: list[float] = []
    for row in np.ndindex(*sizes):
        key = tuple(row[k] for k in shape)
        config = {n: p.from_unit(units[j][row[j]]) for j, (n, p) in enumerate(space.params.items())}
        if key not in counted:
            counted[key] = math.log10(parameters(config))
        known.append(problem.loss(config))
        best[key] = min(best.get(key, math.inf), known[-1])
    every = np.array([[best[key], counted[key]] for key in best])
    reference = np.array([np.median(known), max(counted.values())])
    return _of_front(name.split("_", 1)[1], space, losses, every, reference)


@lru_cache
def problem(name: str) -> FrontProblem:
    """The problem of a name."""
    if name == "zdt1":
        return _zdt("zdt1", lambda f, g: 1.0 - math.sqrt(f / g))
    if name == "zdt3":
        return _zdt("zdt3", lambda f, g: 1.0 - math.sqrt(f / g) - f / g * math.sin(10 * math.pi * f))
    return dtlz2() if name == "dtlz2" else table(name)


NAMES = ("zdt1", "zdt3", "dtlz2", *GRIDS)
