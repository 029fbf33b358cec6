"""A lane: one trial inside a cohort, and its portable state."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from automl.training.hyperparameters import Hyperparameters


@dataclass
class LaneState:
    """One lane, portable: fits any slot of any cohort of the same signature, fused or alone. All tensors on the CPU.

    `rows`: "param", "ema" and the optimizer's state, each `[P]`; `buffers`: name -> tensor; `step` counts updates.
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
        return cls(int(data["epoch"]), int(data["step"]), dict(data["rows"]), dict(data["buffers"]))


@dataclass
class Lane:
    """A trial in a slot. `epochs` is its full horizon; `epoch` and `step` count what it has done."""

    trial: int
    config: dict[str, Any]
    seed: int
    epochs: int
    hypers: Hyperparameters
    drops: dict[str, float]
    epoch: int = 0
    step: int = 0
    fate: str = "running"  # running | done | diverged
