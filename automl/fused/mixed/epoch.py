"""One epoch of a mixed cohort, and its evaluation: as `uniform.epoch`, with the same random numbers.

Lanes train in pieces: those of one batch size, as many as stay in cache together.

Shape letters: K lanes of a piece, S steps, B batch.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from automl.data.folds import Folds
from automl.data.prepared import Part
from automl.fused.lane import Lane
from automl.fused.mixed.cohort import MixedCohort
from automl.fused.optim import tables
from automl.fused.optim.update import Lanes, lane_update
from automl.fused.report import loss_summary
from automl.fused.tensors import rng
from automl.fused.tensors.batches import LaneBatches
from automl.fused.tensors.rows import TrainingRows, held_rows, training_rows
from automl.metrics.batched import Meter
from automl.training.samples import row_stream

F64 = torch.float64
MAX_LANES = 32  # of a piece
CACHE_BYTES = 1 << 23  # of the rows of a piece; a lane that is bigger makes a piece of its own
ROWS = 256  # samples at a time in an evaluation: the same for a trial alone, so that the last bit is the same


class MixedEpoch:
    """One epoch of the lanes in the slots `live`.

    By slot, after `train()`: `steps`: updates; `bad`: the first step whose training loss was not finite, or -1;
    `loss`: the mean training loss.
    """

    def __init__(
        self, cohort: MixedCohort, kind: str, data: Part | TrainingRows, cache_bytes: int = CACHE_BYTES
    ) -> None:
        self.cohort, self.kind, self.rows, self.cache_bytes = cohort, kind, training_rows(data), cache_bytes
        slots = cohort.slots
        self.live = [j for j, lane in enumerate(slots) if lane is not None and lane.status == "running"]
        self.steps = [0] * len(slots)
        self.bad, self.loss = torch.full((len(slots),), -1.0, dtype=F64), torch.zeros(len(slots), dtype=F64)

    @torch.no_grad()
    def train(self) -> None:
        """Run the epoch and count its steps in the lanes' `step`.

        Where samples are streamed, pieces take turns, so that all of them train on what was read.
        """
        groups = pieces(self.cohort, self.live, self.cache_bytes)
        logs: list[list[Tensor]] = [[] for _ in groups]
        with self.rows.reading(self.cohort.slots):
            for turn in self._turns(groups):
                for slots, log, steps in zip(groups, logs, turn, strict=True):
                    if steps:
                        piece = MixedPiece(self.cohort, slots, self.kind, self.rows, steps)
                        piece.train()
                        log.append(piece.batches.log)
        for slots, log in zip(groups, logs, strict=True):
            self.bad[list(slots)], self.loss[list(slots)] = loss_summary(torch.cat(log))
            for slot in slots:
                self.steps[slot] = sum(map(len, log))

    def _turns(self, groups: Sequence[tuple[int, ...]]) -> list[list[int]]:
        """See `TrainingRows.turns`."""
        firsts = [self.cohort.members[slots[0]] for slots in groups]
        batches = [min(first.lane.hypers.batch_size, self.rows.samples) for first in firsts if first is not None]
        return self.rows.turns(batches, [self.rows.updates(batch) for batch in batches])


def _space(shape: torch.Size, dtype: torch.dtype) -> Tensor:
    return torch.empty(shape, dtype=dtype)


def pieces(cohort: MixedCohort, live: Sequence[int], cache_bytes: int = CACHE_BYTES) -> list[tuple[int, ...]]:
    """The slots in `live` by pieces: of one batch size each, small lanes first, as many as fit into the cache."""
    keys = {k: (member.lane.hypers.batch_size, sum(row.nbytes for row in member.rows.values()))
            for k in live if (member := cohort.members[k])}  # fmt: skip
    groups: list[tuple[int, ...]] = []
    last, left = 0, 0
    for slot in sorted(live, key=lambda k: (keys[k], k)):
        batch, size = keys[slot]
        if batch != last or len(groups[-1]) == MAX_LANES or size > left:
            groups.append(())
            last, left = batch, cache_bytes
        groups[-1] += (slot,)
        left -= size
    return groups


class MixedPiece:
    """One epoch of the lanes in `slots`, which have one batch size: its tables, and its steps.

    `steps`: updates; `batches`: what they see, and the losses so far.
    """

    def __init__(
        self,
        cohort: MixedCohort,
        slots: tuple[int, ...],
        kind: str,
        data: Part | TrainingRows,
        steps: int | None = None,
    ) -> None:
        """`steps`: at most so many from where the lanes are; None: the whole epoch."""
        rows = training_rows(data)
        members = [member for k in slots if (member := cohort.members[k]) is not None]
        self.lanes: list[Lane] = [member.lane for member in members]
        self.program = cohort.program(slots)
        self.batch = min(self.lanes[0].hypers.batch_size, rows.samples)
        full_steps = rows.updates(self.batch)
        self.steps = full_steps if steps is None else min(steps, full_steps)
        self.batches = LaneBatches(self.lanes, kind, rows, cohort.blueprint.inputs, self.batch, self.steps,
                                   members[0].layout.dtype, _space)  # fmt: skip
        rates, gradients = tables.rates(self.lanes, self.steps, full_steps), self.program.gradients
        self.update = lane_update([
            Lanes([member.lane.hypers], [0], [member.lane.step], rates[:, [j]], member.matrices(gradients[j]),
                  member.scales)
            for j, member in enumerate(members)
        ])  # fmt: skip
        self._set_masks()

    def _set_masks(self) -> None:
        layers = list(dict.fromkeys(name for lane in self.lanes for name in lane.drops))
        drops = np.asarray([[lane.drops.get(name, 0.0) for lane in self.lanes] for name in layers])
        drops = drops.reshape(len(layers), len(self.lanes))
        limits, scales = rng.thresholds(drops)
        seeds, first_steps = [lane.seed for lane in self.lanes], [lane.step for lane in self.lanes]
        keys = rng.step_keys(seeds, first_steps, self.steps, layers if drops.any() else [])
        self.program.set_masks(keys, limits, scales, {name: j for j, name in enumerate(layers)}, self.batch)

    def train(self) -> None:
        """Run the epoch's steps and count them in the lanes' `step`."""
        for s in range(self.steps):
            self._step(s)
        self.program.store(self.steps)
        for lane in self.lanes:
            lane.step += self.steps

    def _step(self, s: int) -> None:
        out = self.program.outputs(self.batches.inputs(s), s)
        self.program.backward(self.batches.gradient(s, out))
        self.update(s)


@torch.no_grad()
def evaluate_mixed(
    cohort: MixedCohort,
    live: Sequence[int],
    kind: str,
    data: Part,
    scale: Tensor | None = None,
    auroc_slots: Sequence[int] = (),
    cache_bytes: int = CACHE_BYTES,
) -> dict[str, Tensor]:
    """Metrics of the lanes in the slots `live` on `data`: name -> a value for each slot of the cohort.

    `scale`: see `Meter`. `auroc_slots`: for which AUROC is measured.
    """
    metrics: dict[str, Tensor] = {}
    for slots in pieces(cohort, live, cache_bytes):
        program = cohort.program(slots, "ema")
        program.load()
        wanted = [j for j, slot in enumerate(slots) if slot in auroc_slots]
        meter = Meter(kind, len(slots), cohort.blueprint.device, scale, torch.tensor(wanted) if wanted else None)
        for piece in row_stream.pieces(data, ROWS):
            meter.add(program.outputs(piece.x, None), piece.y, piece.weight)
        for name, values in meter.result().items():
            metrics.setdefault(name, torch.zeros(len(cohort.members), dtype=values.dtype))[list(slots)] = values
    return metrics


@torch.no_grad()
def held_out_mixed(
    cohort: MixedCohort, live: Sequence[int], data: Part, folds: Folds, cache_bytes: int = CACHE_BYTES
) -> dict[int, Tensor]:
    """By slot the outputs [m, units] of the lanes in `live` for what the fold of each holds out of `data`."""
    found: dict[int, Tensor] = {}
    for slots in pieces(cohort, live, cache_bytes):
        program = cohort.program(slots, "ema")
        program.load()
        lanes = [lane for k in slots if (lane := cohort.slots[k]) is not None]
        rows, counts = held_rows(lanes, folds, data.x.device)
        parts = [program.outputs(data.x[piece], None, shared=False).clone() for piece in torch.split(rows, ROWS, dim=1)]
        found |= {k: own[:n] for k, own, n in zip(slots, torch.cat(parts, 1), counts, strict=True)}
    return found
