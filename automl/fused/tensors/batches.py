"""The batches of some lanes: which samples, how they are augmented, and the loss of what a model says.

All lanes have one batch size and as many samples in an epoch, so a partial batch comes at the same step. Uniform and
mixed cohorts train on the same batches, in the same way.

Shape letters: K lanes, S steps, B batch, N samples.
"""

import copy
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from automl.data.prepared import Part
from automl.data.shapes import Inputs
from automl.fused.lane import Lane
from automl.fused.optim.tables import StepInputs
from automl.fused.tensors import losses
from automl.fused.tensors.augmentation import lane_augmentation
from automl.fused.tensors.rows import Gathered, Source, Space, TrainingRows, taken
from automl.training.losses import own


class LaneBatches:
    """Some consecutive batches and their losses. For each step call `inputs`, then `gradient`.

    `source`: where the samples come from; `log` `[S, K]`: training losses so far.
    """

    def __init__(
        self,
        lanes: Sequence[Lane | None],
        kind: str,
        rows: TrainingRows,
        inputs: Inputs | int,
        batch: int,
        steps: int,
        dtype: torch.dtype,
        space: Space,
        *,
        always_smooth: bool = False,
    ) -> None:
        """
        Args:
            lanes: of each row; None where none trains.
            kind: of the task: classification, regression or next_token.
            rows: the training samples.
            inputs: layout of one sample.
            batch, steps: B and S.
            dtype: of the losses.
            space: makes a tensor without values, kept for later batches.
            always_smooth: smooth labels also where no lane asks for it (by 0), so that the same operations serve any
                lanes.
        """
        self.kind, device = kind, rows.device
        found = [lane for lane in lanes if lane is not None]
        self.each_of = own(found[0].hypers, kind) if found else None  # lanes of a cohort have one loss
        seeds = [0 if lane is None else lane.seed for lane in lanes]
        first_steps = [0 if lane is None else lane.step for lane in lanes]
        self.source: Source = rows.source(lanes, batch, steps, space)
        self.smoothing: Tensor | None = None
        if always_smooth or any(lane.hypers.label_smoothing for lane in found):
            values = [0.0 if lane is None else lane.hypers.label_smoothing for lane in lanes]
            self.smoothing = torch.tensor(values, dtype=torch.float64).to(device, dtype)
        self.augmentation = None
        if any(lane.strengths for lane in found):
            assert isinstance(inputs, Inputs)
            strengths = [{} if lane is None else lane.strengths for lane in lanes]
            self.augmentation = lane_augmentation(strengths, inputs, seeds, first_steps, steps, device)
        self.own: Tensor | None = None
        self.log = torch.zeros(steps, len(lanes), device=device, dtype=dtype)
        self.losses = self.log.view(steps, len(lanes), 1, 1).unbind(0)
        self.labels = self._prepared_labels()

    @property
    def gathered(self) -> Gathered:
        """The source, where samples are in memory."""
        assert isinstance(self.source, Gathered)
        return self.source

    def inputs(self, s: int) -> Tensor:
        """The samples `[K, B, ...]` of step `s`, augmented; good until the next call."""
        x = self.source.x(s)
        if self.augmentation is not None:
            x, self.own = self.augmentation(x, s)
        return x

    def gradient(self, s: int, out: Tensor) -> Tensor:
        """d(loss)/d(out) of step `s`, shaped like `out`, the outputs for `inputs(s)`; the losses go to `log`."""
        source = self.source
        if self.labels is not None and source.is_full(s) and out.dim() == 3 and out.shape[-1] <= losses.FEW:
            return self.labels.gradient(out, s, self.losses[s], self.own)
        y, weight = source.y(s), source.weight(s)
        if self.each_of is None:
            loss, gradient = losses.gradient(self.kind, out, y, weight, self.smoothing, self.own)
        else:
            loss, gradient = losses.gradient_of(self.each_of, out, y, weight, self.own)
        self.log[s].copy_(loss)
        return gradient

    def _prepared_labels(self) -> losses.Targets | None:
        """Labels of the full batches prepared for the loss; None unless that is an unweighted cross-entropy."""
        if self.kind != "classification" or self.each_of is not None:
            return None
        return self.source.labels(self.smoothing)

    # -- for a step that is recorded -----------------------------------------------------------------------------------

    def tables(self) -> StepInputs:
        """The prepared values that steps of full batches read."""
        return StepInputs([self.gathered.table], [] if self.smoothing is None else [self.smoothing])

    def one_step(self, by_step: Iterator[Tensor], constants: Iterator[Tensor]) -> "LaneBatches":
        """A copy that reads its values from these tables of a single step. Without augmentation."""
        single = copy.copy(self)
        single.log = torch.zeros_like(self.log[:1])
        single.losses = single.log.view(1, -1, 1, 1).unbind(0)
        single.source = self.gathered.one_step(next(by_step))
        single.smoothing = None if self.smoothing is None else next(constants)
        single.labels = None
        return single

    def prepare_again(self) -> None:
        """Derive again what is derived from the tables."""
        self.labels = self._prepared_labels()


def gather(data: Part, chosen: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
    """The samples `chosen` `[K, B]`: x `[K, B, ...]`, y `[K, B, ...]`, weight `[K, B]` or None."""
    weight = None if data.weight is None else taken(data.weight, chosen)
    return taken(data.x, chosen), taken(data.y, chosen), weight
