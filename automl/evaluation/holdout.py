"""Saved models scored on validation and test rows. No other file of this project scores a model on the test rows."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import numpy as np

from automl import metrics
from automl.data.preparing import options
from automl.metrics import defined
from automl.metrics import rows as samples
from automl.metrics.by_target import by_target

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from automl.data.prepared import Part, Prepared
    from automl.models import Build

Split = Literal["val", "test"]
T = TypeVar("T")
ROWS, VALUES = 2**16, 2**22
"""At most so many rows, and values (samples times inputs, or tokens times outputs), go through a model at once."""


@dataclass
class Holdout:
    """The validation and test rows of a task, and one metric; outputs and scores are kept, so each is computed once.

    Args:
        prepared: the data as prepared for a config without data hyperparameters.
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
    _metrics: dict[tuple[Path, Split], dict[str, float]] = field(default_factory=dict)

    @property
    def kind(self) -> str:
        """That of the task, see `metrics.kinds`."""
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
        if self._large(split):
            return self._in_pieces(bundle, split)
        scores = [
            samples.rows(self.name, self.kind, outputs, y, self._scale)
            for outputs, y in zip(self._pieces(bundle, split), self._cut(part.y), strict=True)
        ]
        weight = np.ones(len(part)) if part.weight is None else part.weight.double().numpy()
        return samples.of_rows(self.name, np.concatenate(scores), weight, plain=self._plain(split), kind=self.kind)

    def _large(self, split: Split) -> bool:
        return len(self._part(split)) > samples.LARGE and self.kind != "next_token"

    def _plain(self, split: Split) -> bool:
        return self._part(split).weight is None and self.kind == "classification"

    def _in_pieces(self, bundle: Path, split: Split) -> samples.Sample:
        def measured(device: "torch.device") -> tuple[samples.Sample, dict[str, float]]:
            return self._summed(self._computed(bundle, split, device), split)

        sample, self._metrics[bundle, split] = _with_device(measured)
        return sample

    def _summed(self, pieces: "Iterable[Tensor]", split: Split) -> tuple[samples.Sample, dict[str, float]]:
        """(some rows one by one, every metric of all): what is in memory does not depend on how many rows there are."""
        import torch

        from automl.metrics.batched import Meter

        part, scores, first = self._part(split), [], 0
        kept, weight = samples.shown(len(part)), part.weight
        meter = Meter(self.kind, 1, torch.device("cpu"), self._scale, torch.zeros(1, dtype=torch.int64))
        for outputs in pieces:
            rows = slice(first, first + len(outputs))
            y = part.y[rows]
            meter.add(outputs.double().unsqueeze(0), y, None if weight is None else weight[rows])
            some = kept[slice(*np.searchsorted(kept, (rows.start, rows.stop)))] - first
            scores.append(samples.rows(self.name, self.kind, outputs[some], y[some], self._scale))
            first = rows.stop
        values = {name: float(value) for name, value in meter.result().items()}
        weights = np.ones(len(kept)) if weight is None else weight[kept].double().numpy()
        whole = samples.Whole(len(part), values[self.name])
        table = np.concatenate(scores)
        return samples.of_rows(self.name, table, weights, plain=self._plain(split), whole=whole, kind=self.kind), values

    def sample_of(self, outputs: "Tensor", split: Split) -> samples.Sample:
        """The metric, row by row, of outputs [N, units] that are computed already (an ensemble's)."""
        part = self._part(split)
        if self._large(split):
            return self._summed(self._cut(outputs), split)[0]
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
        if self._large(split):
            self.sample(bundle, split)
            values = self._metrics[bundle, split]
        else:
            return self.metrics_of(self.outputs(bundle, split), split)
        return {f"{split}_{name}": value for name, value in values.items() if math.isfinite(value)}

    def metrics_of(self, outputs: "Tensor", split: Split) -> dict[str, float]:
        """As `metrics`, of outputs [N, units] that are computed already."""
        part = self._part(split)
        values = metrics.compute(self.kind, outputs, part.y, part.weight, scale=self._scale)
        values["loss"] = samples.sample("loss", self.kind, outputs, part.y, part.weight).value
        names = self.prepared.preparation["target"].get("columns", ())
        values |= by_target(self.kind, names, outputs, part.y, part.weight, self._scale)
        return {f"{split}_{name}": value for name, value in values.items() if math.isfinite(value)}

    def outputs(self, bundle: Path, split: Split) -> "Tensor":
        """[N, units] outputs of the model in `bundle` for all rows, on the CPU. Too large for language models."""
        import torch

        if (bundle, split) not in self._outputs:
            self._outputs[bundle, split] = torch.cat(self._pieces(bundle, split))
        return self._outputs[bundle, split]

    def _pieces(self, bundle: Path, split: Split) -> "list[Tensor]":
        return _with_device(lambda device: list(self._computed(bundle, split, device)))

    def _computed(self, bundle: Path, split: Split, device: "torch.device") -> "Iterator[Tensor]":
        """The outputs of the model in `bundle`, some rows at a time, on the CPU."""
        import torch

        from automl.bundle import ensemble, files
        from automl.bundle.io import load_model
        from automl.bundle.outputs import of_validation
        from automl.models.combined.bagged import FOLDS
        from automl.training.samples.row_stream import pieces

        manifest = files.read_json(bundle / files.MANIFEST)
        if manifest.get("format") == ensemble.FORMAT:
            yield from self._cut(self._together(bundle, manifest["members"], split))
            return
        model = load_model(bundle, manifest, build=self.build, device=device)
        prepared = self._prepared(model.config)
        if split == "val" and FOLDS in model.config:  # no row is scored by a model that has seen it
            yield from torch.split(of_validation(model.module, prepared, device), self._rows)
            return
        with torch.no_grad():
            for piece in pieces(self._part(split, model.config), self._rows):
                yield model.module(piece.x.to(device)).cpu()

    def _together(self, folder: Path, members: "Sequence[Mapping[str, Any]]", split: Split) -> "Tensor":
        """[N, units] outputs of an ensemble; on validation rows a member of one fold has a say in those of its fold."""
        import torch

        from automl.bundle.ensemble import from_average, to_average

        classes, folds = self.kind == "classification", self.prepared.folds
        total = share = torch.zeros((), dtype=torch.float64)
        for member in members:
            says = torch.full((len(self._part(split)), 1), float(member["weight"]), dtype=torch.float64)
            if split == "val" and folds is not None and "fold" in member:
                held = torch.zeros_like(says)
                held[folds.held_rows(member["fold"])] = 1.0
                says = says * held
            outputs = to_average(self.outputs(folder / member["folder"], split), classes=classes)
            total, share = total + says * outputs, share + says
        return from_average(total / share, classes=classes).float()

    def _part(self, split: Split, config: Mapping[str, Any] | None = None) -> "Part":
        """The rows; as `config` wants them prepared, where it has a say in that."""
        prepared = self._prepared(config or {})
        return prepared.val if split == "val" else prepared.test

    def _prepared(self, config: Mapping[str, Any]) -> "Prepared":
        searched = self.load is not None and options.chosen(config)
        return self.load(config) if searched and self.load else self.prepared

    @property
    def _scale(self) -> "Tensor | None":
        return self.prepared.unit

    def _cut(self, rows: "Tensor") -> "tuple[Tensor, ...]":
        import torch

        return torch.split(rows, self._rows)

    @property
    def _rows(self) -> int:
        """Rows that go through a model at once."""
        each = int(self.prepared.inputs) * (int(self.prepared.outputs) if self.kind == "next_token" else 1)
        return max(1, min(ROWS, VALUES // each))


def _with_device(computed: "Callable[[torch.device], T]") -> T:
    """What is computed on a GPU, or on the CPU where there is none that can be used."""
    import torch

    try:
        return computed(torch.device("cuda" if torch.cuda.is_available() else "cpu"))
    except RuntimeError:  # a GPU that others have filled, or that torch cannot use in this process
        if not torch.cuda.is_available():
            raise
    return computed(torch.device("cpu"))


def bare(metric: str) -> str:
    """`val_accuracy` -> `accuracy`."""
    return metric.partition("_")[2] if metric.startswith(("val_", "train_", "test_")) else metric
