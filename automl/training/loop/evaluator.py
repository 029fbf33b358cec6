"""A model's outputs, losses and metrics on a part of the data, computed in pieces."""

import math
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor, nn

from automl.data.prepared import Part, Prepared
from automl.metrics.batched import Meter
from automl.training import losses
from automl.training.distributed.ddp import Rank
from automl.training.loop.moving_average import MovingAverage
from automl.training.precision import Runner
from automl.training.samples import row_stream

EVAL_ROWS, EVAL_VALUES = 2**16, 2**22
"""Most samples, and values (samples times inputs, or tokens times outputs), that go through the model at once."""


class Evaluator:
    """Evaluates a model that is trained; with the averaged weights where an average is kept.

    Args:
        model: the model itself.
        runner: calls it in the trial's number format.
        prepared: the data; gives its kind, shapes and units.
        average: the moving average of the weights, or None.
        rank: of the ranks that share the rows of a report; None: this process computes all of them.
    """

    def __init__(
        self,
        model: nn.Module,
        runner: Runner,
        prepared: Prepared,
        average: MovingAverage | None,
        rank: Rank | None = None,
    ) -> None:
        self.model, self.runner, self.prepared, self.average, self.rank = model, runner, prepared, average, rank

    def report(self, part: Part, prefix: str = "") -> dict[str, float]:
        """Loss (without label smoothing) and metrics of `part`; `prefix` is put in front of their names.

        With several ranks all of them call this, and rank 0 gets the numbers; the others get none.
        """
        part = part.to(self.runner.device)  # a streamed one stays where it is
        if self.rank is not None:
            self.rank.take_over(self._statistics())
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
        return torch.cat([self._call(piece.to(self.runner.device)) for piece in torch.split(x, self._rows)])

    def _metrics(self, part: Part) -> dict[str, float]:
        """Every metric, summed over pieces: nothing is kept of a piece but scores for auroc (see `Meter`)."""
        kind, device = self.prepared.kind, self.runner.device
        meter = Meter(kind, 1, device, self.prepared.unit, torch.zeros(1, dtype=torch.int64, device=device))
        for piece in row_stream.pieces(part, self._rows):
            own = piece.to(device)
            out = self._shared(own.x)
            if out is not None:
                meter.add(out.double().unsqueeze(0), own.y, own.weight)
        found = meter.result() if self._leads else {}
        return dict(zip(found, torch.cat(list(found.values())).tolist(), strict=True)) if found else {}

    def _language(self, part: Part) -> dict[str, float]:
        """Loss, perplexity and accuracy of the next token, summed over pieces: all logits at once are too large."""
        sums = torch.zeros(2, dtype=torch.float64, device=self.runner.device)
        for piece in row_stream.pieces(part, self._rows):
            x, y, count = piece.x, piece.y, len(piece)
            if self.rank is not None:
                rows, count = self.rank.rows(len(piece))
                x, y = x[rows], y[rows]
            logits = self._call(x)[:count]
            if count:
                sums[0] += losses.loss("next_token", logits, y[:count]).double() * count
                sums[1] += (logits.argmax(-1) == y[:count]).double().mean() * count
        if self.rank is not None:
            sums = self.rank.mean(sums) * self.rank.world
        if not self._leads:
            return {}
        loss, accuracy = (sums / len(part)).tolist()
        return {"loss": loss, "perplexity": math.exp(min(loss, 700.0)), "accuracy": accuracy}

    @property
    def _leads(self) -> bool:
        """Whether this process gets the numbers."""
        return self.rank is None or self.rank.rank == 0

    def _shared(self, x: Tensor) -> Tensor | None:
        """The outputs for all rows of `x`, of which each rank computes some; None on the ranks but 0."""
        if self.rank is None:
            return self._call(x)
        return self.rank.gather(self._call(x[self.rank.rows(len(x))[0]]), len(x))

    def _statistics(self) -> Iterator[Tensor]:
        """What is not trained, such as the means of batch norm: ranks have own ones, and those of rank 0 count."""
        names = [name for name, _ in self.model.named_buffers()]
        yield from self.model.buffers()
        if self.average is not None:
            yield from (self.average.weights[name] for name in names if name in self.average.weights)

    def _call(self, x: Tensor) -> Tensor:
        self.model.eval()
        with torch.no_grad():
            if self.average is None or self.runner.sharded:
                return self.runner(x).float()
            with self.runner.cast():
                return self.average(x).float()

    @property
    def _rows(self) -> int:
        """Samples that go through the model at once."""
        per_sample = int(self.prepared.inputs)
        if self.prepared.kind == "next_token":
            per_sample *= int(self.prepared.outputs)
        return max(1, min(EVAL_ROWS, EVAL_VALUES // per_sample))
