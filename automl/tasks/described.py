"""A task that is described: a model, data, and how long to train. What the trial trains is all in the config."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from automl import metrics
from automl.errors import SpecError, did_you_mean
from automl.tasks import OneByOne
from automl.tasks.function import imported
from automl.trial import Metric

if TYPE_CHECKING:
    from torch import nn

    from automl.data.prepared import Prepared
    from automl.training import Solo
    from automl.worker import Trial

CHECKPOINT_S = 10.0  # training time between two checkpoints of a trial


@dataclass(frozen=True)
class DescribedTask:
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
    sent: "Prepared | None" = None  # the data, where they travel with the task (see `with_data`)

    def with_data(self) -> "DescribedTask":
        """The same task with its data in it, for workers on machines that do not have the files."""
        return replace(self, sent=self.load())

    def open(self, devices: tuple[str, ...]) -> "DescribedSession":
        import torch

        if devices[0] == "cpu":
            torch.set_num_threads(max(1, torch.get_num_threads()))
        build, prepared = self.builder(), self.load()
        self._check(prepared)
        return DescribedSession(self, build, prepared)

    def builder(self) -> "Callable[..., nn.Module]":
        """`build(config, inputs, outputs)` of the model."""
        from automl import models

        return imported(self.model, self.folder) if ":" in self.model else models.build(self.model)

    def load(self) -> "Prepared":
        """The data, split and prepared; with `refit` the validation rows are training rows too."""
        if self.sent is not None:
            return self.sent
        from automl import data

        prepared = data.load(
            self.data, target=self.target, split=self.split, seed=self.seed, prepare=self.prepare, base=self.folder
        )
        return replace(prepared, train=prepared.train + prepared.val) if self.refit else prepared

    def _check(self, prepared: "Prepared") -> None:
        """Now, not after an epoch: whether the study's metric is measured on data of this kind."""
        measured = ["train_loss", *(f"val_{name}" for name in metrics.names(prepared.kind))]
        if self.metric.name not in measured:
            near = did_you_mean(self.metric.name, measured)
            told = f"metric: {self.metric.name!r} is not measured for {prepared.kind}{near}"
            raise SpecError(f"{told} (measured: {', '.join(measured)})")


@dataclass
class DescribedSession(OneByOne):
    """The task with its data in memory."""

    task: DescribedTask
    build: "Callable[..., nn.Module]"
    prepared: "Prepared"

    def run(self, trial: "Trial") -> None:
        from automl.training import Solo

        solo = Solo(self.build, self.prepared, trial.config, self.task.epochs, trial.seed, trial.device)
        best = _Best(self.task.metric)
        saved = trial.load()
        if saved is not None:
            solo.load(saved["solo"])
            best.load(saved["best"])
        at = time.monotonic()
        measured: dict[str, float] = {}
        for step in trial.steps(self.task.epochs):
            measured = solo.epoch()
            best.see(step, measured, solo)
            try:
                trial.report(step, **measured)
            finally:  # a paused trial leaves from `report`, and goes on from here
                if time.monotonic() - at > CHECKPOINT_S or trial.paused:
                    trial.save({"solo": solo.state(), "best": best.state()})
                    at = time.monotonic()
        if trial.leads or self.task.keep == "all":
            self._save(trial, best)

    def _save(self, trial: "Trial", best: "_Best") -> None:
        if trial.folder is None:
            return
        from automl import bundle

        bundle.save(
            trial.folder / "bundle",
            model=self.task.model,
            config=trial.config,
            prepared=self.prepared,
            state_dict=best.weights,
            metrics=best.metrics,
            spec=self.task.spec,
            build=self.build,
        )


@dataclass
class _Best:
    """The weights that count: those of the last epoch, or of the best one where the metric's `count` says so."""

    metric: Metric
    weights: dict[str, Any] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)

    def see(self, step: int, metrics: Mapping[str, float], solo: "Solo") -> None:
        name = self.metric.name
        worse = self.metrics and self.metric.loss(metrics[name]) >= self.metric.loss(self.metrics[name])
        if self.metric.count == "best" and worse:
            return
        self.metrics = dict(metrics)
        if self.metric.count == "best" or step == solo.epochs:
            self.weights = solo.weights()

    def state(self) -> dict[str, Any]:
        return {"weights": self.weights, "metrics": self.metrics}

    def load(self, state: Mapping[str, Any]) -> None:
        self.weights, self.metrics = state["weights"], state["metrics"]
