"""Keeps the weights of a trial's best (or last) epoch, and applies early-stopping patience."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from automl.core.trial import Metric


@dataclass
class BestEpoch:
    """The weights and metrics of the epoch that counts: the last one, or the best one if the metric's `count` says so.

    Args:
        metric: compared between epochs.
        length: epochs to train.
        patience: end after this many epochs in a row that are no better than the best one; 0: never.

    Attributes:
        weights, metrics: of the epoch that counts.
        loss: the metric of the best epoch so far, as a loss (lower is better); None before the first epoch.
        step: number of the best epoch so far, from 1.
    """

    metric: Metric
    length: int
    patience: int = 0
    weights: dict[str, Any] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)
    loss: float | None = None
    step: int = 0

    def wants(self, step: int, metrics: Mapping[str, float]) -> bool:
        """Whether `update` with the same would ask for the weights."""
        if self.metric.count != "best":
            return step == self.length
        loss = self.metric.loss(metrics[self.metric.name])
        return self.loss is None or loss < self.loss

    def update(self, step: int, metrics: Mapping[str, float], weights: Callable[[], dict[str, Any]]) -> None:
        """Compare epoch `step` with the best one so far; `weights()` returns the current weights."""
        loss = self.metric.loss(metrics[self.metric.name])
        better = self.loss is None or loss < self.loss
        if better:
            self.loss, self.step = loss, step
        if self.metric.count == "best" and not better:
            return
        self.metrics = dict(metrics)
        if self.metric.count == "best" or step == self.length:
            self.weights = weights()

    def is_over(self, step: int) -> bool:
        """Whether the trial ends with epoch `step`: it is the last one, or patience has run out."""
        return step >= self.length or bool(self.patience and step - self.step >= self.patience)

    def state(self) -> dict[str, Any]:
        """Everything that `load` needs, for a checkpoint."""
        return {"weights": self.weights, "metrics": self.metrics, "loss": self.loss, "step": self.step}

    def load(self, state: Mapping[str, Any]) -> None:
        """Go on from a `state()`."""
        self.weights, self.metrics = state["weights"], state["metrics"]
        self.loss, self.step = state["loss"], state["step"]
