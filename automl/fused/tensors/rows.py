"""Where the samples of lanes come from: from memory, in each lane's own order, or streamed, in one order for all.

Where the training part has folds, each lane has rows of its own: those that its fold trains on.

A source is made for some consecutive batches of some lanes. All of its lanes have one batch size.

Shape letters: K lanes, S steps (batches), B batch, N samples.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from automl.data.folds import Folds
from automl.data.prepared import Part
from automl.fused.lane import Lane
from automl.fused.optim.tables import batches
from automl.fused.tensors import losses, rng
from automl.training.samples import order
from automl.training.samples.row_stream import RowStream
from automl.training.samples.units import EPOCH, Unit

Space = Callable[[torch.Size, torch.dtype], Tensor]
BLOCK = 1 << 12
"""Updates of a piece alone whose tables are prepared at a time, where samples are streamed."""


class Source(Protocol):
    """Samples of some lanes, batch by batch. For each step call `x` first; all are good until the next call of `x`."""

    def x(self, s: int) -> Tensor:
        """The inputs `[K, B, ...]` of step `s`; may be overwritten."""

    def y(self, s: int) -> Tensor:
        """The targets `[K, B, ...]`."""

    def weight(self, s: int) -> Tensor | None:
        """The weights `[K, B]`, where there are any."""

    def is_full(self, s: int) -> bool:
        """Whether the batch of step `s` has all B samples."""

    def labels(self, smoothing: Tensor | None) -> losses.Targets | None:
        """Classes prepared for the loss of full batches; None where they are not known before their step."""


@dataclass(frozen=True)
class TrainingRows:
    """The training samples of an engine's lanes, on its device or streamed to it.

    Attributes:
        data: the training part.
        unit: how many of them the lanes train on between two evaluations.
        stream: reads the part, where it is streamed.
    """

    data: Part
    unit: Unit = EPOCH
    stream: RowStream | None = None

    @property
    def device(self) -> torch.device:
        """Where batches are."""
        return self.data.x.device if self.stream is None else self.stream.device

    @property
    def samples(self) -> int:
        """Samples of an epoch: all, or as many as the fold with the most of them has."""
        return self.data.epoch_rows

    def updates(self, batch: int) -> int:
        """Optimizer updates between two evaluations of a lane."""
        return self.unit.updates(self.samples, batch)

    def reading(self, lanes: Sequence[Lane | None]) -> AbstractContextManager[None]:
        """Around the training of `lanes`: what is streamed is read ahead."""
        if self.stream is None:
            return nullcontext()
        found = [(lane, min(lane.hypers.batch_size, self.samples)) for lane in lanes if lane is not None]
        places = {self.place(lane, batch) for lane, batch in found}
        return self.stream.reading(len(places) or 1, max((batch for _, batch in found), default=1))

    def place(self, lane: Lane, batch: int) -> int:
        """The lane's place in the order without end: how many samples it has seen, or passed by."""
        if not self.unit.is_epoch:
            return lane.step * batch
        return lane.epoch * self.samples + (lane.step - lane.epoch * self.updates(batch)) * batch

    def turns(self, batches: Sequence[int], updates: Sequence[int]) -> list[list[int]]:
        """How many updates each of several pieces does, turn by turn, from their batch sizes and all their updates.

        In memory a piece does all of them at once, and stays in cache. Of a stream, each does those of about a shard
        before the next one's turn, so that all of them train on what was read.
        """
        if self.stream is None:
            return [list(updates)]
        each = BLOCK * batches[0] if len(batches) == 1 else self.stream.shard_rows
        done, turns = [0] * len(batches), list[list[int]]()
        while done != list(updates):
            seen = (len(turns) + 1) * each
            reached = [min(total, seen // batch) for total, batch in zip(updates, batches, strict=True)]
            turns.append([now - before for now, before in zip(reached, done, strict=True)])
            done = reached
        return turns

    def source(self, lanes: Sequence[Lane | None], batch: int, steps: int, space: Space) -> Source:
        """The next `steps` batches of `lanes`; `space` makes a tensor without values, kept for later."""
        found = [lane for lane in lanes if lane is not None]
        if self.stream is not None:
            places = [self.place(lane or found[0], batch) if found else 0 for lane in lanes]
            return Shared(self.stream, places, batch, len(self.data) if self.unit.is_epoch else None, space)
        seeds, device = [0 if lane is None else lane.seed for lane in lanes], self.data.x.device
        if self.unit.is_epoch:
            epochs = [0 if lane is None else lane.epoch for lane in lanes]
            drawn = rng.permutations(seeds, epochs, self.samples, device)
        else:
            first = [0 if lane is None else lane.step * batch for lane in lanes]
            drawn = order.drawn(seeds, first, steps * batch, self.samples, device)
        return Gathered(self.data, self._of_folds(drawn, lanes), batch, steps, space)

    def _of_folds(self, drawn: Tensor, lanes: Sequence[Lane | None]) -> Tensor:
        """`drawn` `[K, n]`, numbers below `samples`, as rows that each lane's fold trains on.

        One that has fewer rows sees them once in an epoch, in a random order, and then the first of them again.
        """
        if (folds := self.data.folds) is None:
            return drawn
        for own, lane in zip(drawn, lanes, strict=True):
            rows = folds.train_rows(0 if lane is None else lane.fold).to(drawn.device)
            if len(rows) == self.samples:
                own.copy_(rows[own])
            elif self.unit.is_epoch:
                once = own[own < len(rows)]
                own.copy_(rows[once.repeat(-(-len(own) // max(1, len(once))))[: len(own)]])
            else:
                own.copy_(rows[own % len(rows)])
        return drawn


class Gathered:
    """See `Source`: from memory, by tables of sample indices.

    `order` `[K, N]`: the samples in their order; `table` `[S, K * B]`, `chosen`: those of each full batch.
    """

    def __init__(self, data: Part, order: Tensor, batch: int, steps: int, space: Space) -> None:
        self.data, self.order, self.batch = data, order, batch
        self.table = batches(order, batch, steps)
        self.chosen = self.table.unbind(0)
        lanes, shape = len(order), data.x.shape[1:]
        self.gathered = space(torch.Size((lanes * batch, *shape)), data.x.dtype)
        self.shaped = self.gathered.view(lanes, batch, *shape)

    def x(self, s: int) -> Tensor:
        """See `Source.x`."""
        if not self.is_full(s):
            return self._rest(self.data.x, s)
        torch.index_select(self.data.x, 0, self.chosen[s], out=self.gathered)
        return self.shaped

    def y(self, s: int) -> Tensor:
        """See `Source.y`."""
        return self._values(self.data.y, s)

    def weight(self, s: int) -> Tensor | None:
        """See `Source.weight`."""
        return None if self.data.weight is None else self._values(self.data.weight, s)

    def is_full(self, s: int) -> bool:
        """See `Source.is_full`."""
        return s < len(self.chosen)

    def labels(self, smoothing: Tensor | None) -> losses.Targets | None:
        """See `Source.labels`."""
        data = self.data
        if data.weight is not None or data.y.dim() != 1 or not self.chosen:
            return None
        return losses.Targets(data.y, self.table, len(self.order), smoothing)

    def one_step(self, table: Tensor) -> "Gathered":
        """A copy that reads its indices from `table` `[1, K * B]`, and gathers into the same place."""
        single = Gathered.__new__(Gathered)
        single.__dict__.update(self.__dict__, table=table, chosen=table.unbind(0))
        return single

    def _values(self, values: Tensor, s: int) -> Tensor:
        if not self.is_full(s):
            return self._rest(values, s)
        return values.index_select(0, self.chosen[s]).view(-1, self.batch, *values.shape[1:])

    def _rest(self, values: Tensor, s: int) -> Tensor:
        """Those of a partial batch."""
        return taken(values, self.order[:, s * self.batch : (s + 1) * self.batch])


class Shared:
    """See `Source`: from a stream. Lanes at one place have the same batches, which are read once for all of them.

    `places`: of each lane; `epoch`: samples of an epoch, whose last batch may be smaller; None: all batches are full.
    """

    def __init__(self, stream: RowStream, places: Sequence[int], batch: int, epoch: int | None, space: Space) -> None:
        self.stream, self.places, self.batch, self.space = stream, places, batch, space
        self.distinct = list(dict.fromkeys(places))
        self.lane_parts = [self.distinct.index(place) for place in places]
        self.left = None if epoch is None else epoch - places[0] % epoch  # lanes of one piece are equally far in theirs
        self.parts: list[Part] = []

    def x(self, s: int) -> Tensor:
        """See `Source.x`."""
        count = self.batch if self.left is None else min(self.batch, self.left - s * self.batch)
        self.parts = [self.stream.take(place + s * self.batch, count) for place in self.distinct]
        x = self.parts[0].x
        into = self.space(torch.Size((len(self.places), *x.shape)), x.dtype)
        if len(self.parts) == 1:
            return into.copy_(x)
        for row, part in zip(into, self.lane_parts, strict=True):
            row.copy_(self.parts[part].x)
        return into

    def y(self, s: int) -> Tensor:
        """See `Source.y`."""
        return self._values([part.y for part in self.parts])

    def weight(self, s: int) -> Tensor | None:
        """See `Source.weight`."""
        weights = [part.weight for part in self.parts if part.weight is not None]
        return self._values(weights) if weights else None

    def is_full(self, s: int) -> bool:
        """See `Source.is_full`."""
        return self.left is None or (s + 1) * self.batch <= self.left

    def labels(self, smoothing: Tensor | None) -> None:
        """See `Source.labels`."""

    def _values(self, values: Sequence[Tensor]) -> Tensor:
        if len(values) == 1:
            return values[0].expand(len(self.places), *values[0].shape)
        return torch.stack([values[part] for part in self.lane_parts])


def held_rows(lanes: Sequence[Lane | None], folds: Folds, device: torch.device) -> tuple[Tensor, list[int]]:
    """int64 `[K, M]`: what the fold of each lane holds out, as indices of the validation part; and how many they are.

    M: the most of them; lanes with fewer have their first one again in the places that are left.
    """
    found = [folds.held_rows(0 if lane is None else lane.fold) for lane in lanes]
    most = max(map(len, found))
    padded = [torch.cat([rows, rows[:1].expand(most - len(rows))]) for rows in found]
    return torch.stack(padded).to(device), [len(rows) for rows in found]


def training_rows(data: Part | TrainingRows) -> TrainingRows:
    """Training samples of which lanes see all in an epoch, where nothing else is said."""
    return data if isinstance(data, TrainingRows) else TrainingRows(data)


def taken(values: Tensor, chosen: Tensor) -> Tensor:
    """`values` of the samples `chosen` `[K, B]`: `[K, B, ...]`."""
    return values.index_select(0, chosen.reshape(-1)).view(*chosen.shape, *values.shape[1:])
