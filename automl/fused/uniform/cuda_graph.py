"""A training step recorded once per piece and replayed as a CUDA graph, also when lanes come and go.

An epoch's tables (sample indices, mask keys, optimizer coefficients) are copied once into storage that never moves: a
row of 32-bit words and a row of floats for each step. The recorded step takes the row of a counter on the device,
trains, keeps the losses and advances the counter: so the host replays, and does nothing else, and several steps are one
graph.
Without a GPU the same step can run eagerly on the same tables (`record=False`), which is how it is tested.
"""

import copy
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from automl.errors import out_of_memory
from automl.fused.modules.context import Draw, running
from automl.fused.uniform.piece import PieceEpoch

WARM_UP = 3  # steps before the one that is recorded; Triton kernels are compiled in the first
AT_ONCE = 8  # steps of the longer of two graphs, where an epoch has several times as many
LONG = 8 * AT_ONCE


@dataclass
class StepGraphs:
    """The recorded steps of a cohort's pieces. Valid as long as their stepper.

    `record`: False runs every step eagerly on the tables in static storage.
    """

    record: bool = True
    graphs: dict[tuple[int, int], "StepGraph"] = field(default_factory=dict)  # (first row, batch size)
    pool: Any = None  # of memory, for the graphs of all pieces: they run one after another

    def steps_of(self, piece: PieceEpoch) -> Callable[[int], None]:
        """What does the steps of `piece` (made `recordable`), asked for one by one; a partial batch is not replayed."""
        full, graph = len(piece.batches.gathered.chosen), None
        if full:
            key = piece.stepper.first, piece.batch
            graph = self.graphs.get(key)
            if graph is None or graph.tables.steps < full:
                graph = self.graphs[key] = StepGraph(piece, self)
            graph.load(piece)

        def step(s: int) -> None:
            if graph is not None and s < full:
                graph.run(s, full)
                if s == full - 1:
                    graph.take_losses(piece, full)
            else:
                piece.step(s)

        return step

    @property
    def refused(self) -> list[str]:
        """Why steps could not be recorded: a line for each that runs eagerly instead."""
        return [graph.refused for graph in self.graphs.values() if graph.refused]


class StepTables:
    """The tables of up to `steps` steps, and those of a single step, which `take` fills with the counter's row.

    `whole`: 32-bit integers and floats, `[S, width]` each; `row`: the same of a single step; `single`: what its columns
    are, as the tables of a piece whose epoch has one step; `constants`: tables that are the same for all steps.
    """

    def __init__(self, piece: PieceEpoch) -> None:
        tables, constants = _tables(piece)
        self.steps = len(piece.batches.gathered.chosen)
        self.counter = torch.zeros(1, dtype=torch.int64, device=piece.batches.log.device)
        self.whole: list[Tensor] = []
        self.row: list[Tensor] = []
        self.single: list[Tensor] = [torch.empty(0)] * len(tables)
        self.kinds = [[k for k, t in enumerate(tables) if t.is_floating_point() is floats] for floats in (False, True)]
        for members in self.kinds:
            if members:
                dtype = torch.promote_types(tables[members[0]].dtype, tables[members[-1]].dtype)
                dtype = dtype if dtype.is_floating_point else torch.int32
                width = sum(math.prod(tables[k].shape[1:]) for k in members)
                self.whole.append(torch.zeros(self.steps, width, dtype=dtype, device=self.counter.device))
                self.row.append(torch.zeros(1, width, dtype=dtype, device=self.counter.device))
                for k, part in zip(members, self._parts(self.row[-1], tables, members), strict=True):
                    self.single[k] = part
        self.constants = [constant.clone() for constant in constants]
        self.log = torch.zeros_like(piece.batches.log[: self.steps])

    def _parts(self, row: Tensor, tables: Sequence[Tensor], members: Sequence[int]) -> Iterator[Tensor]:
        """The columns of `row` `[S, width]` that belong to each table, in its shape `[S, ...]`."""
        first = 0
        for k in members:
            shape = tables[k].shape[1:]
            part = row[:, first : first + math.prod(shape)]
            yield part.view(len(row), *shape) if len(row) == 1 else part
            first += math.prod(shape)

    def load(self, piece: PieceEpoch) -> None:
        """Copy the tables of an epoch here; it begins with step 0."""
        tables, constants = _tables(piece)
        for members, whole in zip(filter(None, self.kinds), self.whole, strict=True):
            for k, part in zip(members, self._parts(whole, tables, members), strict=True):
                part[: len(tables[k])].copy_(tables[k].reshape(len(tables[k]), -1).view_as(part[: len(tables[k])]))
        for ours, theirs in zip(self.constants, constants, strict=True):
            ours.copy_(theirs)
        self.counter.zero_()

    def take(self) -> None:
        """Make the counter's row the tables of the single step."""
        for row, whole in zip(self.row, self.whole, strict=True):
            torch.index_select(whole, 0, self.counter, out=row)

    def keep(self, losses: Tensor) -> None:
        """Keep the losses `[1, K]` of the step, and go on to the next one."""
        self.log.index_copy_(0, self.counter, losses)
        self.counter.add_(1)


