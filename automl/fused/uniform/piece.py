"""Some updates of a piece: each lane has its own samples, dropout masks, schedule and optimizer coefficients.

The host prepares tables for all of them; a step only indexes them. A last batch of a single sample is left out, as
batch norm has no variance there.

Shape letters: K lanes (rows of the piece), S steps.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial

import numpy as np
import torch

from automl.data.prepared import Part
from automl.fused.modules.context import Draw, running
from automl.fused.optim.tables import rates
from automl.fused.optim.update import Lanes, lane_update
from automl.fused.tensors import rng
from automl.fused.tensors.batches import LaneBatches
from automl.fused.tensors.rows import TrainingRows, training_rows
from automl.fused.uniform.stepper import PieceStepper
from automl.training.hyperparameters import Hyperparameters

IDLE = Hyperparameters(lr=0.0, weight_decay=0.0)  # of rows whose slot is free or whose lane has ended


class PieceEpoch:
    """The tables of one epoch of one piece, or of some of its updates; `train()` runs them.

    Slots are counted from the piece's first row.

    `live`: slots that train; `steps`: updates; `batches`: what they see, and the losses so far.
    """

    def __init__(self, stepper: PieceStepper, kind: str, data: Part | TrainingRows, steps: int | None = None, *,
                 recordable: bool = False) -> None:  # fmt: skip
        """
        Args:
            stepper: the piece's forward and backward pass.
            kind: of the task: classification, regression or next_token.
            data: the training samples, on the cohort's device or streamed to it.
            steps: the maximum number of updates, counted from where the lanes are; None: the whole epoch.
            recordable: every optional part of a step runs for every lane, so that a step that was recorded (as a CUDA
                graph) is right for any lanes.
        """
        self.stepper, self.recordable = stepper, recordable
        rows = training_rows(data)
        cohort = stepper.cohort
        slots = cohort.slots[stepper.span]
        self.lanes = [lane if lane is not None and lane.status == "running" else None for lane in slots]
        self.live = [j for j, lane in enumerate(self.lanes) if lane is not None]
        self.hypers = [IDLE if lane is None else lane.hypers for lane in self.lanes]
        self.seeds = [0 if lane is None else lane.seed for lane in self.lanes]
        self.first_steps = [0 if lane is None else lane.step for lane in self.lanes]
        self.batch = min(max((lane.hypers.batch_size for lane in cohort.lanes), default=1), rows.samples)
        full_steps = rows.updates(self.batch)
        self.steps = full_steps if steps is None else min(steps, full_steps)
        lanes = Lanes(self.hypers, self.live, self.first_steps, rates(self.lanes, self.steps, full_steps),
                      {name: matrix[stepper.span] for name, matrix in cohort.rows.items()}, cohort.scales)  # fmt: skip
        self.context = self._context()
        self.update = lane_update([lanes], recordable=recordable, leaves=stepper.leaf_gradients())
        self.batches = LaneBatches(self.lanes, kind, rows, cohort.blueprint.inputs, self.batch, self.steps,
                                   cohort.layout.dtype, partial(self.context.space, use="batch"),
                                   always_smooth=recordable)  # fmt: skip

    def _context(self) -> Draw:
        """What the model's layers need of each lane: mask keys of all steps `[S, L, 2, K]`, dropout rates."""
        cohort, device = self.stepper.cohort, self.stepper.cohort.blueprint.device
        layers = cohort.layers
        drops = np.asarray([[0.0 if lane is None else lane.drops[name] for lane in self.lanes] for name in layers])
        drops = drops.reshape(len(layers), len(self.lanes))
        limits, scales = rng.thresholds(drops)
        live = [bool(row.any() or self.recordable) for row in drops]
        keys = rng.step_keys(self.seeds, self.first_steps, self.steps, layers if any(live) else [], device)
        index = {name: j for j, name in enumerate(layers)}
        return Draw(self.stepper.batched, len(self.lanes), index, keys, limits.to(device), scales.to(device), live,
                    spaces=self.stepper.scratch)  # fmt: skip

    def train(self, step: Callable[[int], None] | None = None) -> None:
        """Run the updates and count them in the lanes' `step`.

        Args:
            step: does one step of this piece, given its number; None: `self.step`.
        """
        step = step or self.step
        with running(self.context), ExitStack() as stack:
            reseed = None if self.stepper.batched else stack.enter_context(self._torch_seeded())
            for s in range(self.steps):
                if reseed is not None:
                    reseed(s)
                step(s)
        for j in self.live:
            lane = self.lanes[j]
            assert lane is not None
            lane.step += self.steps

    @contextmanager
    def _torch_seeded(self) -> Iterator[Callable[[int], None]]:
        """For a lane alone: a function that sets torch's generators from (lane seed, step) before each step."""
        device = self.stepper.cohort.blueprint.device
        cuda = device.type == "cuda"
        generators = [torch.default_generator]
        if cuda:
            generators.append(torch.cuda.default_generators[device.index or 0])
        words = rng.step_keys(self.seeds, self.first_steps, self.steps, ["torch"])
        seeds = words[:, 0, :, 0].contiguous().view(torch.int64)[:, 0].tolist()

        def reseed(s: int) -> None:
            for generator in generators:
                generator.manual_seed(seeds[s])

        with torch.random.fork_rng(devices=[device.index or 0] if cuda else []):
            yield reseed

    def step(self, s: int) -> None:
        """One update of all lanes: batch, forward, loss, backward, then `update`."""
        self.context.step = s
        out = self.stepper.outputs(self.context, self.batches.inputs(s))
        gradient = self.batches.gradient(s, out.detach() if out.requires_grad else out)
        self.stepper.backward(self.context, out, gradient)
        with torch.no_grad():
            self.update(s)
