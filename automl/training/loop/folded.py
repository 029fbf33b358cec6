"""One trial on folds, trained alone: a `Trainer` for each fold, an epoch of all of them at a time."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from automl import metrics
from automl.core import seeds
from automl.data.prepared import Prepared
from automl.models.combined import bagged
from automl.training import losses
from automl.training.loop.trainer import Trainer


class FoldedTrainer:
    """Called as `Trainer` is; what it measures are the out-of-fold outputs, see `automl.data.folds`.

    Args:
        prepared: the data, whose training part has folds.
        make: makes the trainer of one fold, from its data and its seed.
        seed: of the trial.

    Attributes:
        finished, sharded: see `Trainer`.
    """

    finished = sharded = False

    def __init__(self, prepared: Prepared, make: Callable[[Prepared, int], Trainer], seed: int) -> None:
        assert prepared.folds is not None
        self.prepared, self.folds = prepared, prepared.folds
        self.members = [make(prepared.fold(k), seeds.derive(seed, "fold", k)) for k in range(self.folds.count)]

    @property
    def format(self) -> torch.dtype:
        """The number format of forward passes."""
        return self.members[0].format

    def epoch(self) -> dict[str, float]:
        """Train each fold's model one epoch and evaluate; returns what `Trainer.epoch` does."""
        trained = [member.train_epoch() for member in self.members]
        kind, val = self.prepared.kind, self.prepared.val.to("cpu")
        outputs = self.folds.joined([member.predict(member.prepared.val.x) for member in self.members])
        weight = None if val.weight is None else val.weight / val.weight.mean()
        found = metrics.compute(kind, outputs, val.y, val.weight, scale=self.prepared.unit)
        loss = float(losses.of_answers(kind, outputs, val.y, weight))
        return {"train_loss": sum(trained) / len(trained), "val_loss": loss,
                **{f"val_{name}": value for name, value in found.items()}}  # fmt: skip

    def weights(self) -> dict[str, Tensor]:
        """The weights of a `Bagged` with a member for each fold."""
        return bagged.joined([member.weights() for member in self.members])

    def state(self) -> dict[str, Any]:
        """Everything that `load` needs to go on exactly."""
        return {"members": [member.state() for member in self.members]}

    def load(self, state: Mapping[str, Any]) -> None:
        """Go on from a `state()`."""
        for member, own in zip(self.members, state["members"], strict=True):
            member.load(own)
