"""Saved models scored on validation and test rows. No other file of this project scores a model on the test rows."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from automl import metrics
from automl.data.preparing import options
from automl.metrics import defined
from automl.metrics import rows as samples

if TYPE_CHECKING:
    from torch import Tensor

    from automl.data.prepared import Part, Prepared
    from automl.models import Build

Split = Literal["val", "test"]
VALUES = 2**22
"""At most so many values (samples times inputs, or tokens times outputs) go through a model at once."""


@dataclass
class Holdout:
    """The validation and test rows of a task, and one metric; outputs and scores are kept, so each is computed once.

    Args:
        prepared: the data, as they are prepared for a config that has no say in it.
        build: builds the models.
        name: the metric without `val_`, as `metrics.rows.rows` takes it.
        load: gives the data as a config wants them prepared; None where all configs share `prepared`.
    """

    prepared: "Prepared"
    build: "Build"
    name: str
    load: "Callable[[Mapping[str, Any]], Prepared] | None" = None
    _outputs: dict[tuple[Path, Split], "Tensor"] = field(default_factory=dict)
    _samples: dict[tuple[Path, Split], samples.Sample] = field(default_factory=dict)

    @property
    def kind(self) -> str:
        """ "classification", "regression" or "next_token"."""
        return self.prepared.kind

    @property
    def test_rows(self) -> int:
        """How many test rows there are."""
        return len(self.prepared.test)

    def sample(self, bundle: Path, split: Split) -> samples.Sample:
        """The metric of the model in `bundle`, row by row."""
        if (bundle, split) not in self._samples:
            self._samples[bundle, split] = self._scored(bundle, split)
        return self._samples[bundle, split]

    def undefined(self, split: Split) -> str:
        """Why the metric has no value on the rows of a part, as a clause; "" where it has one."""
        return defined.undefined(self.name, self.kind, self._part(split).y)

    def _scored(self, bundle: Path, split: Split) -> samples.Sample:
        part = self._part(split)
        scores = [
            samples.rows(self.name, self.kind, outputs, y, self._scale)
            for outputs, y in zip(self._pieces(bundle, split), self._cut(part.y), strict=True)
        ]
        weight = np.ones(len(part)) if part.weight is None else part.weight.double().numpy()
        plain = part.weight is None and self.kind == "classification"
        return samples.of_rows(self.name, np.concatenate(scores), weight, plain=plain)

    def sample_of(self, outputs: "Tensor", split: Split) -> samples.Sample:
        """The metric, row by row, of outputs [N, units] that are computed already (an ensemble's)."""
        part = self._part(split)
        return samples.sample(self.name, self.kind, outputs, part.y, part.weight, self._scale)

    def values_of(self, outputs: "Tensor", split: Split) -> "Tensor":
        """The metric and the loss of K models at once, from their outputs [K, N, units]. [K, 2], float64."""
        import torch

        from automl.metrics.batched import Meter

        part, k = self._part(split), len(outputs)
        ranks = torch.arange(k) if self.name == "auroc" else None
        meter = Meter(self.kind, k, outputs.device, self._scale, ranks)
        meter.add(outputs, part.y, part.weight)
        found = meter.result()
        return torch.stack([found[self.name], found["loss"]], 1)

    def metrics(self, bundle: Path, split: Split) -> dict[str, float]:
        """Every metric of the task's kind that is defined on the rows, as `val_NAME` or `test_NAME`; of a language
        model this one alone."""
        if self.kind == "next_token":
            return {f"{split}_{self.name}": self.sample(bundle, split).value}
        part, outputs = self._part(split), self.outputs(bundle, split)
        values = metrics.compute(self.kind, outputs, part.y, part.weight, scale=self._scale)
        values["loss"] = samples.sample("loss", self.kind, outputs, part.y, part.weight).value
        return {f"{split}_{name}": value for name, value in values.items() if math.isfinite(value)}

    def outputs(self, bundle: Path, split: Split) -> "Tensor":
        """[N, units] outputs of the model in `bundle` for all rows, on the CPU. Too large for language models."""
        import torch

        if (bundle, split) not in self._outputs:
            self._outputs[bundle, split] = torch.cat(self._pieces(bundle, split))
        return self._outputs[bundle, split]

    def _pieces(self, bundle: Path, split: Split) -> "list[Tensor]":
        import torch

        from automl.bundle.io import load_model
        from automl.bundle.outputs import of_validation

        def computed(device: torch.device) -> "list[Tensor]":
            model = load_model(bundle, build=self.build, device=device)
            prepared = self._prepared(model.config)
            if split == "val" and prepared.folds is not None:  # no row is scored by a model that has seen it
                found = of_validation(model.module, prepared, device)
                return [found[rows] for rows in self._cut(torch.arange(len(found)))]
            with torch.no_grad():
                return [model.module(x.to(device)).cpu() for x in self._cut(self._part(split, model.config).x)]

        try:
            return computed(torch.device("cuda" if torch.cuda.is_available() else "cpu"))
        except RuntimeError:  # a GPU that others have filled, or that torch cannot use in this process
            if not torch.cuda.is_available():
                raise
        return computed(torch.device("cpu"))

    def _part(self, split: Split, config: Mapping[str, Any] | None = None) -> "Part":
        """The rows; as `config` wants them prepared, where it has a say in that."""
        prepared = self._prepared(config or {})
        return prepared.val if split == "val" else prepared.test

    def _prepared(self, config: Mapping[str, Any]) -> "Prepared":
        searched = self.load is not None and options.chosen(config)
        return self.load(config) if searched and self.load else self.prepared

    @property
    def _scale(self) -> "Tensor | None":
        return self.prepared.target_scale if self.kind == "regression" else None

    def _cut(self, rows: "Tensor") -> "tuple[Tensor, ...]":
        import torch

        each = int(self.prepared.inputs) * (int(self.prepared.outputs) if self.kind == "next_token" else 1)
        return torch.split(rows, max(1, VALUES // each))


def bare(metric: str) -> str:
    """`val_accuracy` -> `accuracy`."""
    return metric.partition("_")[2] if metric.startswith(("val_", "train_", "test_")) else metric
