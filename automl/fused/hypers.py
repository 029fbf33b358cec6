"""What may differ from lane to lane: a trial's training hyperparameters, read from its config over defaults."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from automl.errors import SpecError, did_you_mean

from .schedules import SHAPES

OPTIMIZERS = ("adam", "adamw", "lion", "nadam", "rmsprop", "sgd")
TRAINING_NAMES = [
    "optimizer",
    "lr",
    "weight_decay",
    "momentum",
    "nesterov",
    "beta1",
    "beta2",
    "eps",
    "batch_size",
    "schedule",
    "warmup",
    "clip",
    "label_smoothing",
    "ema",
]


@dataclass(frozen=True)
class Hypers:
    """One lane's hyperparameters. `batch_size` and `optimizer` belong to the signature, all others vary per lane."""

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


KINDS = {f.name: f.type for f in fields(Hypers)}
OWN_DEFAULTS: dict[str, dict[str, Any]] = {
    "adamw": {"weight_decay": 0.01},
    "lion": {"beta2": 0.99, "lr": 1e-4},
    "sgd": {"lr": 1e-2, "momentum": 0.9},
    "rmsprop": {"beta2": 0.99},  # called alpha in torch.optim.RMSprop
}


def hypers(config: Mapping[str, Any]) -> Hypers:
    """The training part of `config` over the optimizer's own defaults; SpecError names what is out of range."""
    name = str(config.get("optimizer", "adamw")).lower()
    if name not in OPTIMIZERS:
        raise SpecError(
            f"optimizer {name!r} cannot be fused; one of {', '.join(OPTIMIZERS)}{did_you_mean(name, OPTIMIZERS)}"
        )
    given = {k: config[k] for k in TRAINING_NAMES if k in config and config[k] is not None}
    values = {**OWN_DEFAULTS.get(name, {}), **given, "optimizer": name}
    made = Hypers(**{k: _cast(KINDS[k], v) for k, v in values.items()})
    _check(made)
    return made


def _cast(kind: Any, value: Any) -> Any:
    return kind(value)


def _check(h: Hypers) -> None:
    if h.schedule not in SHAPES:
        near = did_you_mean(h.schedule, SHAPES)
        raise SpecError(f"schedule {h.schedule!r}: one of {', '.join(SHAPES)}{near}")
    rules = [
        (h.lr >= 0, f"lr {h.lr} is negative"),
        (h.batch_size >= 1, f"batch_size {h.batch_size} is below 1"),
        (0 <= h.beta1 < 1 and 0 <= h.beta2 < 1, f"beta1 {h.beta1} and beta2 {h.beta2} must lie in [0, 1)"),
        (0 <= h.label_smoothing < 1, f"label_smoothing {h.label_smoothing} must lie in [0, 1)"),
        (0 <= h.ema < 1, f"ema {h.ema} must lie in [0, 1)"),
        (h.clip >= 0, f"clip {h.clip} is negative (0 means no clipping)"),
        (h.warmup >= 0, f"warmup {h.warmup} is negative"),
    ]
    for holds, complaint in rules:
        if not holds:
            raise SpecError(complaint)
