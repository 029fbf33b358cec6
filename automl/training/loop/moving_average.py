"""Exponential moving average of a model's weights: what is evaluated and saved in place of the weights themselves."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from automl.training.distributed.tensors import is_sharded, local
from automl.training.schedules import ema_decay


class MovingAverage:
    """The average of every weight and buffer of `model`, by name (Polyak & Juditsky 1992); sharded as the model is.

    Args:
        model: the model that is trained, on its device.
        decay: how much of the average is kept in a step, in 0..1; less in the first steps, see `schedules.ema_decay`.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.model, self.decay = model, decay
        self.weights: dict[str, Tensor] = {name: value.clone() for name, value in model.state_dict().items()}

    def update(self, step: int) -> None:
        """Include the model's weights after the 0-based `step`; integers (counts of batches) are copied."""
        move = 1 - float(ema_decay(self.decay, step + 1))
        for name, value in self.model.state_dict().items():
            mean, current = local(self.weights[name]), local(value)
            if value.is_floating_point():
                mean.lerp_(current, move)
            else:
                mean.copy_(current)

    def __call__(self, x: Tensor) -> Tensor:
        """The outputs of the (unsharded) model for `x` with the averaged weights."""
        # Tied weights have equal averages under each of their names.
        out: Tensor = torch.func.functional_call(self.model, self.weights, (x,), tie_weights=False)
        return out

    @contextmanager
    def loaded(self) -> Iterator[None]:
        """A sharded model has the averaged weights inside the block; for others, call the average itself.

        Blocks of a sharded model gather their own weights, so no other ones can be passed to a call.
        """
        if not any(is_sharded(value) for value in self.weights.values()):
            yield
            return
        from automl.training.distributed import fsdp

        with fsdp.temporary_weights(self.model, self.weights):
            yield
