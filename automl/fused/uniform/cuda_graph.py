"""A training step recorded once per piece and replayed as a CUDA graph, also when lanes come and go.

The host's tables (sample indices, mask keys, optimizer coefficients) are copied, step by step, into tables of a single
step whose storage never moves; the recorded step reads those. Without a GPU the same step can run eagerly on the same
tables (`record=False`), which is how it is tested.
"""

import copy
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from automl.fused.modules.context import Draw, running
from automl.fused.uniform.piece import PieceEpoch

WARM_UP = 3  # steps before the one that is recorded; Triton kernels are compiled in the first


@dataclass
class StepGraphs:
    """The recorded steps of a cohort's pieces. Valid as long as their stepper.

    `record`: False runs every step eagerly on the tables of a single step.
    """

    record: bool = True
    graphs: dict[tuple[int, int], "StepGraph"] = field(default_factory=dict)  # (first row, batch size)

    def step_of(self, piece: PieceEpoch) -> Callable[[int], None]:
        """What does one step of `piece` (made `recordable`), given its number; a partial batch is not replayed."""
        key = piece.stepper.first, piece.batch

        def step(s: int) -> None:
            if s >= len(piece.batches.chosen):
                piece.step(s)
                return
            if key not in self.graphs:
                self.graphs[key] = StepGraph(piece, record=self.record)
            self.graphs[key].run(piece, s)

        return step

    @property
    def refused(self) -> list[str]:
        """Why steps could not be recorded: a line for each that runs eagerly instead."""
        return [graph.refused for graph in self.graphs.values() if graph.refused]


class StepGraph:
    """One full-batch step of a piece, for every epoch with the same batch size."""

    def __init__(self, piece: PieceEpoch, *, record: bool) -> None:
        self.single = _single_step(piece)
        self.graph: torch.cuda.CUDAGraph | None = None
        self.refused = ""  # why the step could not be recorded: it then runs eagerly, on the same tables
        if record:
            try:
                self.graph = self._recorded(piece)
            except torch.cuda.OutOfMemoryError:
                raise
            except RuntimeError as error:
                self.refused = str(error).splitlines()[0]

    def run(self, piece: PieceEpoch, s: int) -> None:
        """Step `s` of `piece`: copy its tables in, replay, copy the losses out."""
        for target, source in zip(_tables(self.single, 0), _tables(piece, s), strict=True):
            target.copy_(source)
        if self.graph is None:
            self._step()
        else:
            self.graph.replay()
        piece.batches.log[s].copy_(self.single.batches.log[0])

    def _step(self) -> None:
        """The step, with everything that is derived from the tables derived again."""
        single = self.single
        single.context.masks.clear()
        single.batches.prepare_again()
        with running(single.context):
            single.step(0)

    def _recorded(self, piece: PieceEpoch) -> torch.cuda.CUDAGraph:
        """Warm up on a side stream and record; afterwards the lanes are as they were before."""
        span, cohort = piece.stepper.span, piece.stepper.cohort
        changed = [matrix[span] for matrix in cohort.lasting()]
        before = [m.clone() for m in changed]
        side = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        side.wait_stream(torch.cuda.current_stream())
        graph = torch.cuda.CUDAGraph()
        try:
            with torch.cuda.stream(side):
                for _ in range(WARM_UP):
                    self._step()
            torch.cuda.current_stream().wait_stream(side)
            with torch.cuda.graph(graph):
                self._step()
        finally:
            for matrix, old in zip(changed, before, strict=True):
                matrix.copy_(old)
        return graph


def _tables(piece: PieceEpoch, s: int) -> list[Tensor]:
    """Everything that step `s` reads besides weights and data."""
    keys = [piece.context.keys[s]] if piece.context.keys.numel() else []
    context = piece.context
    return [*piece.batches.tables(s), *keys, context.limits, context.scales, *piece.update.tables(s)]


def _single_step(piece: PieceEpoch) -> PieceEpoch:
    """A copy of `piece` whose tables have a single step, in storage of their own."""
    single, context = copy.copy(piece), piece.context
    single.steps, single.batches = 1, piece.batches.one_step()
    keys, limits, scales = context.keys[:1].clone(), context.limits.clone(), context.scales.clone()
    single.context = Draw(context.fused, context.size, context.layers, keys, limits, scales, list(context.live))
    single.update = piece.update.one_step()
    return single
