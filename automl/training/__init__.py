"""The plain trainer: one model, one device, the recipe a specialist would write. `Solo` is the whole of it."""

from automl.training.precision import Settings
from automl.training.trainer import Solo

__all__ = ["Settings", "Solo"]
