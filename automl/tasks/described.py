"""A task that is described: a model, data, and how long to train. What the trial trains is all in the config."""

import json
import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from automl import metrics
from automl.core.space import Space
from automl.core.trial import Metric
from automl.data.preparing import options
from automl.errors import SpecError, did_you_mean
from automl.fused.signature import FUSABLE, MIXES
from automl.fused.signature import group as group_of
from automl.study import paths
from automl.tasks.function import imported
from automl.tasks.ranks import Crew
from automl.training.best_epoch import Best
from automl.worker.worker import Session, Task

if TYPE_CHECKING:
    from torch import nn

    from automl.data.prepared import Prepared
    from automl.fused.engine import Engine
    from automl.training import Solo
    from automl.training.distributed.ddp import Rank
    from automl.worker.trial import Trial
    from automl.worker.worker import Worker

AUGMENT = ("flip", "shift", "rotate", "crop", "noise", "mixup", "cutmix")  # as in `automl.training.augment`
FEW_KINDS = 4  # up to so many kinds of models in a space, each has cohorts of its own
CHECKPOINT_S = 10.0  # training time between two checkpoints of a trial
KEPT = 4  # preparations of the data that a worker keeps in memory, where they are searched


@dataclass(frozen=True)
class DescribedTask(Task):
    """`model`: a family's name or `package.module:build`; `data`: see `automl.data.load`; `seed`: of the split."""

    model: str
    data: str
    epochs: int
    metric: Metric
    target: str | None = None
    split: Mapping[str, Any] | None = None
    prepare: Mapping[str, Any] | None = None
    folder: Path = Path()
    seed: int = 0
    spec: Mapping[str, Any] = field(default_factory=dict)  # kept with the saved model
    keep: Literal["leader", "all"] = "leader"  # whose model is saved when its training ends
    refit: bool = False  # train on the validation part too
    outputs: bool = False  # keep a saved model's outputs on the validation rows, for an ensemble
    patience: int = 0  # a trial ends after so many epochs without a better one; 0: it never does
    until: int | None = None  # train so many epochs of the `epochs` that schedules reckon with; None: all
    fuse: Literal["auto", "never", "require"] = "auto"
    mixes: tuple[str, ...] = ()  # what may differ among models that train side by side, see `mixes`
    settings: Mapping[str, Any] = field(default_factory=dict)  # of `training.hardware.Settings`: precision, ...
    sent: "Prepared | None" = None  # the data, where they travel with the task (see `with_data`)

    def with_data(self) -> "DescribedTask":
        """The same task with its data in it, for workers on machines that do not have the files.

        A table that is streamed from disk stays where it is: each machine must have it.
        """
        from automl.data.streaming.shards import Streamed

        loaded = self.load()
        return self if isinstance(loaded.train, Streamed) else replace(self, sent=loaded)

    @property
    def forkable(self) -> bool:
        """Whether a worker may be forked from a process that has imported torch: it runs none of the user's code."""
        return ":" not in self.model and ":" not in self.data

    def open(self, devices: tuple[str, ...]) -> "DescribedSession":
        build, prepared = self.builder(), self.load()
        self._check(prepared)
        crew = Crew(self, devices) if len(devices) > 1 else None
        return DescribedSession(self, build, prepared, devices[0], CHECKPOINT_S, crew)

    @property
    def group(self) -> Callable[[Mapping[str, Any]], str] | None:
        """Which trials may train as one batched model: those of equal text; "" for one that trains alone.

        None where all do. Needs no torch: the driver asks.
        """
        if self.fuse == "never":
            return None
        named = partial(group_of, mixes=self.mixes, zeros=self.zeros)
        return lambda config: "" if unfusable(config, self.settings) else named(config)

    @property
    def zeros(self) -> bool:
        """Whether a dropout of 0 may make another model than one of 0.1: a user's factory may leave the layer out."""
        return ":" in self.model

    def builder(self) -> "Callable[..., nn.Module]":
        """`build(config, inputs, outputs)` of the model."""
        from automl import models

        return imported(self.model, self.folder) if ":" in self.model else models.build(self.model)

    def load(self, config: Mapping[str, Any] | None = None) -> "Prepared":
        """The data, split and prepared (as `config` wants it); with `refit` validation rows are training rows too."""
        chosen = options.chosen(config or {})
        if self.sent is not None and not chosen:
            return self.sent
        from automl import data

        prepare = {**(self.prepare or {}), **chosen}
        prepared = data.load(
            self.data, target=self.target, split=self.split, seed=self.seed, prepare=prepare, base=self.folder
        )
        return replace(prepared, train=prepared.train + prepared.val) if self.refit else prepared

    def _check(self, prepared: "Prepared") -> None:
        """Now, not after an epoch: whether the study's metric is measured on data of this kind."""
        measured = ["train_loss", *(f"val_{name}" for name in metrics.names(prepared.kind))]
        if self.metric.name not in measured:
            near = did_you_mean(self.metric.name, measured)
            told = f"metric: {self.metric.name!r} is not measured for {prepared.kind}{near}"
            raise SpecError(f"{told} (measured: {', '.join(measured)})")


