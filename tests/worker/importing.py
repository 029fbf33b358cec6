"""What trials run that import libraries while they train; a worker that loads this module has no torch yet."""

import os
import random
import signal

from automl.worker.trial import Trial


def with_numpy(trial: Trial) -> None:
    import numpy as np

    for _ in trial.steps(2):
        trial.report(loss=random.random() + float(np.random.rand()))  # noqa: NPY002


def with_torch(trial: Trial) -> None:
    import numpy as np
    import torch

    for _ in trial.steps(2):
        drawn = random.random() + float(np.random.rand()) + float(torch.rand(()))  # noqa: NPY002
        trial.report(loss=drawn + float(torch.nn.Linear(3, 1).weight.detach().sum()))


def later(trial: Trial) -> None:
    """Imports while it trains, and goes on after a kill of its worker from what it saved."""
    trial.load()
    for step in trial.steps(3):
        import torch

        trial.report(loss=float(torch.rand(())) + list({"a", "b", "c", "d", "e", "f"}).index("a"))
        trial.save({"step": step})
        if trial.number == trial.attempt == step == 1 and os.environ.get("KILL"):
            os.kill(os.getpid(), signal.SIGKILL)
