"""How a cohort is cut into pieces, and around what torch settings their passes run.

On the CPU a piece is as many rows as stay in cache for a whole epoch. On a GPU a cohort is one piece.
"""

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from automl.fused.uniform.cohort import UniformCohort
from automl.fused.uniform.stepper import PieceStepper, SoloStepper, StackStepper, VmapStepper
from automl.training.precision import products

CACHE_BYTES = 1 << 23  # of parameters, gradients and moments of one piece


@dataclass
class CohortStepper:
    """The pieces of a cohort's present bucket. Valid as long as `version` is that of the cohort."""

    cohort: UniformCohort
    pieces: Sequence[PieceStepper]
    version: int = field(init=False)

    def __post_init__(self) -> None:
        self.version = self.cohort.version

    @property
    def batched(self) -> bool:
        """Whether lanes run under `vmap` or by hand; False for one lane that runs as torch runs any module."""
        return self.pieces[0].batched

    def predict(self, x: Tensor, *, shared: bool = True) -> Tensor:
        """Evaluation outputs `[K, B, ...]` of all rows for `x`, see `PieceStepper.predict`."""
        parts = [piece.predict(x if shared else x[piece.span], shared=shared) for piece in self.pieces]
        return parts[0] if len(parts) == 1 else torch.cat(parts)


MakeStepper = Callable[[UniformCohort], CohortStepper]


def cohort_stepper(cohort: UniformCohort) -> CohortStepper:
    """The stepper of the cohort's present bucket."""
    whole = VmapStepper(cohort, 0, cohort.bucket)
    by_hand = StackStepper.of(whole)
    if cohort.bucket == 1:  # a plain stack is faster by hand alone, too, and has the very bits of its lane
        return CohortStepper(cohort, [by_hand or SoloStepper(cohort)])
    size = piece_size(cohort, plain=by_hand is not None)
    if size == cohort.bucket:
        return CohortStepper(cohort, [by_hand or whole])
    general = [VmapStepper(cohort, first, size) for first in range(0, cohort.bucket, size)]
    return CohortStepper(cohort, general if by_hand is None else [StackStepper.of(g) or g for g in general])


def piece_size(cohort: UniformCohort, *, plain: bool) -> int:
    """Rows that train together for an epoch: on the CPU as many as stay in cache, but enough to hide torch's overhead.

    Fewer where memory ran out before (`UniformCohort.max_piece_rows`). `plain`: the model is a plain stack. The size
    depends on the model alone, so that a lane's last bit is the same in every bucket of at least this size.
    """
    max_rows = min(cohort.bucket, cohort.max_piece_rows)
    if cohort.blueprint.device.type != "cpu":
        return max_rows
    least, most, budget = (8, 64, CACHE_BYTES) if plain else (32, 128, 8 * CACHE_BYTES)
    row = cohort.layout.width * cohort.layout.dtype.itemsize * 4
    fits = 1 << max(0, (budget // row).bit_length() - 1)
    return min(max_rows, max(least, min(most, fits)))


@contextmanager
def module_mode(cohort: UniformCohort, *, batched: bool, training: bool) -> Iterator[None]:
    """Around many passes: training or evaluation mode, and implementations that `vmap` can batch.

    With `batched` the fused encoder is switched off, and attention takes the plain way on the CPU (its fused kernel has
    no batching rule there and would run lane by lane).
    """
    cohort.template.train(training)
    with ExitStack() as stack:
        stack.enter_context(products(cohort.blueprint.device, tf32=cohort.blueprint.tf32))
        if batched:
            stack.enter_context(warnings.catch_warnings())
            warnings.filterwarnings("ignore", message="There is a performance drop", category=UserWarning)
            fast = torch.backends.mha.get_fastpath_enabled()
            torch.backends.mha.set_fastpath_enabled(False)
            stack.callback(torch.backends.mha.set_fastpath_enabled, fast)
            if cohort.blueprint.device.type == "cpu":
                stack.enter_context(sdpa_kernel(SDPBackend.MATH))
        yield