def mixes(model: str, space: Space) -> tuple[str, ...]:
    """What may differ among models that train side by side: shapes and the like, where the space has so many of them
    that otherwise models of one kind would be alone, or nearly."""
    names = MIXES.get(model, ())
    kinds = math.prod(space.params[name].size for name in names if name in space.params)
    return names if kinds > FEW_KINDS else ()


def unfusable(config: Mapping[str, Any], settings: Mapping[str, Any]) -> str:
    """Why a trial cannot be a lane and trains alone, in another trainer, and what could be done; empty: it can."""
    name = str(config.get("optimizer") or "adamw")
    if name not in FUSABLE:
        return f"trials with optimizer {name} run one at a time; those with {', '.join(FUSABLE)} train together"
    strengths = {**settings.get("augment", {}), **config}
    varied = [one for one in AUGMENT if strengths.get(one)]
    if varied:
        return f"trials with augmentation ({', '.join(varied)}) run one at a time; without it they train together"
    if options.chosen(config):
        return "trials with a preparation of their own run one at a time; with one for all they train together"
    if settings.get("precision", "auto") in ("bf16", "fp16"):
        return f"precision: {settings['precision']} trains one trial at a time; auto trains many together"
    if settings.get("compile", "auto") == "always":
        return "compile: always trains one trial at a time; auto trains many together"
    return ""


