"""One epoch of all lanes of a cohort: each lane's own order, masks, schedule and optimizer step; then one evaluation.

The host prepares tables for the whole epoch (orders, mask keys, optimizer coefficients); a step only indexes them. All
lanes of a cohort have the same batch size and the same data, so they meet the last, partial batch together. A last
batch of a single sample is left out (batch norm has no variance there).

Shape letters: K lanes, S steps, B batch, N samples, P parameters.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager

import numpy as np
import torch
from torch import Tensor

from automl.data.prepared import Part
from automl.fused.lane import Lane
from automl.fused.modules.context import Draw, running
from automl.fused.optim import rules
from automl.fused.optim.launch import launched
from automl.fused.optim.param_groups import Scale
from automl.fused.optim.tables import batches, counts, moves, rates, steps_per_epoch
from automl.fused.tensors import losses, rng
from automl.fused.tensors.batches import gather
from automl.fused.uniform.cohort import Cohort
from automl.fused.uniform.cuda_graph import StepGraph
from automl.fused.uniform.stepper import Piece, SoloStepper, Stepper, mode
from automl.metrics.batched import Meter
from automl.training.hyperparameters import Hyperparameters
from automl.training.schedules import F64

IDLE = Hyperparameters(lr=0.0, weight_decay=0.0)


class Epoch:
    """One epoch of a cohort, piece after piece: lanes do not know each other, so each piece stays in cache.

    `live`: slots that train; `steps`: updates; `log` `[S, K]`: training losses, after `train()`.
    """

    def __init__(self, cohort: Cohort, stepper: Stepper, kind: str, data: Part, steps: int | None = None) -> None:
        self.cohort, self.stepper = cohort, stepper
        self.kind, self.data, self.most = kind, data, steps
        self.live = [j for j, lane in enumerate(cohort.slots) if lane is not None and lane.fate == "running"]
        self.steps, self.log = 0, torch.empty(0)

    def train(self) -> None:
        """Run the epoch's steps; lanes have been counted on afterwards."""
        logs = []
        with mode(self.stepper, True):
            for piece in self.stepper.pieces:
                part = PieceEpoch(self.cohort, piece, self.kind, self.data, self.most)
                if part.live:
                    part.train()
                self.steps = part.steps
                logs.append(part.log)
        self.log = torch.cat(logs, 1)


