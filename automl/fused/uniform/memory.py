"""Out of memory in the middle of an epoch: fewer lanes at a time from then on, and nothing is lost.

The first epoch of a cohort's present bucket keeps a copy of its rows on the host. When memory ends, they are put back
and the epoch starts again with pieces of half as many lanes, which need half the activations. What fits is remembered
as `most_rows` of the cohort; a bucket that has run once needs no copy any more.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from automl.fused.uniform.cohort import Cohort
from automl.fused.uniform.epoch import Epoch
from automl.fused.uniform.stepper import Stepper


def train_within_memory(cohort: Cohort, held: Callable[[], Stepper], made: Callable[[Stepper], Epoch]) -> Epoch:
    """Train one epoch, in halves of halves where needed; `held()` gives the stepper, `made` the epoch.

    Raises torch.OutOfMemoryError when a single lane does not fit.
    """
    if cohort.proved == cohort.bucket:
        epoch = made(held())
        epoch.train()
        return epoch
    rows = [(m, m[: cohort.bucket].to("cpu", copy=True)) for m in (*cohort.rows.values(), *cohort.buffers.values())]
    steps = [lane.step for lane in cohort.lanes]
    while True:
        piece = held()
        epoch = made(piece)
        try:
            epoch.train()
        except torch.OutOfMemoryError:
            size = piece.pieces[0].size
            if size == 1:
                raise
            _start_again(cohort, rows, steps, size // 2)
        else:
            cohort.proved = cohort.bucket
            return epoch


def _start_again(cohort: Cohort, rows: list[tuple[Tensor, Tensor]], steps: list[int], most_rows: int) -> None:
    for matrix, before in rows:
        matrix[: cohort.bucket].copy_(before)
    for lane, step in zip(cohort.lanes, steps, strict=True):
        lane.step = step
    cohort.most_rows = most_rows
    cohort.version += 1  # a new stepper
    if cohort.blueprint.device.type == "cuda":
        torch.cuda.empty_cache()
