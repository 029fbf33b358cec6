"""Running out of memory in the middle of an epoch: fewer lanes at a time from then on, and nothing is lost.

The first epoch of a cohort's present bucket keeps a copy of its rows on the host. When memory runs out, they are put
back and the epoch starts again with pieces of half as many lanes, which need half the activations. The size that fits
is remembered as the cohort's `max_piece_rows`; a bucket that has run once needs no copy any more.
"""

from collections.abc import Callable

from torch import Tensor

from automl.errors import out_of_memory
from automl.fused.uniform.cohort import UniformCohort
from automl.fused.uniform.epoch import Epoch
from automl.training import gpu


def train_within_memory(cohort: UniformCohort, new_epoch: Callable[[], Epoch]) -> Epoch:
    """Train one epoch; if memory runs out, begin it again with fewer lanes computed at a time.

    Args:
        cohort: the lanes.
        new_epoch: makes the epoch, with a stepper for the present `version` of the cohort.

    Returns:
        The epoch that was trained.

    Raises:
        torch.OutOfMemoryError: not even a single lane fits into memory.
    """
    if cohort.bucket_that_fits == cohort.bucket:
        epoch = new_epoch()
        epoch.train()
        return epoch
    rows = [(matrix, matrix[: cohort.bucket].to("cpu", copy=True)) for matrix in cohort.lasting()]
    steps = [lane.step for lane in cohort.lanes]
    while True:
        size = min(cohort.bucket, cohort.max_piece_rows)
        made: Epoch | None = None
        try:
            made = new_epoch()
            size = made.stepper.pieces[0].size
            made.train()
            cohort.bucket_that_fits = cohort.bucket
            return made
        except Exception as error:
            if size == 1 or not out_of_memory(error):
                raise
        del made  # what it made is released before anything is made again
        _start_again(cohort, rows, steps, size // 2)


def _start_again(cohort: UniformCohort, rows: list[tuple[Tensor, Tensor]], steps: list[int], max_rows: int) -> None:
    """Put `rows` and `steps` back as they were before the epoch, and allow pieces of `max_rows` at most."""
    for matrix, before in rows:
        matrix[: cohort.bucket].copy_(before)
    for lane, step in zip(cohort.lanes, steps, strict=True):
        lane.step = step
    cohort.max_piece_rows = max_rows
    cohort.version += 1  # so that a new stepper is made
    gpu.free()