class PieceEpoch:
    """The tables of one epoch of one piece; `train()` runs it. Slots are counted from the piece's first."""

    def __init__(self, cohort: Cohort, stepper: Piece, kind: str, data: Part, steps: int | None = None) -> None:
        self.cohort, self.stepper, self.kind, self.data = cohort, stepper, kind, data
        k, device = stepper.size, cohort.blueprint.device
        slots = cohort.slots[stepper.span]
        lanes = [lane if lane is not None and lane.fate == "running" else None for lane in slots]
        self.lanes = lanes
        self.hypers = [IDLE if lane is None else lane.hypers for lane in lanes]
        self.batch = max((lane.hypers.batch_size for lane in cohort.lanes), default=1)
        self.batch = min(self.batch, len(data))
        self.full_steps = steps_per_epoch(len(data), self.batch)
        self.steps = self.full_steps if steps is None else min(steps, self.full_steps)
        self.live = [j for j, lane in enumerate(lanes) if lane is not None]
        self.first = [0 if lane is None else lane.step for lane in lanes]
        self.seeds = [0 if lane is None else lane.seed for lane in lanes]
        epochs = [0 if lane is None else lane.epoch for lane in lanes]
        self.order = rng.permutations(self.seeds, epochs, len(data), device)
        self.chosen = batches(self.order, self.batch, self.steps)
        self.rates = rates(lanes, self.steps, self.full_steps)
        self.smoothing = self._optional("label_smoothing")
        clip = rules.column(self.hypers, "clip")
        self.clip = None if not (clip.any() or self._one_graph()) else self._tensor(np.where(clip > 0, clip, np.inf))
        self.draw = self._draws(lanes)
        self.log = torch.zeros(self.steps, k, device=device, dtype=cohort.plan.dtype)
        self.losses = self.log.view(self.steps, k, 1, 1).unbind(0)
        self.targets = self.prepared_labels()
        shape = torch.Size((k * self.batch, *data.x.shape[1:]))
        self.room = self.draw.space(shape, data.x.dtype, "batch")  # where a full batch of all lanes is gathered
        self.x = self.room.view(k, self.batch, *data.x.shape[1:])  # the same, lane by lane
        self.graphed = stepper.fused and device.type == "cuda"
        self.native = cohort.rule.native is not None and device.type in ("cpu",)
        self.coefficients = None if self.native else self.coefficient_tables()
        self.ema = None
        if cohort.ema:
            far = moves(rules.column(self.hypers, "ema"), counts(self.first, self.steps))
            self.ema = self._tensor(far).unsqueeze(-1)

    def prepared_labels(self) -> losses.Targets | None:
        """Prepared labels of the full batches, where the loss is an unweighted cross-entropy."""
        data = self.data
        if self.kind != "classification" or data.weight is not None or data.y.dim() != 1 or not self.chosen:
            return None
        return losses.Targets(data.y, self.chosen, self.stepper.size, self.smoothing)

    def _tensor(self, values: F64) -> Tensor:
        return torch.from_numpy(np.array(values, order="C")).to(self.cohort.blueprint.device, self.cohort.plan.dtype)

    def _one_graph(self) -> bool:
        """On a GPU every optional part of a step always runs, so that one recorded graph serves any lanes."""
        return self.stepper.fused and self.cohort.blueprint.device.type == "cuda"

    def _optional(self, name: str) -> Tensor | None:
        values = rules.column(self.hypers, name)
        return self._tensor(values) if values.any() or self._one_graph() else None

    def _draws(self, lanes: list[Lane | None]) -> Draw:
        layers, device = self.cohort.layers, self.cohort.blueprint.device
        drops = np.asarray([[0.0 if lane is None else lane.drops[name] for lane in lanes] for name in layers])
        drops = drops.reshape(len(layers), len(lanes))
        limits, scales = rng.thresholds(drops)
        live = [bool(row.any() or self._one_graph()) for row in drops]
        keys = rng.step_keys(self.seeds, self.first, self.steps, layers if any(live) else []).to(device)
        index = {name: j for j, name in enumerate(layers)}
        return Draw(self.stepper.fused, len(lanes), index, keys, limits.to(device), scales.to(device), live,
                    spaces=self.stepper.spaces)  # fmt: skip

    def coefficient_tables(self) -> list[dict[str, Tensor]]:
        """The optimizer's coefficients, name -> `[S, K, 1]`, for each of the cohort's scales."""
        t, rule, made = counts(self.first, self.steps), self.cohort.rule, []
        for scale in self.cohort.scales:
            tables = rule.tables([scale.of(h) for h in self.hypers], self.rates * scale.factors.lr, t)
            made.append({name: self._tensor(table).unsqueeze(-1) for name, table in tables.items()})
        return made

    def train(self) -> None:
        """Run the piece's steps; losses are in `log` `[S, K]` afterwards, and lanes have been counted on."""
        with running(self.draw), ExitStack() as stack:
            reseed = None if self.stepper.fused else stack.enter_context(self._own_torch_numbers())
            for s in range(self.steps):
                if reseed is not None:
                    reseed(s)
                self._do(s)
        for j in self.live:
            lane = self.lanes[j]
            assert lane is not None
            lane.step += self.steps

    @contextmanager
    def _own_torch_numbers(self) -> Iterator[Callable[[int], None]]:
        """Before each step of a lane alone: torch's own generators follow from (lane seed, step)."""
        device = self.cohort.blueprint.device
        cuda = device.type == "cuda"
        generators = [torch.default_generator]
        if cuda:
            generators.append(torch.cuda.default_generators[device.index or 0])
        words = rng.step_keys(self.seeds, self.first, self.steps, ["torch"])
        seeds = words[:, 0, :, 0].contiguous().view(torch.int64)[:, 0].tolist()

        def reseed(s: int) -> None:
            for generator in generators:
                generator.manual_seed(seeds[s])

        with torch.random.fork_rng(devices=[device.index or 0] if cuda else []):
            yield reseed

    def _do(self, s: int) -> None:
        """Step `s`, from the recorded graph where there is one."""
        if not self.graphed or s >= len(self.chosen):
            self.step(s)
            return
        key = StepGraph.key(self)
        if key not in self.stepper.graphs:
            self.stepper.graphs[key] = StepGraph(self, record=self.cohort.blueprint.device.type == "cuda")
        self.stepper.graphs[key].run(self, s)

    def step(self, s: int) -> None:
        """One update of all lanes: batch, forward, loss, backward, clipping, optimizer, average."""
        full = s < len(self.chosen)
        if full:
            torch.index_select(self.data.x, 0, self.chosen[s], out=self.room)
            x = self.x
        else:
            x, y, weight = gather(self.data, self.order[:, s * self.batch : (s + 1) * self.batch])
        self.draw.step = s
        out = self.stepper.outputs(self.draw, x)
        seen = out.detach() if out.requires_grad else out
        if full and self.targets is not None and out.dim() == 3 and out.shape[-1] <= losses.FEW:
            gradient = self.targets.gradient(seen, s, self.losses[s])
        else:
            if full:
                y, weight = self._labels(s)
            loss, gradient = losses.gradient(self.kind, seen, y, weight, self.smoothing)
            self.log[s].copy_(loss)
        self.stepper.backward(self.draw, out, gradient)
        with torch.no_grad():
            self._update(s)

    def _labels(self, s: int) -> tuple[Tensor, Tensor | None]:
        k, data = self.stepper.size, self.data
        y = data.y.index_select(0, self.chosen[s]).view(k, self.batch, *data.y.shape[1:])
        weight = None if data.weight is None else data.weight.index_select(0, self.chosen[s]).view(k, self.batch)
        return y, weight

    def _update(self, s: int) -> None:
        if isinstance(self.stepper, SoloStepper):
            self._update_solo(self.stepper, s)
        else:
            if self.clip is not None:
                rules.clip_rows(self._rows("grad"), self.clip)
            if self.native:
                self._update_native(s)
            else:
                self._update_rows(s)
        if self.ema is not None:
            self._rows("ema").lerp_(self._rows("param"), self.ema[s])

    def _rows(self, name: str) -> Tensor:
        return self.cohort.rows[name][self.stepper.span]

    def _update_rows(self, s: int) -> None:
        assert self.coefficients is not None
        rule = self.cohort.rule
        for scale, tables in zip(self.cohort.scales, self.coefficients, strict=True):
            now = {name: table[s] for name, table in tables.items()}
            for columns in scale.columns:
                param, grad, scratch = (self._rows(name)[:, columns] for name in ("param", "grad", "scratch"))
                state = {name: self._rows(name)[:, columns] for name in rule.states}
                if not launched(self.cohort.optimizer, param, grad, state, now):
                    rule.update(param, grad, state, now, scratch)

    def _update_native(self, s: int) -> None:
        kernel = self.cohort.rule.native
        assert kernel is not None
        if s == 0:
            self.row_lists, self.row_rates = self._rows_as_lists(), self.rates.tolist()
        rates = self.row_rates[s]
        self.row_steps.add_(1.0)
        for j, step, factor, h, p, g, state in self.row_lists:
            kernel(p, g, state, step, h, rates[j] * factor)

    def _rows_as_lists(
        self,
    ) -> list[tuple[int, Tensor, float, Hyperparameters, list[Tensor], list[Tensor], Mapping[str, list[Tensor]]]]:
        """For each live lane and scale: slot, update number, rate factor, hyperparameters, and its rows in pieces."""
        self.row_steps = torch.tensor(self.first, dtype=torch.float32)
        steps = self.row_steps.unbind(0)
        states = self.cohort.rule.states
        rows = {name: self._rows(name).unbind(0) for name in ("param", "grad", *states)}

        def pieces(name: str, j: int, scale: Scale) -> list[Tensor]:
            return [rows[name][j][columns] for columns in scale.columns]

        return [
            (j, steps[j], scale.factors.lr, scale.of(self.hypers[j]), pieces("param", j, scale),
             pieces("grad", j, scale), {name: pieces(name, j, scale) for name in states})
            for j in self.live for scale in self.cohort.scales
        ]  # fmt: skip

    def _update_solo(self, stepper: SoloStepper, s: int) -> None:
        h, device = self.hypers[0], self.cohort.blueprint.device
        if h.clip > 0:
            torch.nn.utils.clip_grad_norm_(list(stepper.leaves.values()), h.clip)
        kernel = self.cohort.rule.native
        if kernel is None:
            stepper.collect()
            if self.coefficients is None:
                self.coefficients = self.coefficient_tables()
            self._update_rows(s)
            return
        if s == 0:
            views = {n: self.cohort.plan.row_views(self.cohort.rows[n][0]) for n in self.cohort.rule.states}
            self.solo_states = [
                {n: [v[name] for name in scale.names] for n, v in views.items()} for scale in self.cohort.scales
            ]
            self.solo_step = torch.tensor(float(self.first[0]), device=device)
        self.solo_step.add_(1.0)
        for scale, state in zip(self.cohort.scales, self.solo_states, strict=True):
            leaves = [stepper.leaves[name] for name in scale.names]
            parameters = [leaf.detach() for leaf in leaves]
            gradients = [torch.zeros_like(leaf) if leaf.grad is None else leaf.grad for leaf in leaves]
            rate = float(self.rates[s, 0]) * scale.factors.lr
            kernel(parameters, gradients, state, self.solo_step, scale.of(h), rate)


def evaluate(
    cohort: Cohort,
    stepper: Stepper,
    kind: str,
    data: Part,
    scale: Tensor | None = None,
    ranks: Tensor | None = None,
    rows_at_once: int = 16384,
) -> dict[str, Tensor]:
    """Metrics of all lanes on `data`, name -> `[K]`, in chunks of at most `rows_at_once` lane samples.

    `scale`, `ranks`: see `Meter`.
    """
    meter = Meter(kind, cohort.bucket, cohort.blueprint.device, scale, ranks)
    chunk = max(1, min(len(data), rows_at_once // cohort.bucket))
    with mode(stepper, False):
        for start in range(0, len(data), chunk):
            x, y = data.x[start : start + chunk], data.y[start : start + chunk]
            weight = None if data.weight is None else data.weight[start : start + chunk]
            meter.add(stepper.predict(x), y, weight)
    return meter.result()
