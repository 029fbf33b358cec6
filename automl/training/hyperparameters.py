"""The hyperparameters of training, read from a config and checked: those of every trainer. No torch here."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from automl.errors import SpecError, did_you_mean

OPTIMIZERS = ("sgd", "adam", "adamw", "nadam", "adafactor", "muon", "lion", "rmsprop")
SCHEDULES = ("constant", "cosine", "linear", "step", "wsd")


@dataclass(frozen=True)
class Hyperparameters:
    """`warmup`: share of all steps over which the rate rises from 0 (below 1), or a number of epochs (1 and above).

    `clip`: largest gradient norm, 0 = off. `ema`: decay of the moving average of the weights that is evaluated and
    kept, 0 = off.
    """

    optimizer: str = "adamw"
    lr: float = 1e-3
    weight_decay: float = 0.0
    momentum: float = 0.0
    nesterov: bool = False
    beta1: float = 0.9
    beta2: float = 0.999
    eps: float = 1e-8
    batch_size: int = 32
    schedule: str = "constant"
    warmup: float = 0.0
    clip: float = 0.0
    label_smoothing: float = 0.0
    ema: float = 0.0


NAMES = tuple(field.name for field in fields(Hyperparameters))
OWN_DEFAULTS: dict[str, dict[str, Any]] = {
    "adamw": {"weight_decay": 0.01},
    "lion": {"beta2": 0.99, "lr": 1e-4},
    "sgd": {"lr": 1e-2, "momentum": 0.9},
    "rmsprop": {"beta2": 0.99},
    "muon": {"momentum": 0.95, "nesterov": True, "weight_decay": 0.01},
    "adafactor": {"lr": 1e-2},
}
"""What differs from `Hyperparameters` for one optimizer: the values its authors (or torch) use."""
LIMITS: dict[str, tuple[float, float | None]] = {
    "lr": (0, None), "weight_decay": (0, None), "clip": (0, None), "eps": (0, None), "batch_size": (1, None),
    "warmup": (0, None), "momentum": (0, 1), "beta1": (0, 1), "beta2": (0, 1), "label_smoothing": (0, 1), "ema": (0, 1),
}  # fmt: skip


def read(config: Mapping[str, Any]) -> Hyperparameters:
    """The options in `config`, the optimizer's own defaults for the rest; other names are somebody else's.

    Raises SpecError.
    """
    name = str(config.get("optimizer") or "adamw")
    given = {key: _typed(key, config[key]) for key in NAMES if config.get(key) is not None}
    made = Hyperparameters(**{**OWN_DEFAULTS.get(name, {}), **given})
    for what, value, known in (("optimizer", made.optimizer, OPTIMIZERS), ("schedule", made.schedule, SCHEDULES)):
        if value not in known:
            raise SpecError(f"unknown {what} {value!r}{did_you_mean(value, known)}; one of {', '.join(known)}")
    for key, (low, high) in LIMITS.items():
        value = getattr(made, key)
        if not (value >= low and (high is None or value < high)):
            raise SpecError(f"{key} must be at least {low}{f' and below {high}' if high else ''}, got {value!r}")
    return made


def _typed(name: str, value: Any) -> Any:
    kind = type(getattr(Hyperparameters(), name))
    if kind is bool or kind is str:
        ok = isinstance(value, kind)
    else:
        ok = isinstance(value, int | float) and not isinstance(value, bool) and (kind is float or value == int(value))
    if not ok:
        what = {int: "a whole number", float: "a number", bool: "true or false", str: "a name"}[kind]
        raise SpecError(f"{name} must be {what}, got {value!r}")
    return kind(value)
