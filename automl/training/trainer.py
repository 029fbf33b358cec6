"""One trial trained alone: an epoch at a time, resumable exactly, everything random a function of the trial's seed."""

import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from automl import metrics
from automl.core import seeds
from automl.data.prepared import Part, Prepared
from automl.models import mup
from automl.training import augment, batches, losses, optimizers, schedules
from automl.training.distributed.ddp import Rank, local
from automl.training.hyperparameters import read
from automl.training.precision import Runner, Settings

EVAL_VALUES = 2**22
"""Most values (samples times inputs, or tokens times outputs) that go through the model at once when evaluating."""


Build = Callable[..., nn.Module]


class Solo:
    """`Solo(build, prepared, config, epochs, seed, device)`, then `epoch()` until `self.done == epochs`.

    The data lies on the device as tensors, or is streamed to it where it does not fit into memory. Random numbers are
    derived from `seed` and the epoch's number alone, so a trainer that was loaded from a state goes on exactly as the
    one that was saved. `rank`: this process trains on its share of every batch, beside others (see `parallel`).
    Where the model is `sharded` among them, every method is called by all ranks; `weights` and `state` are rank 0's.
    """

    def __init__(
        self,
        build: Build,
        prepared: Prepared,
        config: Mapping[str, Any],
        epochs: int,
        seed: int,
        device: torch.device | str = "cpu",
        settings: Settings | None = None,
        rank: Rank | None = None,
    ) -> None:
        self.prepared, self.config, self.epochs, self.seed = prepared, dict(config), epochs, seed
        self.device, self.options, self.done = torch.device(device), read(config), 0
        self.rank, settings = rank, settings or Settings()
        with self._random("init"):
            self.model = build(self.config, prepared.inputs, prepared.outputs)
        factors, matrices = self._parametrization(build)
        self.sharded = rank is not None and rank.shards(self.model, self.device, settings.parallel)
        if not self.sharded:  # what is sharded is moved block by block
            self.model.to(self.device)
        wrap = None if rank is None else rank.shard if self.sharded else rank.wrap
        self.runner = Runner(self.model, self.device, settings, wrap, self.sharded)
        self.parameters = list(self.model.parameters())  # those that the wrapping left
        self.strengths = augment.read(self.config, self.runner.settings.augment)
        augment.check(self.strengths, prepared.inputs)
        self.optimizers = optimizers.make(self.model.named_parameters(), self.options, factors, matrices)
        self.average = {k: v.clone() for k, v in self.model.state_dict().items()} if self.options.ema else None
        self.train, self.val = batches.of(prepared.train, self.device), batches.resident(prepared.val, self.device)
        self.batch = min(self.options.batch_size, len(self.train))
        self.micro = self.batch  # samples at once; less after memory ran out
        # A single sample left over has no variance for a batch norm: it waits for the next epoch's order.
        self.batches = max(1, (len(self.train) - 2) // self.batch + 1) if self.batch > 1 else len(self.train)

    def _parametrization(self, build: Build) -> tuple[dict[str, mup.Factors] | None, frozenset[str]]:
        """Under `parametrization: mup`: weights rescaled, and what the optimizers are to multiply."""
        if self.config.get("parametrization", "standard") != "mup":
            return None, frozenset()
        found = mup.roles(build, self.config, self.prepared.inputs, self.prepared.outputs)
        mup.rescale(self.model, found)
        return mup.factors(found, self.options.optimizer), mup.hidden(found)

    def epoch(self) -> dict[str, float]:
        """Train one epoch; the report after it: `train_loss`, `val_loss` and every `val_` metric of the kind."""
        return {"train_loss": self.train_epoch(), **self.evaluate(self.val, "val_")}

    def train_epoch(self) -> float:
        """Train one epoch; its mean training loss."""
        order = self.train.epoch(self.batch, self._generator("order"))
        self.model.train()
        started = time.perf_counter()
        total = torch.zeros((), device=self.device)
        horizon, first = self.epochs * self.batches, self.done * self.batches
        warmup = schedules.warmup_steps(self.options.warmup, horizon, self.epochs)
        factors = schedules.factors(self.options.schedule, first, self.batches, horizon, warmup).tolist()
        with self._random("epoch"), self.runner.matrices():
            for k, (factor, batch) in enumerate(zip(factors, order, strict=False)):  # a single last row is left out
                optimizers.set_rate(self.optimizers, factor)
                total += self._step(batch, first + k)
        self.done += 1
        if self.done == 1:
            self.runner.consider((time.perf_counter() - started) * (self.epochs - 1))
        if self.rank is not None:
            total = self.rank.mean(total)
        return float(total) / self.batches

    def _step(self, batch: Part, step: int) -> Tensor:
        batch, share = (batch, None) if self.rank is None else self.rank.share(batch)
        x, y, weight = self._varied(batch)
        self._forget()
        loss = self._gradients(x, y, weight) if share is None else self._piece(x, y, weight, share)
        scaler = self.runner.scaler
        if self.options.clip:
            for optimizer in self.optimizers:
                scaler.unscale_(optimizer)
            nn.utils.clip_grad_norm_(self.parameters, self.options.clip)
        for optimizer in self.optimizers:
            scaler.step(optimizer)
        scaler.update()
        if self.average is not None:
            self._follow(step)
        return loss

    def _varied(self, batch: Part) -> tuple[Tensor, Tensor, Tensor | None]:
        """x, y and weight, augmented."""
        x, y, weight, strengths = batch.x, batch.y, batch.weight, self.strengths
        if strengths:
            u = torch.rand(len(x), augment.DRAWS, device=x.device)
            noise = torch.randn_like(x) if "noise" in strengths else None
            x, own = augment.apply(x, strengths, self.prepared.inputs, u, noise)
            if "mixup" in strengths or "cutmix" in strengths:
                y = augment.mixed_targets(self.prepared.kind, y, own, int(self.prepared.outputs))
        return x, y, weight

    def _gradients(self, x: Tensor, y: Tensor, weight: Tensor | None) -> Tensor:
        """Loss and gradients of a batch; in smaller pieces when memory runs out and the settings allow it."""
        try:
            if self.micro >= len(x):
                return self._piece(x, y, weight, None)
            shares = torch.ones(len(x), device=self.device) if weight is None else weight
            shares = shares / shares.sum().clamp_min(1e-12)
            total = torch.zeros((), device=self.device)
            for k in range(0, len(x), self.micro):
                piece = slice(k, k + self.micro)
                part = None if weight is None else weight[piece]
                total += self._piece(x[piece], y[piece], part, shares[piece].sum())
            return total
        except torch.OutOfMemoryError:
            if self.runner.settings.oom != "accumulate" or self.micro == 1:
                raise
        self.micro = max(1, self.micro // 2)
        self._forget()
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        return self._gradients(x, y, weight)

    def _forget(self) -> None:
        for p in self.parameters:  # what zero_grad does, less its bookkeeping
            p.grad = None

    def _piece(self, x: Tensor, y: Tensor, weight: Tensor | None, share: Tensor | None) -> Tensor:
        loss = losses.loss(self.prepared.kind, self.runner(x), y, weight, self.options.label_smoothing)
        loss = loss if share is None else loss * share.to(loss.dtype)
        self.runner.scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
        return loss.detach()

    def _follow(self, step: int) -> None:
        """Move the average towards the weights; early on with a faster decay, so that the start is soon forgotten."""
        assert self.average is not None
        decay = min(self.options.ema, (1 + step) / (10 + step))
        for name, value in self.model.state_dict().items():
            mean, now = local(self.average[name]), local(value)
            if value.is_floating_point():
                mean.lerp_(now, 1 - decay)
            else:
                mean.copy_(now)

    def evaluate(self, part: Part, prefix: str = "") -> dict[str, float]:
        """Loss (without smoothing) and metrics of `part`, with the averaged weights where they are kept."""
        part = batches.resident(part, self.device)
        with self._averaged():
            found = self._language(part) if self.prepared.kind == "next_token" else self._measured(part)
        return {prefix + name: value for name, value in found.items()}

    def _measured(self, part: Part) -> dict[str, float]:
        outputs = self._forward(part.x)
        scale = self.prepared.target_scale.to(self.device) if self.prepared.kind == "regression" else None
        found = metrics.compute(self.prepared.kind, outputs, part.y, part.weight, scale=scale)
        weight = None if part.weight is None else part.weight / part.weight.mean()
        return {"loss": float(losses.loss(self.prepared.kind, outputs, part.y, weight)), **found}

    def _language(self, part: Part) -> dict[str, float]:
        """Loss, perplexity and accuracy of the next token, a piece at a time: all logits together are too large."""
        sums = torch.zeros(2, dtype=torch.float64, device=self.device)
        for x, y in zip(self._pieces(part.x), self._pieces(part.y), strict=True):
            logits = self._call(x)
            sums[0] += losses.loss("next_token", logits, y).double() * len(y)
            sums[1] += (logits.argmax(-1) == y).double().mean() * len(y)
        loss, accuracy = (sums / len(part)).tolist()
        return {"loss": loss, "perplexity": math.exp(min(loss, 700.0)), "accuracy": accuracy}

    def predict(self, x: Tensor) -> Tensor:
        """Logits or standardised values for prepared samples `x` [N, ...]; on the CPU."""
        with self._averaged():
            return self._forward(x).cpu()

    def weights(self) -> dict[str, Tensor]:
        """The weights to keep: averaged where an average is kept; on the CPU, in names of the plain module."""
        if self.sharded:
            from automl.training.distributed import fsdp

            with self._averaged():
                return fsdp.weights(self.model)
        kept = self.average if self.average is not None else self.model.state_dict()
        return {name: value.detach().cpu().clone() for name, value in kept.items()}

    def state(self) -> dict[str, Any]:
        """Everything that `load` needs to go on exactly; tensors on the CPU."""
        return {
            "epoch": self.done,
            **(self._gathered() if self.sharded else self._own()),
            "scaler": self.runner.scaler.state_dict(),
            "micro": self.micro,
        }

    def _own(self) -> dict[str, Any]:
        return {
            "model": _to_cpu(self.model.state_dict()),
            "optimizers": [_to_cpu(optimizer.state_dict()) for optimizer in self.optimizers],
            "average": _to_cpu(self.average),
        }

    def _gathered(self) -> dict[str, Any]:
        """What `_own` would be if the model were in one piece."""
        from automl.training.distributed import fsdp

        return {
            "model": fsdp.weights(self.model),
            "optimizers": [fsdp.optimizer_state(self.model, optimizer) for optimizer in self.optimizers],
            "average": None if self.average is None else self.weights(),
        }

    def load(self, state: dict[str, Any]) -> None:
        """Take up a `state()` of the same config and data."""
        self.done, self.micro = int(state["epoch"]), int(state["micro"])
        self.runner.scaler.load_state_dict(state["scaler"])
        if self.sharded:
            self._scatter(state)
            return
        self.model.load_state_dict(state["model"])
        for optimizer, saved in zip(self.optimizers, state["optimizers"], strict=True):
            with optimizers.own_kernels(optimizer):
                optimizer.load_state_dict(saved)
        if self.average is not None:
            self.average = {name: value.to(self.device, copy=True) for name, value in state["average"].items()}

    def _scatter(self, state: dict[str, Any]) -> None:
        from automl.training.distributed import fsdp

        if self.average is not None:
            fsdp.load_weights(self.model, state["average"])
            self.average = {name: value.clone() for name, value in self.model.state_dict().items()}
        fsdp.load_weights(self.model, state["model"])
        for optimizer, saved in zip(self.optimizers, state["optimizers"], strict=True):
            with optimizers.own_kernels(optimizer):
                fsdp.load_optimizer_state(self.model, optimizer, saved)

    @contextmanager
    def _averaged(self) -> Iterator[None]:
        """Averaged weights of a sharded model inside it, as its blocks gather their own; else `_call` uses them."""
        if self.sharded and self.average is not None:
            from automl.training.distributed import fsdp

            with fsdp.instead(self.model, self.average):
                yield
        else:
            yield

    def _forward(self, x: Tensor) -> Tensor:
        return torch.cat([self._call(piece.to(self.device)) for piece in self._pieces(x)])

    def _call(self, x: Tensor) -> Tensor:
        self.model.eval()
        with torch.no_grad():
            if self.average is None or self.sharded:
                return self.runner(x).float()
            with self.runner.cast():
                return self._with(self.average, x).float()

    def _with(self, weights: dict[str, Tensor], x: Tensor) -> Tensor:
        """What the model makes of `x` with other weights; each name of a shared tensor has an equal one of its own."""
        out: Tensor = torch.func.functional_call(self.model, weights, (x,), tie_weights=False)
        return out

    def _pieces(self, x: Tensor) -> tuple[Tensor, ...]:
        each = int(self.prepared.inputs) * (int(self.prepared.outputs) if self.prepared.kind == "next_token" else 1)
        return torch.split(x, max(1, EVAL_VALUES // each))

    def _generator(self, purpose: str) -> torch.Generator:
        return torch.Generator().manual_seed(seeds.derive(self.seed, purpose, self.done))

    @contextmanager
    def _random(self, purpose: str) -> Iterator[None]:
        """torch's own random numbers inside: a function of seed, purpose, epoch and rank; outside: untouched."""
        own = (self.rank.rank,) if self.rank and self.rank.rank and purpose != "init" else ()
        devices = [self.device] if self.device.type == "cuda" else []
        with torch.random.fork_rng(devices=devices):
            torch.manual_seed(seeds.derive(self.seed, purpose, self.done, *own))
            yield


def _to_cpu(value: Any) -> Any:
    if isinstance(value, Tensor):
        return value.detach().cpu().clone()
    if isinstance(value, dict):
        return {key: _to_cpu(inner) for key, inner in value.items()}
    return [_to_cpu(inner) for inner in value] if isinstance(value, list) else value
