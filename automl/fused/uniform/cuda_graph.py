"""A training step recorded once per bucket and replayed as a CUDA graph; refill and stop change contents only.

The host's tables (sample indices, mask keys, optimizer coefficients) are copied, step by step, into tables of a single
step whose storage never moves; the recorded step reads those. Without a GPU the same step runs eagerly on the same
tables (`record=False`), which is how it is tested.
"""

import copy
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from automl.fused.modules.context import Draw, running

if TYPE_CHECKING:
    from automl.fused.uniform.epoch import PieceEpoch

WARM = 3  # steps before the one that is recorded; Triton kernels are compiled in the first


class StepGraph:
    """One full-batch step of a piece. Good for every epoch with an equal `key`."""

    def __init__(self, epoch: "PieceEpoch", *, record: bool) -> None:
        self.still = _still(epoch)
        self.graph: torch.cuda.CUDAGraph | None = None
        self.refused = ""  # why the step could not be recorded: it then runs eagerly, on the same tables
        if record:
            try:
                self.graph = self._recorded(epoch)
            except torch.cuda.OutOfMemoryError:
                raise
            except RuntimeError as error:
                self.refused = str(error).splitlines()[0]

    @staticmethod
    def key(epoch: "PieceEpoch") -> tuple[object, ...]:
        """What must be equal for a graph to be used again: shapes and which parts of a step exist."""
        return epoch.batch, len(epoch.seeds), tuple(epoch.draw.live), epoch.clip is None, epoch.smoothing is None

    def run(self, epoch: "PieceEpoch", s: int) -> None:
        """Step `s` of `epoch`: contents in, replay, losses out."""
        for target, source in zip(_tables(self.still, 0), _tables(epoch, s), strict=True):
            target.copy_(source)
        if self.graph is None:
            self._step()
        else:
            self.graph.replay()
        epoch.log[s].copy_(self.still.log[0])

    def _step(self) -> None:
        """The step, with everything that was derived from the tables made anew."""
        still = self.still
        still.draw.masks.clear()
        still.targets = still.prepared_labels()
        with running(still.draw):
            still.step(0)

    def _recorded(self, epoch: "PieceEpoch") -> torch.cuda.CUDAGraph:
        """Warm up on a side stream, put the lanes back as they were, and record."""
        span, cohort = epoch.stepper.span, epoch.cohort
        touched = [m[span] for m in (*cohort.rows.values(), *cohort.buffers.values())]
        before = [m.clone() for m in touched]
        side = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        side.wait_stream(torch.cuda.current_stream())
        graph = torch.cuda.CUDAGraph()
        try:
            with torch.cuda.stream(side):
                for _ in range(WARM):
                    self._step()
            torch.cuda.current_stream().wait_stream(side)
            with torch.cuda.graph(graph):
                self._step()
        finally:
            for matrix, old in zip(touched, before, strict=True):
                matrix.copy_(old)
        return graph


def _tables(epoch: "PieceEpoch", s: int) -> list[Tensor]:
    """Everything step `s` reads that is not weights or data."""
    coefficients = [table[s] for tables in epoch.coefficients or () for table in tables.values()]
    kept = [epoch.smoothing, epoch.clip, None if epoch.ema is None else epoch.ema[s]]
    keys = [epoch.draw.keys[s]] if epoch.draw.keys.numel() else []
    return [epoch.chosen[s], *keys, epoch.draw.limits, epoch.draw.scales, *coefficients,
            *(t for t in kept if t is not None)]  # fmt: skip


def _still(epoch: "PieceEpoch") -> "PieceEpoch":
    """`epoch` with tables of a single step, in storage of their own."""
    made, draw = copy.copy(epoch), epoch.draw
    if made.coefficients is None:
        made.coefficients = epoch.coefficients = epoch.coefficient_tables()
    made.native = epoch.native = False  # per-row kernels take their rates from the host
    made.steps, made.log = 1, torch.zeros_like(epoch.log[:1])
    made.losses = made.log.view(1, -1, 1, 1).unbind(0)
    made.chosen = (epoch.chosen[0].clone(),)
    keys, limits, scales = draw.keys[:1].clone(), draw.limits.clone(), draw.scales.clone()
    made.draw = Draw(draw.fused, draw.size, draw.layers, keys, limits, scales, list(draw.live))
    made.coefficients = [{name: table[:1].clone() for name, table in one.items()} for one in made.coefficients]
    made.ema = None if epoch.ema is None else epoch.ema[:1].clone()
    made.smoothing = None if epoch.smoothing is None else epoch.smoothing.clone()
    made.clip = None if epoch.clip is None else epoch.clip.clone()
    made.targets = None
    return made
