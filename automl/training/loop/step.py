"""One optimizer step on one batch: augmentation, forward and backward pass, clipping, update, moving average."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from automl.data.prepared import Part, Prepared
from automl.errors import SpecError
from automl.training import augment, losses
from automl.training.distributed.ddp import Rank
from automl.training.hyperparameters import Hyperparameters
from automl.training.loop.moving_average import MovingAverage
from automl.training.precision import Runner


@dataclass
class TrainingStep:
    """Called with a batch, it trains the model by one step.

    Args:
        runner: calls the model in the trial's number format.
        parameters: all of the model's.
        optimizers: each updates some of the parameters.
        options: clipping and label smoothing are read here.
        prepared: the data; gives its kind and shapes.
        strengths: of augmentation, by operation (see `augment`).
        average: the moving average of the weights, or None.
        rank: trains on this rank's rows of each batch; None: on all of them.
        micro_batch: most samples that go through the model at once; halved whenever memory runs out.
    """

    runner: Runner
    parameters: list[nn.Parameter]
    optimizers: list[torch.optim.Optimizer]
    options: Hyperparameters
    prepared: Prepared
    strengths: Mapping[str, float]
    average: MovingAverage | None
    rank: Rank | None
    micro_batch: int

    def __post_init__(self) -> None:
        self.each_of = losses.own(self.options, self.prepared.kind)
        alone = self.each_of is not None or losses.formula(self.prepared.kind) is not None
        if alone and ("mixup" in self.strengths or "cutmix" in self.strengths):
            raise SpecError(
                f"loss: {losses.name_of(self.options, self.prepared.kind)} with mixup or cutmix is for trials that"
                " train as lanes; leave out compile, precision: fp16, or several devices for a trial"
            )

    def __call__(self, batch: Part, step: int) -> Tensor:
        """Train on `batch`; `step` is the 0-based number of this step. Returns the loss before it, a scalar."""
        batch, factor = (batch, None) if self.rank is None else self.rank.share(batch)
        x, y, weight = self._augmented(batch)
        self._clear_gradients()
        loss = self._gradients(x, y, weight) if factor is None else self._backward(x, y, weight, factor)
        scaler = self.runner.scaler
        if self.options.clip:
            for optimizer in self.optimizers:
                scaler.unscale_(optimizer)
            nn.utils.clip_grad_norm_(self.parameters, self.options.clip)
        for optimizer in self.optimizers:
            scaler.step(optimizer)
        scaler.update()
        if self.average is not None:
            self.average.update(step)
        return loss

    def _augmented(self, batch: Part) -> tuple[Tensor, Tensor, Tensor | None]:
        """x, y and weight of the batch after augmentation."""
        x, y, weight, strengths = batch.x, batch.y, batch.weight, self.strengths
        if strengths:
            u = torch.rand(len(x), augment.UNIFORMS, device=x.device)
            noise = torch.randn_like(x) if "noise" in strengths else None
            x, own = augment.apply(x, strengths, self.prepared.inputs, u, noise)
            if "mixup" in strengths or "cutmix" in strengths:
                y = augment.mixed_targets(self.prepared.kind, y, own, int(self.prepared.outputs))
        return x, y, weight

    def _gradients(self, x: Tensor, y: Tensor, weight: Tensor | None) -> Tensor:
        """Loss and gradients of a batch; in micro-batches if memory runs out and the settings allow it."""
        try:
            if self.micro_batch >= len(x):
                return self._backward(x, y, weight, None)
            return self._accumulated(x, y, weight)
        except torch.OutOfMemoryError:
            if self.runner.settings.oom != "accumulate" or self.micro_batch == 1:
                raise
        self.micro_batch = max(1, self.micro_batch // 2)
        self._clear_gradients()
        if x.device.type == "cuda":
            torch.cuda.empty_cache()
        return self._gradients(x, y, weight)

    def _accumulated(self, x: Tensor, y: Tensor, weight: Tensor | None) -> Tensor:
        """Loss and gradients of a batch, summed over its micro-batches."""
        shares = torch.ones(len(x), device=x.device) if weight is None else weight
        shares = shares / shares.sum().clamp_min(1e-12)
        total = torch.zeros((), device=x.device)
        for first in range(0, len(x), self.micro_batch):
            rows = slice(first, first + self.micro_batch)
            part = None if weight is None else weight[rows]
            total += self._backward(x[rows], y[rows], part, shares[rows].sum())
        return total

    def _backward(self, x: Tensor, y: Tensor, weight: Tensor | None, factor: Tensor | None) -> Tensor:
        """Mean loss of these rows, times `factor`; its gradients are added to those of the parameters."""
        smoothing = self.options.label_smoothing
        loss = losses.loss(self.prepared.kind, self.runner(x), y, weight, smoothing, self.each_of)
        loss = loss if factor is None else loss * factor.to(loss.dtype)
        self.runner.scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
        return loss.detach()

    def _clear_gradients(self) -> None:
        for p in self.parameters:  # as `zero_grad`, without its bookkeeping
            p.grad = None
