"""Saved models scored on the validation and test rows of a described task; nothing else looks at the test rows."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from automl import metrics
from automl.data.preparing import options
from automl.metrics import rows as samples

if TYPE_CHECKING:
    from torch import Tensor

    from automl.data.prepared import Part, Prepared
    from automl.models import Build
    from automl.tasks.described import DescribedTask

Which = Literal["val", "test"]
VALUES = 2**22  # most values (samples times inputs, or tokens times outputs) that go through a model at once


@dataclass
class Holdout:
    """`name`: the metric without `val_`, as `samples.rows` takes it."""

    prepared: "Prepared"
    build: "Build"
    name: str
    load: "Callable[[Mapping[str, Any]], Prepared] | None" = None  # the data as a config wants them prepared
    _outputs: dict[tuple[Path, Which], "Tensor"] = field(default_factory=dict)
    _samples: dict[tuple[Path, Which], samples.Sample] = field(default_factory=dict)

    @classmethod
    def of(cls, task: "DescribedTask") -> "Holdout":
        """Loads the data (and torch)."""
        return cls(task.load(), task.builder(), bare(task.metric.name), task.load)

    @property
    def test_rows(self) -> int:
        return len(self.prepared.test)

    def sample(self, model: Path, which: Which) -> samples.Sample:
        """The study's metric of the bundle in `model`, row by row."""
        if (model, which) not in self._samples:
            self._samples[model, which] = self._sampled(model, which)
        return self._samples[model, which]

    def _sampled(self, model: Path, which: Which) -> samples.Sample:
        import numpy as np

        part, kind = self._part(which), self.prepared.kind
        made = [
            samples.rows(self.name, kind, outputs, y, self._scale)
            for outputs, y in zip(self._pieces(model, which), self._cut(part.y), strict=True)
        ]
        weight = np.ones(len(part)) if part.weight is None else part.weight.double().numpy()
        plain = part.weight is None and kind == "classification"
        return samples.of_rows(self.name, np.concatenate(made), weight, plain=plain)

    def sample_of(self, outputs: "Tensor", which: Which) -> samples.Sample:
        """The same for outputs that are there already (an ensemble's)."""
        part = self._part(which)
        return samples.sample(self.name, self.prepared.kind, outputs, part.y, part.weight, self._scale)

    def metrics(self, model: Path, which: Which) -> dict[str, float]:
        """Every metric of the task's kind, as `val_NAME` or `test_NAME`; for a language model the study's alone."""
        if self.prepared.kind == "next_token":
            return {f"{which}_{self.name}": self.sample(model, which).value}
        part = self._part(which)
        outputs = self.outputs(model, which)
        found = metrics.compute(self.prepared.kind, outputs, part.y, part.weight, scale=self._scale)
        found["loss"] = samples.sample("loss", self.prepared.kind, outputs, part.y, part.weight).value
        return {f"{which}_{name}": value for name, value in found.items()}

    def outputs(self, model: Path, which: Which) -> "Tensor":
        """[N, units] outputs of the bundle in `model` for all rows; on the CPU. Not for language models: too large."""
        import torch

        if (model, which) not in self._outputs:
            self._outputs[model, which] = torch.cat(self._pieces(model, which))
        return self._outputs[model, which]

    def _pieces(self, model: Path, which: Which) -> "list[Tensor]":
        import torch

        from automl.bundle import bundle

        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        made = bundle.load_one(model, build=self.build, device=device)
        with torch.no_grad():
            return [made.module(x.to(device)).cpu() for x in self._cut(self._part(which, made.config).x)]

    def _part(self, which: Which, config: "Mapping[str, Any] | None" = None) -> "Part":
        """The rows; prepared as `config` wants them where it has a say in that."""
        own = self.load is not None and options.chosen(config or {})
        prepared = self.load(config or {}) if own and self.load else self.prepared
        return prepared.val if which == "val" else prepared.test

    @property
    def _scale(self) -> "Tensor | None":
        return self.prepared.target_scale if self.prepared.kind == "regression" else None

    def _cut(self, rows: "Tensor") -> "tuple[Tensor, ...]":
        import torch

        each = int(self.prepared.inputs) * (int(self.prepared.outputs) if self.prepared.kind == "next_token" else 1)
        return torch.split(rows, max(1, VALUES // each))


def bare(metric: str) -> str:
    """`val_accuracy` -> `accuracy`."""
    return metric.partition("_")[2] if metric.startswith(("val_", "train_", "test_")) else metric
