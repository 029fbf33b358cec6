"""Spaces and histories to test strategies and stoppers with: every kind of parameter, every state a trial can be in."""

import math
from collections.abc import Callable, Mapping

from automl.core.history import History
from automl.core.space import Choice, Config, Float, Int, Space
from automl.core.trial import Failure, Metric, Plan, State

HORIZON = 9

SPACES: Mapping[str, Space] = {
    "numeric": Space.of({"x": Float(-2, 3), "lr": Float(1e-5, 1, log=True), "width": Int(4, 4096, log=True)}),
    "mixed": Space.of(
        {
            "lr": Float(1e-5, 1, log=True),
            "dropout": Float(0, 0.75, step=0.05),
            "depth": Int(1, 9),
            "units": Int(16, 256, step=16),
            "norm": Choice(("batch", "layer", None)),
            "residual": Choice((True, False)),
            "batch_size": Choice((32, 64, 128), ordered=True),
            "epochs": 3,
        }
    ),
    "conditional": Space.of(
        {
            "optimizer": ["sgd", "adam", "lbfgs"],
            "momentum": Float(0, 0.99, when={"optimizer": ["sgd"]}),
            "nesterov": Choice((True, False), when={"optimizer": ["sgd"]}),
            "damping": Float(1e-3, 1, log=True, when={"nesterov": [True]}),
            "beta2": Float(0.9, 0.9999, when={"optimizer": ["adam"]}),
            "lr": Float(1e-5, 1, log=True),
        }
    ),
    "tiny": Space.of({"a": [1, 2], "b": ["x", "y"]}),
    "one value": Space.of({"a": Choice(("only",)), "k": Int(3, 3), "x": Float(0, 1)}),
    "constants": Space.of({"lr": 0.1, "name": "resnet"}),
    "large integers": Space.of({"seed": Int(0, 2**53), "log": Int(1, 2**50, log=True)}),
}
INFINITE = ("numeric", "mixed", "conditional", "large integers")


def loss_of(config: Config) -> float:
    """A smooth function of any config of these spaces, lowest near the lower third of every range."""
    total = 0.0
    for name in sorted(config):
        value = config[name]
        if isinstance(value, bool) or not isinstance(value, int | float):
            total += 0.1 * (len(str(value)) % 3)
        elif value > 0:
            total += 0.02 * (math.log10(value) + 2) ** 2
        else:
            total += 0.05 * value * value
    return total


def history_of(
    space: Space,
    trials: int = 40,
    *,
    seed: int = 0,
    states: tuple[State, ...] = tuple(State),
    metric: Metric | None = None,
    loss: Callable[[Config], float] = loss_of,
    horizon: int | None = HORIZON,
) -> History:
    """A history of random configs that cycles through `states`; without a horizon trials have one report each."""
    history = History(space, seed=seed, metric=metric, plan=Plan(trials=4 * trials, horizon=horizon, workers=4))
    for _ in range(trials):
        record = history.begin(space.sample(history.rng(0, "test")))
        state = states[record.number % len(states)]
        length = horizon or 1
        last = length if state is State.DONE else (1 if state is State.STOPPED else record.number % 3)
        last = max(last, 1) if state is State.PAUSED else min(last, length)
        for step in range(1, last + 1):
            history.point(record.number, step, loss(record.config) + 1 / step)
        if state is State.PAUSED:
            history.pause(record.number, "waits")
        elif state is State.FAILED:
            history.end(record.number, state, failure=Failure("nan", "loss is nan", last))
        elif state.ended:
            history.end(record.number, state)
    return history
