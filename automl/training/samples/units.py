"""What one step of a trial is: an epoch, or so many samples, batches or tokens. No torch here.

After each step a trial is measured, reports, and may be compared, paused or ended. Steps that are no epochs take their
samples from an order without end, epoch after epoch, in full batches: step k of a lane with batches of B samples and u
updates a step begins with update k * u, that is with sample k * u * B of that order.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from automl.training.schedules import steps_per_epoch

Name = Literal["epochs", "samples", "batches", "tokens"]
NAMES: tuple[Name, ...] = get_args(Name)


@dataclass(frozen=True)
class Unit:
    """A step: `size` epochs (always one), samples, batches or tokens.

    Example:
        >>> Unit("samples", 1_000_000).updates(samples=50_000_000, batch=256)
        3906
    """

    name: Name = "epochs"
    size: int = 1

    @classmethod
    def of(cls, steps: Mapping[str, Any]) -> "Unit":
        """The unit that `steps:` of a specification names; an epoch where it is empty."""
        return next((cls(name, int(steps[name])) for name in NAMES if steps.get(name)), cls())

    @property
    def is_epoch(self) -> bool:
        """Whether a step is one pass over the training samples."""
        return self.name == "epochs"

    @property
    def step(self) -> str:
        """What a step is called: "epoch" or "step"."""
        return "epoch" if self.is_epoch else "step"

    def of_sequences(self, length: int) -> "Unit":
        """The same for samples of `length` tokens each: the unit in samples instead of tokens."""
        return Unit("samples", max(1, round(self.size / length))) if self.name == "tokens" else self

    def updates(self, samples: int, batch: int) -> int:
        """Optimizer updates of one step, the same in every step of a trial.

        Args:
            samples: of the training part.
            batch: samples of a batch. A number of samples is rounded to full batches, but never to none.
        """
        match self.name:
            case "epochs":
                return steps_per_epoch(samples, batch)
            case "batches":
                return self.size
            case _:
                return max(1, round(self.size / batch))

    def samples(self, samples: int, batch: int) -> int:
        """Samples that one step trains on, for a training part of `samples`."""
        return samples if self.is_epoch else self.updates(samples, batch) * batch

    def __str__(self) -> str:
        return "epoch" if self.is_epoch else f"{self.size:,} {self.name}"


EPOCH = Unit()
