"""Several models on the same rows: each prepares them in its own way, and knows its own classes."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from automl import metrics
from automl.bundle.ensemble import Ensemble, average
from automl.bundle.outputs import compute
from automl.data import further
from automl.data.further import Labelled
from automl.metrics import defined
from automl.metrics.rows import Sample, sample

if TYPE_CHECKING:
    from automl.bundle.model import Model

UNKNOWN = -30.0
"""The logarithm of the probability of a class that a model does not know."""


class HeldOut:
    """Held-out rows, on which models are scored.

    Args:
        batches: the rows.
        classes: of all models together.
        metric: without `val_`; where it has no value on these rows, the usual one takes its place.
        like: the model whose units the targets of a regression are in.
    """

    def __init__(self, batches: Sequence[Labelled], classes: Sequence[Any], metric: str, like: "Model") -> None:
        self.batches, self.classes, self.kind, self._target = list(batches), list(classes), like.kind, like.preparation
        self.y = torch.cat([further.targets_of(like.preparation, self.classes, b.y) for b in self.batches])
        weights = [b.weight for b in self.batches if b.weight is not None]
        self.weight = torch.from_numpy(np.concatenate(weights)) if len(weights) == len(self.batches) else None
        usual = "accuracy" if self.kind == "classification" else "rmse"
        self.metric = usual if defined.undefined(metric, self.kind, self.y) else metric

    def __len__(self) -> int:
        return len(self.y)

    def outputs(self, model: "Model | Ensemble") -> Tensor:
        """[N, units] of all rows: logits by `classes`, or values in the units of `like`."""
        if isinstance(model, Ensemble):
            return average((self._of(member) for member in model.models), model.weights, self.kind)
        return self._of(model)

    def _of(self, model: "Model") -> Tensor:
        form = model.preparation
        found = torch.cat([compute(model.module, further.prepared(form, b.rows), model.device) for b in self.batches])
        return self._by_class(model, found) if self.kind == "classification" else self._in_units(model, found)

    def _by_class(self, model: "Model", found: Tensor) -> Tensor:
        log = found.double().log_softmax(-1)
        whole = torch.full((len(found), len(self.classes)), UNKNOWN, dtype=torch.float64)
        place = {label: k for k, label in enumerate(self.classes)}
        whole[:, [place[label] for label in model.classes]] = log
        return whole

    def _in_units(self, model: "Model", found: Tensor) -> Tensor:
        theirs, ours = model.preparation["target"], self._target["target"]
        value = found.double() * torch.tensor(theirs["scale"]) + torch.tensor(theirs["center"])
        return (value - torch.tensor(ours["center"])) / torch.tensor(ours["scale"])

    def sample(self, outputs: Tensor) -> Sample:
        """The metric of `outputs`, row by row."""
        return sample(self.metric, self.kind, outputs, self.y, self.weight, self._scale)

    def metrics(self, outputs: Tensor) -> dict[str, float]:
        """Every metric of the task that is defined on these rows."""
        values = metrics.compute(self.kind, outputs, self.y, self.weight, scale=self._scale)
        return {name: value for name, value in values.items() if np.isfinite(value)}

    @property
    def _scale(self) -> Tensor | None:
        scale = self._target["target"].get("scale")
        return None if self.kind == "classification" or scale is None else torch.tensor(scale, dtype=torch.float64)
