"""Strengths of augmentations, read from a trial's config and checked; the operations are in `augment`. No torch."""

import math
from collections.abc import Mapping
from typing import Any

from automl.errors import SpecError, did_you_mean

LIMITS = {"flip": 1.0, "shift": 1.0, "rotate": 180.0, "crop": 0.9, "noise": math.inf, "mixup": 1.0, "cutmix": 1.0}
"""Operation -> largest strength."""
MOVES = ("flip", "shift", "rotate", "crop")
IMAGES_ONLY = (*MOVES, "cutmix")


def read(config: Mapping[str, Any], augment: Mapping[str, Any] | None = None) -> dict[str, float]:
    """The strengths above 0, by operation.

    Args:
        config: hyperparameters of the trial; those with the name of an operation win over `augment`.
        augment: fixed strengths, by operation.

    Raises:
        SpecError: an unknown operation, or a strength out of its limits.
    """
    strengths = {name: value for name, value in {**(augment or {}), **config}.items() if name in LIMITS}
    for name in augment or {}:
        if name not in LIMITS:
            hint = did_you_mean(name, LIMITS) or f"; operations: {', '.join(LIMITS)}"
            raise SpecError(f"augment: unknown operation {name!r}{hint}")
    for name, value in strengths.items():
        if value is not None and (message := problem(name, value)):
            raise SpecError(f"{name} {message}")
    return {name: float(value) for name, value in strengths.items() if value is not None and value > 0}


def problem(name: str, value: Any) -> str:
    """Why the operation `name` cannot have this strength; empty where it can."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if number and 0 <= value <= LIMITS[name]:
        return ""
    allowed = "of at least 0" if math.isinf(LIMITS[name]) else f"from 0 to {LIMITS[name]:g}"
    return f"must be a number {allowed}, got {value!r}"
