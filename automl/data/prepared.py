"""What loading data ends with: three parts as tensors, and everything needed to prepare new rows the same way."""

import hashlib
import json
import math
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from automl.data import curves
from automl.data.folds import Folds
from automl.data.shapes import Inputs, Outputs
from automl.data.summary.facts import Summary

SAMPLE_ROWS = 4
"""Rows kept with a saved model to check it by."""


@dataclass(frozen=True)
class Part:
    """One part of the data (training, validation or test), on the CPU until it is moved with `to`.

    Attributes:
        x: [N, *inputs.shape] float32, or int64 for tokens.
        y: classification [N] int64; regression [N, outputs] float32 in standard units (see `Prepared.target_scale`);
            next token [N, T] int64.
        weight: [N] float32 (sample weights times class weights, mean 1) or None.
        folds: which of the rows each fold's model trains on (training part only); None: all of them.
    """

    x: Tensor
    y: Tensor
    weight: Tensor | None = None
    folds: Folds | None = field(default=None, kw_only=True)

    def __len__(self) -> int:
        return len(self.y)

    def __add__(self, other: "Part") -> "Part":
        """The rows of both."""
        weights = (self.weight, other.weight)
        weight = None if weights[0] is None or weights[1] is None else torch.cat([weights[0], weights[1]])
        return Part(torch.cat([self.x, other.x]), torch.cat([self.y, other.y]), weight)

    def head(self, count: int) -> "Part":
        """The first `count` samples (views)."""
        return Part(self.x[:count], self.y[:count], None if self.weight is None else self.weight[:count])

    def rows(self, first: int, count: int) -> "Part":
        """`count` samples from number `first` on, or as many as there are (views)."""
        some = slice(first, first + count)
        return Part(self.x[some], self.y[some], None if self.weight is None else self.weight[some])

    def at(self, rows: Tensor) -> "Part":
        """The samples with these indices [n]."""
        return Part(self.x[rows], self.y[rows], None if self.weight is None else self.weight[rows])

    @property
    def epoch_rows(self) -> int:
        """How many samples a model sees in an epoch: all, or as many as the fold with the most of them has."""
        return len(self) if self.folds is None else self.folds.most

    def to(self, device: torch.device | str) -> "Part":
        """The same samples on `device`; nothing is copied where they are there already."""
        weight = None if self.weight is None else self.weight.to(device)
        return Part(self.x.to(device), self.y.to(device), weight, folds=self.folds)


@dataclass(frozen=True)
class Prepared:
    """Data ready to train on.

    Attributes:
        inputs: layout of one sample.
        outputs: what a model for this target returns.
        kind: of the task, see `automl.metrics.kinds`.
        train, val, test: the parts. With folds (`split: {folds: K}`) `val` are the training rows that are held out by
            one of them, see `folds`.
        classes: the label of each output unit (classification).
        columns: the name of each value of x, where there are names.
        preparation: JSON-able; `transform.transform(preparation, rows)` prepares new rows the same way.
        fingerprint: sha256 of the prepared tensors.
        notes: a line for each decision that was made without being asked for.
        sample: a few validation rows as read, JSON-able, by which a saved model is checked when it is loaded.
        summary: what was decided about the data, for people; None where they do not come from `automl.data.load`.
    """

    inputs: Inputs
    outputs: Outputs
    kind: str
    train: Part
    val: Part
    test: Part
    classes: list[Any]
    columns: list[str]
    preparation: dict[str, Any]
    fingerprint: str
    notes: list[str] = field(default_factory=list)
    sample: list[Any] = field(default_factory=list)
    summary: Summary | None = None

    @property
    def folds(self) -> Folds | None:
        """Which rows each of several models trains on, and is compared on; None: there is one model."""
        return self.train.folds

    @property
    def apart(self) -> tuple[Part, Part, Part]:
        """The parts without what is in two of them: with folds no row is for validation alone."""
        return self.train, self.val if self.folds is None else self.val.head(0), self.test

    def fold(self, number: int) -> "Prepared":
        """The data of the model of one fold: its training rows, and those it is compared on."""
        assert self.folds is not None
        train, val = self.train.at(self.folds.train_rows(number)), self.val.at(self.folds.held_rows(number))
        return replace(self, train=train, val=val)

    @property
    def train_y(self) -> Tensor:
        """The targets of the training rows as those of the other parts are: values in standard units, on no curve."""
        if self.outputs.curve is None:
            return self.train.y
        return torch.from_numpy(curves.outside(self.outputs.curve, self.train.y.double().numpy())).float()

    @property
    def target_center(self) -> Tensor:
        """[targets] float32: what was subtracted from a regression target; [0] for other tasks."""
        return torch.tensor(self.preparation["target"].get("center", [0.0]), dtype=torch.float32)

    @property
    def target_scale(self) -> Tensor:
        """[targets] float32: the unit of a regression target: value = y * scale + center; [1] for other tasks."""
        return torch.tensor(self.preparation["target"].get("scale", [1.0]), dtype=torch.float32)

    @property
    def unit(self) -> Tensor | None:
        """`target_scale`, in which metrics are told; None for tasks whose targets have no unit."""
        return self.target_scale if self.kind == "regression" else None


def as_learned(part: Part, prepared: Prepared) -> Part:
    """A part whose targets are in standard units, with targets as a training part has them."""
    curve = prepared.outputs.curve
    if curve is None:
        return part
    return replace(part, y=torch.from_numpy(curves.inside(curve, part.y.double().numpy()).astype(np.float32)))


def sample_rows(rows: Any, most: int = SAMPLE_ROWS) -> list[Any]:
    """The first rows as JSON: dicts for a table, nested lists for arrays."""
    if isinstance(rows, pd.DataFrame):
        text = rows.head(most).to_json(orient="records", date_format="iso", double_precision=15)
        records: list[dict[str, Any]] = json.loads(text)
        for name, values in rows.head(most).select_dtypes("float").items():  # all digits, also of 1e-20
            for record, value in zip(records, values.astype(float).tolist(), strict=True):
                record[str(name)] = value if math.isfinite(value) else None
        return records
    few = np.asarray(rows[:most])
    return (few if few.dtype == object else few.astype(np.float64)).tolist()  # type: ignore[no-any-return]


def fingerprint(parts: list[Part]) -> str:
    """sha256 of what models see: shapes, types and bytes of the tensors of all parts."""
    digest = hashlib.sha256()
    for part in parts:
        for tensor in (part.x, part.y, part.weight, None if part.folds is None else part.folds.home):
            if tensor is not None:
                digest.update(f"{tuple(tensor.shape)}{tensor.dtype}".encode())
                digest.update(np.ascontiguousarray(tensor.numpy()).data)
    return digest.hexdigest()
