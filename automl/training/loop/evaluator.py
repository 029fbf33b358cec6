"""A model's outputs, losses and metrics on a part of the data, computed in pieces."""

import math
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor, nn

from automl import metrics
from automl.data.prepared import Part, Prepared
from automl.training import batches, losses
from automl.training.loop.moving_average import MovingAverage
from automl.training.precision import Runner

EVAL_VALUES = 2**22
"""Most values (samples times inputs, or tokens times outputs) that go through the model at once."""


class Evaluator:
    """Evaluates a model that is trained; with the averaged weights where an average is kept.

    Args:
        model: the model itself.
        runner: calls it in the trial's number format.
        prepared: the data; gives its kind, shapes and units.
        average: the moving average of the weights, or None.
    """

    def __init__(self, model: nn.Module, runner: Runner, prepared: Prepared, average: MovingAverage | None) -> None:
        self.model, self.runner, self.prepared, self.average = model, runner, prepared, average

    def report(self, part: Part, prefix: str = "") -> dict[str, float]:
        """Loss (without label smoothing) and metrics of `part`; `prefix` is put in front of their names."""
        part = batches.on_device(part, self.runner.device)
        with self._averaged():
            values = self._language(part) if self.prepared.kind == "next_token" else self._metrics(part)
        return {prefix + name: value for name, value in values.items()}

    def outputs(self, x: Tensor) -> Tensor:
        """Logits or standardised values for prepared samples `x` [N, ...], on the model's device."""
        with self._averaged():
            return self._forward(x)

    def _averaged(self) -> AbstractContextManager[None]:
        """A sharded model has the averaged weights inside the block."""
        return nullcontext() if self.average is None else self.average.loaded()

    def _forward(self, x: Tensor) -> Tensor:
        return torch.cat([self._call(piece.to(self.runner.device)) for piece in self._pieces(x)])

    def _metrics(self, part: Part) -> dict[str, float]:
        kind, outputs = self.prepared.kind, self._forward(part.x)
        scale = self.prepared.target_scale.to(self.runner.device) if kind == "regression" else None
        values = metrics.compute(kind, outputs, part.y, part.weight, scale=scale)
        weight = None if part.weight is None else part.weight / part.weight.mean()
        return {"loss": float(losses.loss(kind, outputs, part.y, weight)), **values}

    def _language(self, part: Part) -> dict[str, float]:
        """Loss, perplexity and accuracy of the next token, summed over pieces: all logits at once are too large."""
        sums = torch.zeros(2, dtype=torch.float64, device=self.runner.device)
        for x, y in zip(self._pieces(part.x), self._pieces(part.y), strict=True):
            logits = self._call(x)
            sums[0] += losses.loss("next_token", logits, y).double() * len(y)
            sums[1] += (logits.argmax(-1) == y).double().mean() * len(y)
        loss, accuracy = (sums / len(part)).tolist()
        return {"loss": loss, "perplexity": math.exp(min(loss, 700.0)), "accuracy": accuracy}

    def _call(self, x: Tensor) -> Tensor:
        self.model.eval()
        with torch.no_grad():
            if self.average is None or self.runner.sharded:
                return self.runner(x).float()
            with self.runner.cast():
                return self.average(x).float()

    def _pieces(self, x: Tensor) -> tuple[Tensor, ...]:
        """`x` [N, ...] in pieces of at most EVAL_VALUES values each."""
        per_sample = int(self.prepared.inputs)
        if self.prepared.kind == "next_token":
            per_sample *= int(self.prepared.outputs)
        return torch.split(x, max(1, EVAL_VALUES // per_sample))
