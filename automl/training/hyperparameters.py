"""The hyperparameters of training, read from a trial's config and checked; the same for all trainers. No torch."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from automl.errors import SpecError, did_you_mean

OPTIMIZERS = ("sgd", "adam", "adamw", "nadam", "adafactor", "muon", "lion", "rmsprop")
SCHEDULES = ("constant", "cosine", "linear", "step", "wsd")
LOSSES = {
    "cross_entropy": "classification", "focal": "classification",
    "squared": "regression", "huber": "regression", "absolute": "regression",
    "quantile": "quantiles", "poisson": "counts", "binary": "labels",
}  # fmt: skip
"""Loss -> the kind of task, or the variant of one, that it is for; the formulas are in `losses`."""


NEEDS = {
    "quantile": "; name the quantiles: prepare: {quantiles: [0.1, 0.5, 0.9]}",
    "poisson": "; say that values are counts: prepare: {task: counts}",
    "binary": "; say that there are several labels: prepare: {task: labels}",
}
"""Loss -> what a specification that names it lacks."""


@dataclass(frozen=True)
class Hyperparameters:
    """`optimizer`, `loss`: a name, or a user's own as `module:name`; without a loss it is that of the task.

    `warmup`: share of all steps over which the rate rises from 0 (below 1), or a number of epochs (1 and above).

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
    loss: str = ""


NAMES = tuple(field.name for field in fields(Hyperparameters))
OWN_DEFAULTS: dict[str, dict[str, Any]] = {
    "adamw": {"weight_decay": 0.01},
    "lion": {"beta2": 0.99, "lr": 1e-4},
    "sgd": {"lr": 1e-2, "momentum": 0.9},
    "rmsprop": {"beta2": 0.99},
    "muon": {"momentum": 0.95, "nesterov": True, "weight_decay": 0.01},
    "adafactor": {"lr": 1e-2},
}
"""Optimizer -> the defaults that differ from those of `Hyperparameters`: the values its authors (or torch) use."""
LIMITS: dict[str, tuple[float, float | None]] = {
    "lr": (0, None), "weight_decay": (0, None), "clip": (0, None), "eps": (0, None), "batch_size": (1, None),
    "warmup": (0, None), "momentum": (0, 1), "beta1": (0, 1), "beta2": (0, 1), "label_smoothing": (0, 1), "ema": (0, 1),
}  # fmt: skip
"""Name -> smallest value, and the value it must stay below (None: no limit)."""


def read(config: Mapping[str, Any]) -> Hyperparameters:
    """The training hyperparameters of a trial; unknown keys of `config` are ignored, they are for the model.

    What is not in `config` (or None there) has the optimizer's own default.

    Raises:
        SpecError: a value of the wrong type or out of its limits, or an unknown optimizer or schedule.
    """
    name = str(config.get("optimizer") or "adamw")
    values = {key: _typed(key, config[key]) for key in NAMES if config.get(key) is not None}
    options = Hyperparameters(**{**OWN_DEFAULTS.get(name, {}), **values})
    for what, known in (("optimizer", OPTIMIZERS), ("schedule", SCHEDULES), ("loss", LOSSES)):
        value = getattr(options, what)
        own = what != "schedule" and (":" in value or (what == "loss" and not value))
        if not own and value not in known:
            raise SpecError(f"unknown {what} {value!r}{did_you_mean(value, known)}; one of {', '.join(known)}")
    if options.label_smoothing and options.loss not in ("", "cross_entropy"):
        raise SpecError(f"label_smoothing smooths the labels of cross_entropy; take it out, or loss: {options.loss}")
    for key, (low, high) in LIMITS.items():
        value = getattr(options, key)
        if not (value >= low and (high is None or value < high)):
            raise SpecError(f"{key} must be at least {low}{f' and below {high}' if high else ''}, got {value!r}")
    return options


def check_loss(name: str, task: str) -> None:
    """Check that a loss is for a task.

    Args:
        name: of the loss; a user's own (`module:name`) is for any.
        task: the kind of the task, or its variant.

    Raises:
        SpecError: it is for another one.
    """
    task = {"ordinal": "classification"}.get(task, task)
    if LOSSES.get(name, task) == task and (task != "next_token" or name == "cross_entropy"):
        return
    known = [one for one, of in LOSSES.items() if of == task] or ["cross_entropy"]
    hint = NEEDS.get(name, "")
    raise SpecError(f"loss: {name} is not for {task}; one of {', '.join(known)}{hint}")


def _typed(name: str, value: Any) -> Any:
    """`value` in the type of the hyperparameter `name`. Raises SpecError."""
    kind = type(getattr(Hyperparameters(), name))
    if kind is bool or kind is str:
        ok = isinstance(value, kind)
    else:
        ok = isinstance(value, int | float) and not isinstance(value, bool) and (kind is float or value == int(value))
    if not ok:
        what = {int: "a whole number", float: "a number", bool: "true or false", str: "a name"}[kind]
        raise SpecError(f"{name} must be {what}, got {value!r}")
    return kind(value)
