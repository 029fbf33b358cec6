"""One trial trained alone, a step at a time; resumable exactly, all random numbers depend on the trial's seed."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from automl.core import seeds
from automl.data.prepared import Part, Prepared
from automl.models import mup
from automl.training import augment, batches, optimizers, schedules, strengths
from automl.training.distributed.ddp import Rank
from automl.training.hyperparameters import read
from automl.training.loop import saved_state
from automl.training.loop.evaluator import Evaluator
from automl.training.loop.moving_average import MovingAverage
from automl.training.loop.step import TrainingStep
from automl.training.precision import Runner, Settings
from automl.training.samples.units import EPOCH, Unit
from automl.training.samples.validation import Validation

WARM_UP = 10  # steps on a GPU that are not timed
Build = Callable[..., nn.Module]
"""`build(config, inputs, outputs)` makes the model."""


class Trainer:
    """Trains one model on one device, or on one device of several.

    It trains an epoch at a time, or what `unit` says in its place. Random numbers are derived from `seed` and the
    number of the epoch alone, so a trainer that loaded a state goes on exactly as the one that saved it.

    Args:
        build: makes the model: `build(config, inputs, outputs)`.
        prepared: the data, as tensors in memory or streamed from disk.
        config: the trial's hyperparameters (see `hyperparameters`), and those that `build` reads.
        epochs: full length of the trial, in epochs or in what `unit` says; the learning-rate schedule covers it.
        seed: of the initial weights, the order of samples, dropout and augmentation.
        device: where to train.
        settings: how to train it; may differ from device to device.
        rank: this process trains on its share of every batch, together with other ranks (see `distributed`). All ranks
            train and evaluate, and rank 0 gets the metrics. If the model is `sharded` among them, all ranks call every
            method, and rank 0 gets `weights` and `state`.
        unit: what is trained between two evaluations.
        validation: by which rows it is evaluated; None: all validation rows.

    Attributes:
        done: epochs trained so far.
        sharded: whether the model is divided among the ranks.
        finished: whether further epochs would change nothing: never.

    Example:
        >>> trainer = Trainer(build("mlp"), load("digits"), {"width": 64, "lr": 1e-3}, epochs=10, seed=0)
        >>> reports = [trainer.epoch() for _ in range(10)]
        >>> reports[-1]["val_accuracy"]
    """

    finished = False

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
        unit: Unit = EPOCH,
        validation: Validation | None = None,
    ) -> None:
        self.prepared, self.config, self.epochs, self.seed = prepared, dict(config), epochs, seed
        self.device, self.options, self.done = torch.device(device), read(config), 0
        self.rank, self.unit, settings = rank, unit, settings or Settings()
        strong = strengths.read(self.config, settings.augment)
        augment.check(strong, prepared.inputs)
        with self._random("init"):
            self.model = build(self.config, prepared.inputs, prepared.outputs)
        factors, hidden = self._parametrization(build)
        self.sharded = rank is not None and rank.should_shard(self.model, self.device, settings.parallel)
        if not self.sharded:  # a sharded model is moved block by block
            self.model.to(self.device)
        wrap = None if rank is None else rank.shard if self.sharded else rank.replicate
        self.runner = Runner(self.model, self.device, settings, wrap, self.sharded)
        self.optimizers = optimizers.make(self.model.named_parameters(), self.options, factors, hidden)
        self.average = MovingAverage(self.model, self.options.ema) if self.options.ema else None
        self.train = batches.batches_of(prepared.train, self.device, seed)
        self.validation = validation or Validation(prepared.val.to(self.device))
        self.batch_size = min(self.options.batch_size, len(self.train))
        self.steps = unit.updates(len(self.train), self.batch_size)  # optimizer steps of each epoch
        self.step = TrainingStep(
            self.runner, list(self.model.parameters()), self.optimizers, self.options, prepared, strong,
            self.average, rank, self.batch_size,
        )  # fmt: skip
        self.evaluator = Evaluator(self.model, self.runner, prepared, self.average, rank)

    def _parametrization(self, build: Build) -> tuple[dict[str, mup.Factors] | None, frozenset[str]]:
        """Under `parametrization: mup` rescale the weights; muP's factors, and the names of hidden matrices."""
        if self.config.get("parametrization", "standard") != "mup":
            return None, frozenset()
        roles = mup.roles(build, self.config, self.prepared.inputs, self.prepared.outputs)
        mup.rescale(self.model, roles)
        return mup.factors(roles, self.options.optimizer), mup.hidden(roles)

    @property
    def format(self) -> torch.dtype:
        """The number format of forward passes."""
        return self.runner.format or torch.float32

    def epoch(self) -> dict[str, float]:
        """Train one epoch and evaluate.

        Returns:
            `train_loss`, `val_loss`, and every metric of the task with the prefix `val_`.
        """
        loss = self.train_epoch()
        return {"train_loss": loss, **self.evaluate(self.validation.part(last=self.done >= self.epochs), "val_")}

    def train_epoch(self) -> float:
        """Train one epoch; returns its mean training loss."""
        first = self.done * self.steps
        if self.unit.is_epoch:
            epoch = self.train.epoch(self.done, self.batch_size)
        else:
            epoch = self.train.stretch(first, self.steps, self.batch_size)
        self.model.train()
        clock = _Clock(self.device, self.steps) if not self.done else None
        total = torch.zeros((), device=self.device)
        with self._random("epoch"), self.runner.matmul_precision():
            for k, (factor, batch) in enumerate(zip(self._lr_factors(first), epoch, strict=False)):
                optimizers.set_lr(self.optimizers, factor)  # zip: a single sample left over is skipped
                total += self.step(batch, first + k)
                if clock is not None:
                    clock.step(k)
        self.done += 1
        if clock is not None:
            self.runner.consider_compiling(clock.epoch_s() * (self.epochs - 1))
        if self.rank is not None:
            total = self.rank.mean(total)
        return float(total) / self.steps

    def _lr_factors(self, first: int) -> list[float]:
        """The factors of the learning rates in the epoch that begins with step `first`."""
        steps, options = self.epochs * self.steps, self.options
        warmup = schedules.warmup_steps(options.warmup, steps, self.epochs)
        factors: list[float] = schedules.lr_factors(options.schedule, first, self.steps, steps, warmup).tolist()
        return factors

    def evaluate(self, part: Part, prefix: str = "") -> dict[str, float]:
        """Loss (without label smoothing) and metrics of `part`; with averaged weights where an average is kept.

        Args:
            part: of the prepared data.
            prefix: put in front of the names.
        """
        return self.evaluator.report(part, prefix)

    def predict(self, x: Tensor) -> Tensor:
        """Logits or standardised values for prepared samples `x` [N, ...]; on the CPU."""
        return self.evaluator.outputs(x).cpu()

    def weights(self) -> dict[str, Tensor]:
        """The weights to keep, on the CPU, by the names of `build`'s model: averaged where an average is kept."""
        return saved_state.weights(self.model, self.average, self.sharded)

    def state(self) -> dict[str, Any]:
        """Everything that `load` needs to go on exactly; tensors are copied to the CPU."""
        return {
            "epoch": self.done,
            **saved_state.save(self.model, self.optimizers, self.average, self.sharded),
            "scaler": self.runner.scaler.state_dict(),
            "micro": self.step.micro_batch,
        }

    def load(self, state: dict[str, Any]) -> None:
        """Go on from a `state()` of a trainer with the same config and data."""
        self.done, self.step.micro_batch = int(state["epoch"]), int(state["micro"])
        self.runner.scaler.load_state_dict(state["scaler"])
        saved_state.load(state, self.model, self.optimizers, self.average, self.sharded)

    @contextmanager
    def _random(self, purpose: str) -> Iterator[None]:
        """Seed torch's random numbers inside the block by seed, purpose, epoch and rank; afterwards restore them."""
        rank = (self.rank.rank,) if self.rank and self.rank.rank and purpose != "init" else ()
        devices = [self.device] if self.device.type == "cuda" else []
        with torch.random.fork_rng(devices=devices):
            torch.manual_seed(seeds.derive(self.seed, purpose, self.done, *rank))
            yield


class _Clock:
    """How long an epoch takes, from its first one: without the steps in which CUDA starts and kernels are chosen."""

    def __init__(self, device: torch.device, steps: int) -> None:
        self.device, self.steps, self.left_out = device, steps, 0
        self.begun = time.perf_counter()

    def step(self, k: int) -> None:
        """Step `k` has been asked for."""
        if self.device.type == "cuda" and k + 1 == min(WARM_UP, self.steps - 1):
            torch.cuda.synchronize(self.device)
            self.left_out, self.begun = k + 1, time.perf_counter()

    def epoch_s(self) -> float:
        """Seconds of an epoch of all steps, which has ended."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return (time.perf_counter() - self.begun) * self.steps / max(1, self.steps - self.left_out)
