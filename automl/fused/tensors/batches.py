"""The batches of an epoch of some lanes: which samples, how they are augmented, and the loss of what a model says.

All lanes have one batch size and the same data, so their last, partial batch comes at the same step. Uniform and mixed
cohorts train on the same batches, in the same way.

Shape letters: K lanes, S steps, B batch, N samples.
"""

import copy
from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from automl.data.prepared import Part
from automl.data.shapes import Inputs
from automl.fused.lane import Lane
from automl.fused.optim.tables import StepInputs, batches
from automl.fused.tensors import losses, rng
from automl.fused.tensors.augmentation import lane_augmentation
from automl.training.losses import own

Space = Callable[[torch.Size, torch.dtype], Tensor]


class LaneBatches:
    """One epoch's batches and losses. For each step call `inputs`, then `gradient`.

    `chosen`: the sample indices `[K * B]` of each full batch; `log` `[S, K]`: training losses so far.
    """

    def __init__(
        self,
        lanes: Sequence[Lane | None],
        kind: str,
        data: Part,
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
            data: the training samples.
            inputs: layout of one sample.
            batch, steps: B and S.
            dtype: of the losses.
            space: makes a tensor without values, kept for later epochs.
            always_smooth: smooth labels also where no lane asks for it (by 0), so that the same operations serve any
                lanes.
        """
        self.kind, self.data, self.batch, device = kind, data, batch, data.x.device
        found = [lane for lane in lanes if lane is not None]
        self.each_of = own(found[0].hypers, kind) if found else None  # lanes of a cohort have one loss
        seeds = [0 if lane is None else lane.seed for lane in lanes]
        first_steps = [0 if lane is None else lane.step for lane in lanes]
        self.order = rng.permutations(seeds, [0 if lane is None else lane.epoch for lane in lanes], len(data), device)
        self.all_chosen = batches(self.order, batch, steps)
        self.chosen = self.all_chosen.unbind(0)
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
        self.gathered = space(torch.Size((len(lanes) * batch, *data.x.shape[1:])), data.x.dtype)
        self.x = self.gathered.view(len(lanes), batch, *data.x.shape[1:])

    def inputs(self, s: int) -> Tensor:
        """The samples `[K, B, ...]` of step `s`, augmented; good until the next call."""
        if s < len(self.chosen):
            torch.index_select(self.data.x, 0, self.chosen[s], out=self.gathered)
            x = self.x
        else:
            x = self._rest(self.data.x, s)
        if self.augmentation is not None:
            x, self.own = self.augmentation(x, s)
        return x

    def gradient(self, s: int, out: Tensor) -> Tensor:
        """d(loss)/d(out) of step `s`, shaped like `out`, the outputs for `inputs(s)`; the losses go to `log`."""
        full = s < len(self.chosen)
        if full and self.labels is not None and out.dim() == 3 and out.shape[-1] <= losses.FEW:
            return self.labels.gradient(out, s, self.losses[s], self.own)
        y, weight = self.data.y, self.data.weight
        y = self._full(y, s) if full else self._rest(y, s)
        if weight is not None:
            weight = self._full(weight, s) if full else self._rest(weight, s)
        if self.each_of is None:
            loss, gradient = losses.gradient(self.kind, out, y, weight, self.smoothing, self.own)
        else:
            loss, gradient = losses.gradient_of(self.each_of, out, y, weight, self.own)
        self.log[s].copy_(loss)
        return gradient

    def _full(self, values: Tensor, s: int) -> Tensor:
        return values.index_select(0, self.chosen[s]).view(-1, self.batch, *values.shape[1:])

    def _rest(self, values: Tensor, s: int) -> Tensor:
        """Those of a partial batch."""
        return _taken(values, self.order[:, s * self.batch : (s + 1) * self.batch])

    def _prepared_labels(self) -> losses.Targets | None:
        """Labels of the full batches prepared for the loss; None unless that is an unweighted cross-entropy."""
        data = self.data
        if self.kind != "classification" or data.weight is not None or data.y.dim() != 1 or not self.chosen:
            return None
        if self.each_of is not None:
            return None
        return losses.Targets(data.y, self.all_chosen, len(self.order), self.smoothing)

    # -- for a step that is recorded -----------------------------------------------------------------------------------

    def tables(self) -> StepInputs:
        """The prepared values that steps of full batches read."""
        return StepInputs([self.all_chosen], [] if self.smoothing is None else [self.smoothing])

    def one_step(self, by_step: Iterator[Tensor], constants: Iterator[Tensor]) -> "LaneBatches":
        """A copy that reads its values from these tables of a single step. Without augmentation."""
        single = copy.copy(self)
        single.log = torch.zeros_like(self.log[:1])
        single.losses = single.log.view(1, -1, 1, 1).unbind(0)
        single.all_chosen = next(by_step)
        single.chosen = single.all_chosen.unbind(0)
        single.smoothing = None if self.smoothing is None else next(constants)
        single.labels = None
        return single

    def prepare_again(self) -> None:
        """Derive again what is derived from the tables."""
        self.labels = self._prepared_labels()


def gather(data: Part, chosen: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
    """The samples `chosen` `[K, B]`: x `[K, B, ...]`, y `[K, B, ...]`, weight `[K, B]` or None."""
    weight = None if data.weight is None else _taken(data.weight, chosen)
    return _taken(data.x, chosen), _taken(data.y, chosen), weight


def _taken(values: Tensor, chosen: Tensor) -> Tensor:
    return values.index_select(0, chosen.reshape(-1)).view(*chosen.shape, *values.shape[1:])
