"""One trial trained alone: an epoch at a time, resumable exactly, everything random a function of the trial's seed."""

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from automl import metrics, seeds
from automl.data.prepared import Part, Prepared
from automl.fused import schedules
from automl.models import mup
from automl.training import losses, optimizers
from automl.training.options import read

EVAL_VALUES = 2**22
"""Most values (samples times inputs, or tokens times outputs) that go through the model at once when evaluating."""


Build = Callable[..., nn.Module]


class Solo:
    """`Solo(build, prepared, config, epochs, seed, device)`, then `epoch()` until `self.done == epochs`.

    The data lies on the device as tensors. Random numbers are derived from `seed` and the epoch's number alone, so a
    trainer that was loaded from a state goes on exactly as the one that was saved.
    """

    def __init__(
        self,
        build: Build,
        prepared: Prepared,
        config: Mapping[str, Any],
        epochs: int,
        seed: int,
        device: torch.device | str = "cpu",
    ) -> None:
        self.prepared, self.config, self.epochs, self.seed = prepared, dict(config), epochs, seed
        self.device, self.options, self.done = torch.device(device), read(config), 0
        with self._random("init"):
            self.model = build(self.config, prepared.inputs, prepared.outputs).to(self.device)
        factors, matrices = self._parametrization(build)
        self.optimizers = optimizers.make(self.model.named_parameters(), self.options, factors, matrices)
        self.average = {k: v.clone() for k, v in self.model.state_dict().items()} if self.options.ema else None
        self.train, self.val = self._resident(prepared.train), self._resident(prepared.val)
        self.batch = min(self.options.batch_size, len(self.train))
        # A single sample left over has no variance for a batch norm: it waits for the next epoch's order.
        self.batches = max(1, (len(self.train) - 2) // self.batch + 1) if self.batch > 1 else len(self.train)

    def _parametrization(self, build: Build) -> tuple[dict[str, optimizers.Factors] | None, frozenset[str]]:
        """Under `parametrization: mup`: weights rescaled, and what the optimizers are to multiply."""
        if self.config.get("parametrization", "standard") != "mup":
            return None, frozenset()
        found = mup.roles(build, self.config, self.prepared.inputs, self.prepared.outputs)
        mup.rescale(self.model, found)
        return mup.factors(found, self.options.optimizer), mup.hidden(found)

    def epoch(self) -> dict[str, float]:
        """Train one epoch; the report after it: `train_loss`, `val_loss` and every `val_` metric of the kind."""
        order = torch.randperm(len(self.train), generator=self._generator("order")).to(self.device)
        self.model.train()
        total = torch.zeros((), device=self.device)
        horizon, first = self.epochs * self.batches, self.done * self.batches
        warmup = schedules.warmup_steps(self.options.warmup, horizon, self.epochs)
        factors = schedules.factors(self.options.schedule, first, self.batches, horizon, warmup).tolist()
        with self._random("epoch"):
            for k, factor in enumerate(factors):
                optimizers.set_rate(self.optimizers, factor)
                total += self._step(order[k * self.batch : (k + 1) * self.batch], first + k)
        self.done += 1
        return {"train_loss": float(total) / self.batches, **self.evaluate(self.val, "val_")}

    def _step(self, rows: Tensor, step: int) -> Tensor:
        options, part = self.options, self.train
        weight = None if part.weight is None else part.weight[rows]
        outputs = self.model(part.x[rows])
        loss = losses.loss(self.prepared.kind, outputs, part.y[rows], weight, options.label_smoothing)
        for optimizer in self.optimizers:
            optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        if options.clip:
            nn.utils.clip_grad_norm_(self.model.parameters(), options.clip)
        for optimizer in self.optimizers:
            optimizer.step()
        if self.average is not None:
            self._follow(step)
        return loss.detach()

    def _follow(self, step: int) -> None:
        """Move the average towards the weights; early on with a faster decay, so that the start is soon forgotten."""
        assert self.average is not None
        decay = min(self.options.ema, (1 + step) / (10 + step))
        for name, value in self.model.state_dict().items():
            if value.is_floating_point():
                self.average[name].lerp_(value, 1 - decay)
            else:
                self.average[name].copy_(value)

    def evaluate(self, part: Part, prefix: str = "") -> dict[str, float]:
        """Loss (without smoothing) and metrics of `part`, with the averaged weights where they are kept."""
        part = self._resident(part)
        if self.prepared.kind == "next_token":
            return {prefix + name: value for name, value in self._language(part).items()}
        outputs = self._forward(part.x)
        scale = self.prepared.target_scale.to(self.device) if self.prepared.kind == "regression" else None
        found = metrics.compute(self.prepared.kind, outputs, part.y, part.weight, scale=scale)
        weight = None if part.weight is None else part.weight / part.weight.mean()
        found = {"loss": float(losses.loss(self.prepared.kind, outputs, part.y, weight)), **found}
        return {prefix + name: value for name, value in found.items()}

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
        return self._forward(x.to(self.device)).cpu()

    def weights(self) -> dict[str, Tensor]:
        """The weights to keep: averaged where an average is kept; on the CPU, in names of the plain module."""
        kept = self.average if self.average is not None else self.model.state_dict()
        return {name: value.detach().cpu().clone() for name, value in kept.items()}

    def state(self) -> dict[str, Any]:
        """Everything that `load` needs to go on exactly; tensors on the CPU."""
        return {
            "epoch": self.done,
            "model": _to_cpu(self.model.state_dict()),
            "optimizers": [_to_cpu(optimizer.state_dict()) for optimizer in self.optimizers],
            "average": _to_cpu(self.average),
        }

    def load(self, state: dict[str, Any]) -> None:
        """Take up a `state()` of the same config and data."""
        self.done = int(state["epoch"])
        self.model.load_state_dict(state["model"])
        for optimizer, saved in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
        if self.average is not None:
            self.average = {name: value.to(self.device, copy=True) for name, value in state["average"].items()}

    def _forward(self, x: Tensor) -> Tensor:
        return torch.cat([self._call(piece) for piece in self._pieces(x)])

    def _call(self, x: Tensor) -> Tensor:
        self.model.eval()
        with torch.no_grad():
            if self.average is None:
                return self.model(x)  # type: ignore[no-any-return]
            return torch.func.functional_call(self.model, self.average, (x,))  # type: ignore[no-any-return]

    def _pieces(self, x: Tensor) -> tuple[Tensor, ...]:
        each = int(self.prepared.inputs) * (int(self.prepared.outputs) if self.prepared.kind == "next_token" else 1)
        return torch.split(x, max(1, EVAL_VALUES // each))

    def _resident(self, part: Part) -> Part:
        weight = None if part.weight is None else part.weight.to(self.device)
        return Part(part.x.to(self.device), part.y.to(self.device), weight)

    def _generator(self, purpose: str) -> torch.Generator:
        return torch.Generator().manual_seed(seeds.derive(self.seed, purpose, self.done))

    @contextmanager
    def _random(self, purpose: str) -> Iterator[None]:
        """torch's own random numbers inside: a function of seed, purpose and epoch; outside: untouched."""
        devices = [self.device] if self.device.type == "cuda" else []
        with torch.random.fork_rng(devices=devices):
            torch.manual_seed(seeds.derive(self.seed, purpose, self.done))
            yield


def _to_cpu(value: Any) -> Any:
    if isinstance(value, Tensor):
        return value.detach().cpu().clone()
    if isinstance(value, dict):
        return {key: _to_cpu(inner) for key, inner in value.items()}
    return [_to_cpu(inner) for inner in value] if isinstance(value, list) else value
