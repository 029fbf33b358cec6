"""Training of one model by one trainer, with every option: what a specialist would write for a single trial.

Nothing here knows of searches, studies or other trials; training many models at once is `automl.fused`.
"""

from automl.training.precision import Settings
from automl.training.trainer import Trainer

__all__ = ["Settings", "Trainer"]
