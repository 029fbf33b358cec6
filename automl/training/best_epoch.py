"""What counts of a trial's epochs: whose weights are kept, and whether it is over before its full length."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from automl.core.trial import Metric


@dataclass
class Best:
    """The weights that count: those of the last epoch, or of the best one where the metric's `count` says so.

    `length`: epochs to train; `patience`: end after so many epochs without a better one (0: never).
    """

    metric: Metric
    length: int
    patience: int = 0
    weights: dict[str, Any] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)
    loss: float | None = None  # of the best epoch so far, lower is better
    step: int = 0  # the best epoch so far

    def see(self, step: int, metrics: Mapping[str, float], weights: Callable[[], dict[str, Any]]) -> None:
        """After epoch `step`; `weights` gives those of now."""
        loss = self.metric.loss(metrics[self.metric.name])
        better = self.loss is None or loss < self.loss
        if better:
            self.loss, self.step = loss, step
        if self.metric.count == "best" and not better:
            return
        self.metrics = dict(metrics)
        if self.metric.count == "best" or step == self.length:
            self.weights = weights()

    def over(self, step: int) -> bool:
        """Whether the trial ends with epoch `step`."""
        return step >= self.length or bool(self.patience and step - self.step >= self.patience)

    def state(self) -> dict[str, Any]:
        """For a checkpoint."""
        return {"weights": self.weights, "metrics": self.metrics, "loss": self.loss, "step": self.step}

    def load(self, state: Mapping[str, Any]) -> None:
        """Take up a `state()`."""
        self.weights, self.metrics = state["weights"], state["metrics"]
        self.loss, self.step = state["loss"], state["step"]