class StepGraph:
    """The full-batch steps of a piece, for every epoch with the same batch size."""

    def __init__(self, piece: PieceEpoch, graphs: StepGraphs) -> None:
        self.tables = StepTables(piece)
        self.single = _single_step(piece, self.tables)
        self.graphs: dict[int, torch.cuda.CUDAGraph] = {}  # steps at once -> their graph
        self.refused = ""  # why the step could not be recorded: it then runs eagerly, on the same tables
        self.ahead = 0  # the first step that is not yet asked for
        if graphs.record:
            self.tables.load(piece)
            try:
                self._record(piece, graphs)
            except RuntimeError as error:
                if out_of_memory(error):
                    raise
                self.graphs.clear()
                self.refused = str(error).splitlines()[0]

    def load(self, piece: PieceEpoch) -> None:
        """Begin an epoch of `piece`, made again since."""
        self.tables.load(piece)
        self.ahead = 0

    def run(self, s: int, full: int) -> None:
        """Do step `s`, and maybe some after it; steps are asked for in their order, up to `full`."""
        if s < self.ahead:
            return
        if self.graphs:
            count = next(n for n in sorted(self.graphs, reverse=True) if s + n <= full)
            self.graphs[count].replay()
        else:
            count = 1
            self._step()
        self.ahead = s + count

    def take_losses(self, piece: PieceEpoch, full: int) -> None:
        """The losses of an epoch's `full` steps, into its log."""
        piece.batches.log[:full].copy_(self.tables.log[:full])

    def _step(self) -> None:
        """The step, with everything that is derived from the tables derived again."""
        single = self.single
        self.tables.take()
        single.context.masks.clear()
        single.batches.prepare_again()
        with running(single.context):
            single.step(0)
        self.tables.keep(single.batches.log)

    def _record(self, piece: PieceEpoch, graphs: StepGraphs) -> None:
        """Warm up on a side stream and record; afterwards the lanes are as they were before."""
        span, cohort = piece.stepper.span, piece.stepper.cohort
        changed = [matrix[span] for matrix in cohort.lasting()]
        before = [m.clone() for m in changed]
        device = cohort.blueprint.device
        with torch.cuda.device(device):
            side = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
            side.wait_stream(torch.cuda.current_stream())
            try:
                with torch.cuda.stream(side):
                    for _ in range(WARM_UP):
                        self._warm_up()
                torch.cuda.current_stream().wait_stream(side)
                for count in (1, *((AT_ONCE,) if self.tables.steps >= LONG else ())):
                    graph = torch.cuda.CUDAGraph()
                    with torch.cuda.graph(graph, pool=graphs.pool):
                        for _ in range(count):
                            self._step()
                    graphs.pool = graph.pool()
                    self.graphs[count] = graph
            finally:
                torch.cuda.current_stream().wait_stream(side)
                for matrix, old in zip(changed, before, strict=True):
                    matrix.copy_(old)
                self.tables.counter.zero_()

    def _warm_up(self) -> None:
        self.tables.counter.zero_()  # an epoch may have fewer steps than a warm-up
        self._step()


def _tables(piece: PieceEpoch) -> tuple[list[Tensor], list[Tensor]]:
    """Everything that steps read besides weights and data: for each of the full batches `[S, ...]`, and for all."""
    context, full = piece.context, len(piece.batches.gathered.chosen)
    keys = [context.keys[:full]] if context.keys.numel() else []
    batches, update = piece.batches.tables(), piece.update.tables()
    by_step = [*batches.by_step, *keys, *(table[:full] for table in update.by_step)]
    return by_step, [*batches.constants, context.limits, context.scales, *update.constants]


def _single_step(piece: PieceEpoch, tables: StepTables) -> PieceEpoch:
    """A copy of `piece` whose tables are those of a single step in `tables`."""
    by_step, constants = iter(tables.single), iter(tables.constants)
    single, context = copy.copy(piece), piece.context
    single.steps, single.batches = 1, piece.batches.one_step(by_step, constants)
    keys = next(by_step) if context.keys.numel() else context.keys[:1]
    limits, scales = next(constants), next(constants)
    single.context = Draw(context.fused, context.size, context.layers, keys, limits, scales, list(context.live))
    single.update = piece.update.one_step(by_step, constants)
    return single