@dataclass
class DescribedSession(Session):
    """The task with its data in memory."""

    task: DescribedTask
    build: "Callable[..., nn.Module]"
    prepared: "Prepared"
    device: str
    checkpoint_s: float  # training time between two checkpoints, at least
    crew: Crew | None = None  # trains on the other devices, where a trial has several
    _prepared: dict[str, "Prepared"] = field(default_factory=dict)  # by the options that configs chose

    def serve(self, worker: "Worker") -> None:
        """Train the worker's trials as lanes of cohorts, see `lane_loop`; on several devices one by one."""
        from automl.tasks.lane_loop import Cohorts

        with _calm(self.device):
            if self.crew is None:
                Cohorts(self, worker, self._engine(worker.place.folder)).serve()
            else:
                with closing(self.crew):
                    super().serve(worker)

    def _engine(self, folder: Path | None) -> "Engine":
        from automl.fused.engine import Engine
        from automl.fused.problem import Options, Problem

        made, kind = self.prepared, self.prepared.kind
        scale = made.target_scale if kind == "regression" else None
        what = (self.build, made.inputs, made.outputs, kind)
        problem = Problem(*what, made.train, made.val, scale, self.task.mixes, self.task.zeros)
        ranks = self.task.metric.name == "val_auroc"
        known = folder / paths.LANES if folder else None
        task = self.task
        options = Options(fuse=task.fuse, device=self.device, ranks=ranks, known=known, epochs=task.epochs)
        return Engine(problem, options)

    def unfusable(self, config: Mapping[str, Any]) -> str:
        """See `unfusable`; what is streamed from disk is not gathered for many lanes either."""
        from automl.data.streaming.shards import Streamed

        if isinstance(self.prepared.train, Streamed):
            return "trials run one at a time, as the table is streamed from disk; in memory they train together"
        return unfusable(config, self.task.settings)

    def data_of(self, config: Mapping[str, Any]) -> "Prepared":
        """The data as this config wants them prepared; the last few preparations are kept."""
        chosen = options.chosen(config)
        if not chosen:
            return self.prepared
        key = json.dumps(chosen, sort_keys=True)
        made = self._prepared.pop(key, None) or self.task.load(config)
        self._prepared[key] = made  # the last one used is the last one here
        if len(self._prepared) > KEPT:
            self._prepared.pop(next(iter(self._prepared)))
        return made

    def best(self) -> Best:
        """What keeps the weights of a trial that begins, and says when it is over."""
        return Best(self.task.metric, self.task.until or self.task.epochs, self.task.patience)

    def run(self, trial: "Trial") -> None:
        """Train one trial alone, in the trainer that knows every option."""
        saved = trial.load()
        going_on = saved is not None and "solo" in saved
        solo, best = self._trainer(trial, saved["solo"] if saved and going_on else None), self.best()
        weights, state = self._kept(solo)
        if saved and going_on:
            best.load(saved["best"])
        at = time.monotonic()
        epochs, seconds = 0, 0.0
        measured: dict[str, float] = {}
        try:
            for step in trial.steps(self.task.epochs):
                if best.over(step - 1):
                    break
                begun = time.perf_counter()
                measured = solo.epoch() if self.crew is None else self.crew.epoch(solo)
                epochs, seconds = epochs + 1, seconds + time.perf_counter() - begun
                best.see(step, measured, weights)
                trial.horizon = step if best.over(step) else self.task.epochs
                try:
                    trial.report(step, **measured)
                finally:  # a paused trial leaves from `report`, and goes on from here
                    if time.monotonic() - at > self.checkpoint_s or trial.paused:
                        trial.save({"solo": state(), "best": best.state()})
                        at = time.monotonic()
        finally:
            trial.details = self.rates(trial.config, epochs, seconds, solo)
        if trial.leads or self.task.keep == "all":
            self.save(trial, best)

    def rates(
        self, config: Mapping[str, Any], epochs: int, seconds: float, solo: "Solo | None" = None
    ) -> dict[str, object]:
        """How fast a trial trained (alone: in `solo`), see `automl.training.throughput`."""
        import torch

        from automl.training.throughput import rates

        data = self.prepared if solo is None else solo.prepared
        format = torch.float32 if solo is None else solo.runner.format or torch.float32
        return dict(rates(self.build, config, data.inputs, data.outputs, samples=epochs * len(data.train),
                          seconds=seconds, device=self.device, format=format,
                          devices=1 if self.crew is None else len(self.crew.devices)))  # fmt: skip

    def _trainer(self, trial: "Trial", state: dict[str, Any] | None) -> "Solo":
        """As it was when `state` was saved, where there is one."""
        from automl.training import Settings, Solo

        def make(rank: "Rank | None" = None) -> Solo:
            prepared, settings = self.data_of(trial.config), Settings(**self.task.settings)
            made = (self.build, prepared, trial.config, self.task.epochs, trial.seed, trial.device, settings)
            return Solo(*made, rank=rank)

        epochs = self.task.epochs
        if self.crew is not None:
            return self.crew.begin(make, trial.config, epochs, trial.seed, state)
        solo = make()
        if state is not None:
            solo.load(state)
        return solo

    def _kept(self, solo: "Solo") -> tuple[Callable[[], dict[str, Any]], Callable[[], dict[str, Any]]]:
        """What gives the trainer's weights, and its state."""
        if self.crew is None:
            return solo.weights, solo.state
        return partial(self.crew.weights, solo), partial(self.crew.state, solo)

    def save(self, trial: "Trial", best: Best) -> None:
        """Keep the trial's model in its folder."""
        if trial.folder is None:
            return
        from automl.bundle import io, outputs, restore

        prepared = self.data_of(trial.config)
        if self.task.outputs and prepared.kind != "next_token":
            units = prepared.inputs, prepared.outputs
            module = restore.restore(self.build, trial.config, *units, best.weights)
            outputs.store(trial.folder / paths.OUTPUTS, outputs.compute(module, prepared.val.x, self.device))
        io.save(
            trial.folder / paths.BUNDLE,
            model=self.task.model,
            config=trial.config,
            prepared=prepared,
            state_dict=best.weights,
            metrics=best.metrics,
            spec=self.task.spec,
            build=self.build,
        )


@contextmanager
def _calm(device: str) -> Iterator[None]:
    """One thread on a CPU (more than idle cores make small models many times slower), and no denormal numbers."""
    import torch

    if device != "cpu":
        yield
        return
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        torch.set_flush_denormal(False)
