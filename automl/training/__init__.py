"""The plain trainer: one model, one device, the recipe a specialist would write. `Solo` is the whole of it."""

from automl.training.hardware import Settings
from automl.training.solo import Solo

__all__ = ["Settings", "Solo"]
