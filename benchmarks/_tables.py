"""Real learning curves as an objective: TaskSet tables (1,000 Adam configurations x 50 evaluations a task)."""

import os
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Protocol

import numpy as np

from automl.core.history import History
from automl.core.space import Config, Float, Space, config_key
from automl.testing.simulate import Curve

DATA = Path(os.environ.get("AUTOML_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))
DEVELOP = ("patch128_LSTM128_bs64", "patch32_GRU128_bs128", "patch32_IRNN64_relu_avg_bs128")
REPORT = ("patch128_LSTM128_avg_bs64", "patch32_GRU64_avg_bs128", "patch32_VRNN64_tanh_avg_bs128")
HORIZON = 50
SPACE = Space.of(
    {
        "learning_rate": Float(1e-8, 10, log=True),
        "one_minus_beta1": Float(1e-4, 1, log=True),
        "one_minus_beta2": Float(1e-6, 1, log=True),
        "epsilon": Float(1e-10, 1e3, log=True),
        "l1": Float(1e-8, 10, log=True),
        "l2": Float(1e-8, 10, log=True),
        "linear_decay": Float(1e-7, 1e-4, log=True),
        "exponential_decay": Float(1e-6, 1e-3, log=True),
    }
)


@dataclass
class Table:
    """One task. Regret 0 is the best row's final loss, 1 the median row's."""

    name: str
    space = SPACE

    @cached_property
    def curves(self) -> np.ndarray:
        """Validation losses after each step [1000, 50]; NaN once diverged, never above the start (column 0)."""
        found = np.load(DATA / "curves" / "taskset" / f"imdb_{self.name}.npz")["valid"]
        start = np.nanmedian(found[:, 0])
        return np.minimum(found[:, 1:], start)  # NaN stays NaN

    @cached_property
    def points(self) -> np.ndarray:
        """Rows in the unit cube [1000, 8]."""
        raw = np.load(DATA / "curves" / "taskset" / f"imdb_{self.name}.npz")["hp"].astype(np.float64)
        raw[:, 1:3] = 1 - raw[:, 1:3]
        return np.array([SPACE.encode(self._row(r)) for r in raw])

    @cached_property
    def configs(self) -> list[Config]:
        return [SPACE.decode(p) for p in self.points]

    @staticmethod
    def _row(raw: np.ndarray) -> Config:
        ranges = {n: p for n, p in SPACE.params.items() if isinstance(p, Float)}
        return {n: min(max(float(v), p.low), p.high) for (n, p), v in zip(ranges.items(), raw, strict=True)}

    @cached_property
    def row_of(self) -> dict[tuple[object, ...], int]:
        return {config_key(c): k for k, c in enumerate(self.configs)}

    def regret(self, row: int) -> float:
        final = np.nan_to_num(self.curves[:, -1], nan=np.nanmax(self.curves))
        return float((final[row] - final.min()) / (np.median(final) - final.min()))

    def objective(self) -> "Rows":
        return Rows(self)


class Curves(Protocol):
    """A table of curves, recorded or simulated."""

    space: Space

    @property
    def curves(self) -> np.ndarray: ...
    @property
    def points(self) -> np.ndarray: ...
    @property
    def configs(self) -> list[Config]: ...
    @property
    def row_of(self) -> dict[tuple[object, ...], int]: ...
    def regret(self, row: int) -> float: ...
    def objective(self) -> "Rows": ...


@dataclass
class Rows:
    """The objective of one search: the nearest row of the table that this search has not used yet."""

    table: "Curves"
    used: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        self.used = np.zeros(len(self.table.points), dtype=bool)

    def __call__(self, config: Config, history: History) -> Curve:
        apart = ((self.table.points - self.table.space.encode(config)) ** 2).sum(axis=1)
        apart[self.used] = np.inf
        row = int(apart.argmin())
        self.used[row] = True
        return Curve(self.table.configs[row], self.table.curves[row])


@lru_cache
def table(name: str) -> Curves:
    """The table of that name: a recorded task, or a simulated family of `_late`."""
    from _late import LATE, Late

    return Late(name) if name in LATE else Table(name)
