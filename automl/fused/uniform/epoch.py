"""One epoch of a cohort, piece after piece, with eager or recorded steps; and the evaluation after it.

Shape letters: K lanes, S steps.
"""

from collections.abc import Callable
from functools import partial
from typing import TypeVar

import torch
from torch import Tensor

from automl.data.folds import Folds
from automl.data.prepared import Part
from automl.errors import out_of_memory
from automl.fused.tensors.rows import TrainingRows, held_rows, training_rows
from automl.fused.uniform.cohort import UniformCohort
from automl.fused.uniform.cohort_stepper import CohortStepper, module_mode
from automl.fused.uniform.cuda_graph import StepGraphs
from automl.fused.uniform.piece import PieceEpoch
from automl.metrics.batched import Meter
from automl.training import gpu
from automl.training.samples.row_stream import pieces

T = TypeVar("T")
CPU_ROWS = 1 << 14
GPU_ROWS, GPU_VALUES = 1 << 20, 1 << 27
"""Lane samples that are evaluated at a time, and the values of their inputs."""


def step_graphs(cohort: UniformCohort) -> StepGraphs | None:
    """Where steps are recorded (on a GPU) a place for them; keep it as long as the cohort's stepper."""
    return StepGraphs() if cohort.blueprint.device.type == "cuda" else None


class Epoch:
    """One epoch of a cohort. Lanes do not depend on each other, so each piece trains on its own and stays in cache.

    Where samples are streamed, pieces take turns, so that all of them train on what was read.

    `live`: slots that train; after `train()`: `steps`: updates; `log` `[S, K]`: training losses.
    """

    def __init__(self, stepper: CohortStepper, kind: str, data: Part | TrainingRows, steps: int | None = None,
                 graphs: StepGraphs | None = None) -> None:  # fmt: skip
        """`steps`: at most so many. `graphs`: recorded steps to replay; None: every step runs eagerly."""
        self.stepper, self.kind, self.rows, self.max_steps, self.graphs = (
            stepper,
            kind,
            training_rows(data),
            steps,
            graphs,
        )
        slots = stepper.cohort.slots
        self.live = [j for j, lane in enumerate(slots) if lane is not None and lane.status == "running"]
        self.steps, self.log = 0, torch.empty(0)

    def train(self) -> None:
        """Run the epoch's steps and count them in the lanes' `step`."""
        cohort, batched = self.stepper.cohort, self.stepper.batched
        augmented = any(lane is not None and lane.strengths for lane in cohort.slots)
        recordable = batched and not augmented and self.rows.stream is None  # which lanes move is not in the tables
        graphs = self.graphs if recordable else None
        logs: list[list[Tensor]] = [[] for _ in self.stepper.pieces]
        with module_mode(cohort, batched=batched, training=True), self.rows.reading(cohort.slots):
            for turn in self._turns():
                for stepper, log, steps in zip(self.stepper.pieces, logs, turn, strict=True):
                    piece = PieceEpoch(stepper, self.kind, self.rows, steps, recordable=graphs is not None)
                    if piece.live:
                        piece.train(None if graphs is None else graphs.steps_of(piece))
                    log.append(piece.batches.log)
                self.steps += piece.steps
        self.log = torch.cat([torch.cat(log) for log in logs], 1)

    def _turns(self) -> list[list[int]]:
        """See `TrainingRows.turns`."""
        pieces, sizes = len(self.stepper.pieces), [lane.hypers.batch_size for lane in self.stepper.cohort.lanes]
        batch = min(max(sizes, default=1), self.rows.samples)
        total = self.rows.updates(batch)
        total = total if self.max_steps is None else min(total, self.max_steps)
        return self.rows.turns([batch] * pieces, [total] * pieces)


def evaluate(
    stepper: CohortStepper,
    kind: str,
    data: Part,
    scale: Tensor | None = None,
    ranks: Tensor | None = None,
    rows_at_once: int | None = None,
) -> dict[str, Tensor]:
    """Metrics of all lanes on `data`, name -> `[K]`, in chunks of at most `rows_at_once` lane samples.

    Where memory runs out, it begins again with smaller chunks, from then on. `scale`, `ranks`: see `Meter`.
    """
    return _in_chunks(stepper, data, partial(_evaluated, stepper, kind, data, scale, ranks), rows_at_once)


def held_out(stepper: CohortStepper, data: Part, folds: Folds) -> dict[int, Tensor]:
    """By slot the outputs `[m, units]` of each lane for what its fold holds out of `data`; memory as in `evaluate`."""
    return _in_chunks(stepper, data, partial(_held_out, stepper, data, folds))


def _held_out(stepper: CohortStepper, data: Part, folds: Folds, chunk: int) -> dict[int, Tensor]:
    slots = stepper.cohort.slots
    rows, counts = held_rows(slots, folds, data.x.device)
    with module_mode(stepper.cohort, batched=stepper.batched, training=False):
        parts = [stepper.predict(data.x[piece], shared=False).clone() for piece in torch.split(rows, chunk, dim=1)]
    outputs = torch.cat(parts, 1)
    return {k: outputs[k, : counts[k]] for k, lane in enumerate(slots) if lane is not None}


def _in_chunks(stepper: CohortStepper, data: Part, evaluated: Callable[[int], T], rows_at_once: int | None = None) -> T:
    """What `evaluated` returns for chunks of so many samples; smaller ones where memory runs out."""
    cohort = stepper.cohort
    rows = rows_at_once or min(rows_of(cohort.blueprint.device, data), cohort.max_evaluated_rows)
    chunk = max(1, min(len(data), rows // cohort.bucket))
    while True:
        try:
            return evaluated(chunk)
        except Exception as error:
            if chunk == 1 or not out_of_memory(error):
                raise
        gpu.free()
        chunk //= 2
        cohort.max_evaluated_rows = chunk * cohort.bucket


def rows_of(device: torch.device, data: Part) -> int:
    """Lane samples of an evaluation at a time: on a CPU what stays in cache, on a GPU what hides the calls' time."""
    if device.type != "cuda":
        return CPU_ROWS
    return max(1, min(GPU_ROWS, GPU_VALUES // max(1, data.x[:1].numel())))


def _evaluated(stepper: CohortStepper, kind: str, data: Part, scale: Tensor | None, ranks: Tensor | None,
               chunk: int) -> dict[str, Tensor]:  # fmt: skip
    cohort = stepper.cohort
    meter = Meter(kind, cohort.bucket, cohort.blueprint.device, scale, ranks)
    with module_mode(cohort, batched=stepper.batched, training=False):
        for piece in pieces(data, chunk):
            own = piece.to(cohort.blueprint.device)
            meter.add(stepper.predict(own.x), own.y, own.weight)
    return meter.result()
