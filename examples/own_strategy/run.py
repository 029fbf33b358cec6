"""A strategy of your own, beside a built-in one: python run.py"""

from dataclasses import dataclass

import numpy as np

import automl
from automl.core.history import History
from automl.core.space import Config
from automl.core.strategy import Strategy


@dataclass(frozen=True)
class Mutate(Strategy):
    """Change one parameter of one of the best configs; the first ones are random.

    It keeps no state: what it suggests depends on the history alone, and random numbers come from `history.rng`.
    """

    parents: int = 3
    first: int = 5

    def suggest(self, history: History, n: int) -> list[Config]:
        return [self._one(history, k) for k in range(n)]

    def _one(self, history: History, k: int) -> Config:
        rng = history.rng(k)
        best = sorted((t for t in history.done if t.loss is not None), key=lambda t: (t.loss, t.number))[: self.parents]
        if len(history.trials) + k < self.first or not best:
            return history.space.sample(rng)
        parent = best[int(rng.integers(len(best)))]
        unit = np.nan_to_num(history.space.encode(parent.config), nan=0.5)  # NaN: not active in that config
        unit[int(rng.integers(history.space.dim))] = rng.random()
        return history.space.decode(unit)


def train(trial: automl.Trial) -> None:
    trial.report(loss=(trial["x"] - 0.3) ** 2 + (trial["y"] - 0.7) ** 2 + (trial["kind"] == "b"))


if __name__ == "__main__":
    space = {"x": automl.Float(0, 1), "y": automl.Float(0, 1), "kind": ["a", "b"]}
    for strategy in (Mutate(), "random"):
        study = automl.search(
            train, space=space, metric="loss", trials=20, strategy=strategy, executor="inline", finalists=None
        )
        print(strategy, study.best and study.best.loss)
