"""One epoch of a mixed cohort, and its evaluation: as `loop` for lanes of one shape, with the same random numbers.

Lanes are trained PIECE at a time. Shape letters: K lanes, S steps, B batch.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from automl.data.prepared import Part
from automl.fused.lane import Lane
from automl.fused.mixed.cohort import MixedCohort, Tenant
from automl.fused.optim import rules, tables
from automl.fused.optim.param_groups import Scale
from automl.fused.report import summary
from automl.fused.tensors import losses, rng
from automl.fused.tensors.batches import gather
from automl.metrics.batched import Meter
from automl.training.schedules import F64 as Table

F64 = torch.float64
PIECE, CACHE = 32, 1 << 23  # most lanes side by side; bytes of their rows (a bigger lane stands alone)
ROWS = 256  # samples at a time in an evaluation: the same for a trial alone, for the sake of the last bit


class MixedEpoch:
    """`live`: slots that train. After `train()`, by slot: `steps`: updates; `bad`: the first one whose training loss
    was not finite, or -1; `loss`: the mean training loss."""

    def __init__(self, cohort: MixedCohort, kind: str, data: Part) -> None:
        self.cohort, self.kind, self.data = cohort, kind, data
        self.live = [j for j, lane in enumerate(cohort.slots) if lane is not None and lane.fate == "running"]
        self.steps = [0] * cohort.bucket
        self.bad, self.loss = torch.full((cohort.bucket,), -1.0, dtype=F64), torch.zeros(cohort.bucket, dtype=F64)

    @torch.no_grad()
    def train(self) -> None:
        """Run the epoch; lanes have been counted on afterwards."""
        for slots in pieces(self.cohort, self.live):
            piece = MixedPiece(self.cohort, slots, self.kind, self.data)
            piece.train()
            at = list(slots)
            self.bad[at], self.loss[at] = summary(piece.log)
            for slot in slots:
                self.steps[slot] = piece.steps


def pieces(cohort: MixedCohort, live: Sequence[int]) -> list[tuple[int, ...]]:
    """Slots that train side by side: of one batch size, small lanes first, as many as stay in cache together."""
    keys = {k: (tenant.lane.hypers.batch_size, sum(row.nbytes for row in tenant.rows.values()))
            for k in live if (tenant := cohort.tenants[k])}  # fmt: skip
    found: list[tuple[int, ...]] = []
    last, room = 0, 0
    for slot in sorted(live, key=lambda k: (keys[k], k)):
        batch, size = keys[slot]
        if batch != last or len(found[-1]) == PIECE or size > room:
            found.append(())
            last, room = batch, CACHE
        found[-1] += (slot,)
        room -= size
    return found


class MixedPiece:
    """One epoch of some slots of a mixed cohort."""

    def __init__(
        self, cohort: MixedCohort, slots: tuple[int, ...], kind: str, data: Part, steps: int | None = None
    ) -> None:
        self.tenants = [tenant for k in slots if (tenant := cohort.tenants[k]) is not None]
        self.lanes: list[Lane] = [tenant.lane for tenant in self.tenants]
        self.kind, self.data, self.program = kind, data, cohort.program(slots)
        self.hypers = [lane.hypers for lane in self.lanes]
        self.batch = min(self.hypers[0].batch_size, len(data))
        self.full_steps = full = tables.steps_per_epoch(len(data), self.batch)
        self.steps = full if steps is None else min(steps, full)
        self.first, seeds = [lane.step for lane in self.lanes], [lane.seed for lane in self.lanes]
        self.order = rng.permutations(seeds, [lane.epoch for lane in self.lanes], len(data), "cpu")
        self.chosen = tables.batches(self.order, self.batch, self.steps)
        self.rates = tables.rates(self.lanes, self.steps, full)
        self.dtype = self.tenants[0].plan.dtype
        smoothing = rules.column(self.hypers, "label_smoothing")
        self.smoothing = torch.from_numpy(smoothing).to(self.dtype) if smoothing.any() else None
        self.log = torch.zeros(self.steps, len(self.lanes), dtype=self.dtype)
        self.losses = self.log.view(self.steps, -1, 1, 1).unbind(0)
        self.targets = self._prepared_labels()
        self.done = torch.tensor(self.first, dtype=torch.float32)
        gradients = self.program.gradients
        self.updates = [Update(tenant, gradients[j], self.done[j], self.rates[:, j : j + 1])
                        for j, tenant in enumerate(self.tenants)]  # fmt: skip
        self.x = torch.empty(len(self.lanes) * self.batch, *data.x.shape[1:], dtype=data.x.dtype)
        self._draw(seeds)

    def _prepared_labels(self) -> losses.Targets | None:
        data = self.data
        if self.kind != "classification" or data.weight is not None or data.y.dim() != 1 or not self.chosen:
            return None
        return losses.Targets(data.y, self.chosen, len(self.lanes), self.smoothing)

    def _draw(self, seeds: Sequence[int]) -> None:
        layers = list(dict.fromkeys(name for lane in self.lanes for name in lane.drops))
        drops = np.asarray([[lane.drops.get(name, 0.0) for lane in self.lanes] for name in layers])
        drops = drops.reshape(len(layers), len(self.lanes))
        limits, scales = rng.thresholds(drops)
        keys = rng.step_keys(seeds, self.first, self.steps, layers if drops.any() else [])
        self.program.draws(keys, limits, scales, {name: j for j, name in enumerate(layers)}, self.batch)

    def train(self) -> None:
        """All steps; losses are in `log` `[S, K]` afterwards."""
        for s in range(self.steps):
            self._step(s)
        self.program.store(self.steps)
        for lane in self.lanes:
            lane.step += self.steps

    def _step(self, s: int) -> None:
        k, data = len(self.lanes), self.data
        full = s < len(self.chosen)
        if full and self.targets is not None and self.program.classes <= losses.FEW:
            x = torch.index_select(data.x, 0, self.chosen[s], out=self.x).view(k, self.batch, *data.x.shape[1:])
            gradient = self.targets.gradient(self.program.outputs(x, s), s, self.losses[s])
        else:
            x, y, weight = gather(data, self.order[:, s * self.batch : (s + 1) * self.batch])
            loss, gradient = losses.gradient(self.kind, self.program.outputs(x, s), y, weight, self.smoothing)
            self.log[s].copy_(loss)
        self.program.backward(gradient)
        self.done.add_(1.0)
        for update in self.updates:
            update(s)


class NativeScale:
    """torch's own kernel on the parameters of one scale."""

    def __init__(self, scale: Scale, tenant: Tenant, gradient: Tensor, done: Tensor, rates: Table) -> None:
        kernel, rows = rules.RULES[tenant.lane.hypers.optimizer].native, tenant.rows
        assert kernel is not None
        self.kernel, self.hypers, self.done = kernel, scale.of(tenant.lane.hypers), done
        self.rates = (rates[:, 0] * scale.factors.lr).tolist()
        names = rules.RULES[tenant.lane.hypers.optimizer].states
        self.lists = (
            [rows["param"][c] for c in scale.columns], [gradient[c] for c in scale.columns],
            {name: [rows[name][c] for c in scale.columns] for name in names},
        )  # fmt: skip

    def __call__(self, s: int) -> None:
        self.kernel(*self.lists, self.done, self.hypers, self.rates[s])


