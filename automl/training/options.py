"""The hyperparameters of training, read from a config and checked. No torch here."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from automl.errors import SpecError, did_you_mean

OPTIMIZERS = ("sgd", "adam", "adamw", "nadam", "adafactor", "muon", "lion", "rmsprop")
SCHEDULES = ("constant", "cosine", "linear", "step", "wsd")


@dataclass(frozen=True)
class Options:
    """`warmup`: share of all steps over which the rate rises from 0. `clip`: largest gradient norm, 0 = off.

    `ema`: decay of the moving average of the weights that is evaluated and kept, 0 = off. `eps` 0 = the optimizer's own.
    """

    optimizer: str = "adamw"
    lr: float = 1e-3
    weight_decay: float = 0.0
    momentum: float = 0.9
    nesterov: bool = False
    beta1: float = 0.9
    beta2: float = 0.999
    eps: float = 0.0
    batch_size: int = 64
    schedule: str = "constant"
    warmup: float = 0.0
    clip: float = 0.0
    label_smoothing: float = 0.0
    ema: float = 0.0


NAMES = tuple(field.name for field in fields(Options))


def read(config: Mapping[str, Any]) -> Options:
    """The options in `config`, defaults for the rest; other names are somebody else's. Raises SpecError."""
    made = Options(**{name: _typed(name, config[name]) for name in NAMES if config.get(name) is not None})
    for name, value, known in (("optimizer", made.optimizer, OPTIMIZERS), ("schedule", made.schedule, SCHEDULES)):
        if value not in known:
            raise SpecError(f"unknown {name} {value!r}{did_you_mean(value, known)}; one of {', '.join(known)}")
    for name, low, high in (
        ("lr", 0, None), ("weight_decay", 0, None), ("clip", 0, None), ("eps", 0, None), ("batch_size", 1, None),
        ("momentum", 0, 1), ("beta1", 0, 1), ("beta2", 0, 1), ("warmup", 0, 1), ("label_smoothing", 0, 1), ("ema", 0, 1),
    ):  # fmt: skip
        value = getattr(made, name)
        if not (value >= low and (high is None or value < high)):
            raise SpecError(f"{name} must be at least {low}" + (f" and below {high}" if high else "") + f", got {value!r}")
    return made


def _typed(name: str, value: Any) -> Any:
    kind = type(getattr(Options(), name))
    if kind is bool or kind is str:
        ok = isinstance(value, kind)
    else:
        ok = isinstance(value, int | float) and not isinstance(value, bool) and (kind is float or value == int(value))
    if not ok:
        raise SpecError(f"{name} must be {'a whole number' if kind is int else 'a number' if kind is float else kind.__name__}, got {value!r}")
    return kind(value)
