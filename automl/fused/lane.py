"""A lane: one trial that trains among others, and its portable state."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from automl.training.hyperparameters import Hyperparameters


@dataclass
class LaneState:
    """The state of one lane: fits any slot of any cohort of the same signature, also one of a single lane.

    All tensors are on the CPU. P: parameters, padded as `tensors.layout` says.

    Attributes:
        epoch: epochs done.
        step: optimizer updates done.
        rows: "param", the optimizer's states and, where kept, "ema"; `[P]` each.
        buffers: name -> tensor, without a lane axis.
    """

    epoch: int
    step: int
    rows: dict[str, Tensor]
    buffers: dict[str, Tensor]

    def to_dict(self) -> dict[str, Any]:
        """Plain containers of tensors and integers, for `torch.save` and `torch.load(weights_only=True)`."""
        return {"epoch": self.epoch, "step": self.step, "rows": dict(self.rows), "buffers": dict(self.buffers)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "LaneState":
        """From what `to_dict` gave."""
        return cls(int(data["epoch"]), int(data["step"]), dict(data["rows"]), dict(data["buffers"]))


@dataclass
class Lane:
    """A trial in a slot.

    Attributes:
        epochs: how many the trial has in all (its schedule ends there).
        hypers: its learning rate, decay, schedule, ...
        drops: dropout layer -> probability.
        strengths: of augmentation, operation -> a number above 0.
        fold: whose rows it trains on, where the training part has folds.
        epoch: epochs done.
        step: optimizer updates done.
        status: running, done or diverged.
    """

    trial: int
    config: dict[str, Any]
    seed: int
    epochs: int
    hypers: Hyperparameters
    drops: dict[str, float]
    strengths: Mapping[str, float] = field(default_factory=dict)
    fold: int = 0
    epoch: int = 0
    step: int = 0
    status: str = "running"