class RowScale:
    """Our own rule on the parameters of one scale."""

    def __init__(self, scale: Scale, tenant: Tenant, gradient: Tensor, done: Tensor, rates: Table) -> None:
        self.rule, steps = rules.RULES[tenant.lane.hypers.optimizer], len(rates)
        t = tables.counts([tenant.lane.step], steps)
        made = self.rule.tables([scale.of(tenant.lane.hypers)], rates * scale.factors.lr, t)
        self.coefficients = {name: torch.from_numpy(np.array(v)).to(gradient.dtype).view(steps, 1, 1)
                             for name, v in made.items()}  # fmt: skip
        rows, scratch = tenant.rows, torch.empty_like(gradient)
        self.pieces = [
            (rows["param"][None, c], gradient[None, c], {name: rows[name][None, c] for name in self.rule.states},
             scratch[None, c])
            for c in scale.columns
        ]  # fmt: skip

    def __call__(self, s: int) -> None:
        now = {name: table[s] for name, table in self.coefficients.items()}
        for row, gradient, state, scratch in self.pieces:
            self.rule.update(row, gradient, state, now, scratch)


class Update:
    """One lane's clipping, optimizer step and average, on its own rows."""

    def __init__(self, tenant: Tenant, gradient: Tensor, done: Tensor, rates: Table) -> None:
        """`gradient` `[P]`; `done`: a number that counts updates, this one included; `rates` `[S, 1]`."""
        h, rows = tenant.lane.hypers, tenant.rows
        self.rule, self.gradient = rules.RULES[h.optimizer], gradient
        self.row, self.ema = rows["param"], rows.get("ema")
        self.clip = torch.tensor([h.clip], dtype=gradient.dtype) if h.clip > 0 else None
        t = tables.counts([tenant.lane.step], len(rates))
        self.moves = tables.moves(np.asarray([h.ema]), t)[:, 0].tolist()
        kind = NativeScale if self.rule.native is not None else RowScale
        self.scaled = [kind(scale, tenant, gradient, done, rates) for scale in tenant.scales]

    def __call__(self, s: int) -> None:
        if self.clip is not None:
            rules.clip_rows(self.gradient.unsqueeze(0), self.clip)
        for scaled in self.scaled:
            scaled(s)
        if self.ema is not None:
            self.ema.lerp_(self.row, self.moves[s])


@torch.no_grad()
def evaluate_mixed(cohort: MixedCohort, live: Sequence[int], kind: str, data: Part, scale: Tensor | None = None,
                   ranks: Tensor | None = None) -> dict[str, Tensor]:  # fmt: skip
    """Metrics of the lanes in `live` on `data`, name -> `[slots]`; `scale`, `ranks` (slots): see `Meter`."""
    found: dict[str, Tensor] = {}
    wanted = set() if ranks is None else set(ranks.tolist())
    for slots in pieces(cohort, live):
        program = cohort.program(slots, "ema")
        program.load()
        ranked = [j for j, slot in enumerate(slots) if slot in wanted]
        meter = Meter(kind, len(slots), data.x.device, scale, torch.tensor(ranked) if ranked else None)
        for start in range(0, len(data), ROWS):
            span = slice(start, start + ROWS)
            weight = None if data.weight is None else data.weight[span]
            meter.add(program.outputs(data.x[span], None), data.y[span], weight)
        for name, values in meter.result().items():
            found.setdefault(name, torch.zeros(cohort.bucket, dtype=values.dtype))[list(slots)] = values
    return found
