"""Training of one model by one trainer, with every option: what a specialist would write for a single trial.

Nothing here knows of searches, studies or other trials; training many models at once is `automl.fused`. The names here
are imported when they are first used: the driver reads `automl.training.hyperparameters`, and needs no torch for that.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from automl.training.loop.trainer import Trainer
    from automl.training.precision import Settings

__all__ = ["Settings", "Trainer"]


def __getattr__(name: str) -> Any:
    if name == "Settings":
        from automl.training.precision import Settings

        return Settings
    if name == "Trainer":
        from automl.training.loop.trainer import Trainer

        return Trainer
    raise AttributeError(f"module 'automl.training' has no attribute {name!r}")
