"""What the engine is given: the problem, its options, and trials to admit."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from automl.data.prepared import Part
from automl.data.streaming.shards import Streamed
from automl.fused.lane import LaneState
from automl.fused.modules.blueprint import Build
from automl.fused.tensors.rows import TrainingRows
from automl.training.samples.row_stream import RowStream
from automl.training.samples.units import EPOCH, Unit

CPU = torch.device("cpu")
Fuse = Literal["auto", "never", "require"]


@dataclass(frozen=True)
class Problem:
    """What is trained.

    Attributes:
        build: the factory `build(config, inputs, outputs)`.
        inputs, outputs: what it is given besides the config.
        kind: of the task and its loss: classification, regression or next_token.
        train, val: the samples to train on, and those to validate on after each epoch; either may be streamed. Where
            `train` has folds, each lane is of one, and is validated on what that one holds out.
        scale: `[outputs]`, the unit of a regression target, in which rmse and mae are reported.
        mixes: names of a config that shape the model and may nevertheless differ among trials that train together
            (see `mixed`).
        augment: strengths of augmentation that all trials have, by operation (see `training.strengths`).
        own_factory: `build` is a user's. It may leave a dropout layer out where the probability is exactly 0, so the
            engine looks whether it does before it lets such trials train together (see `sizing.zero_dropout`).
        unit: what lanes train on between two evaluations; everything that is said of epochs here is then said of it.
        sample, at_end: see `training.samples.validation`; the rest of `val` is for a lane's last epoch, or for none.
        device: where batches go.
    """

    build: Build
    inputs: Any
    outputs: Any
    kind: str
    train: Part
    val: Part
    scale: Tensor | None = None
    mixes: tuple[str, ...] = ()
    own_factory: bool = True
    augment: Mapping[str, Any] = field(default_factory=dict)
    unit: Unit = EPOCH
    sample: Part | None = None
    at_end: bool = True
    device: torch.device = CPU

    @cached_property
    def rows(self) -> TrainingRows:
        """The training samples, read where they are streamed."""
        stream = RowStream(self.train, self.device) if isinstance(self.train, Streamed) else None
        return TrainingRows(self.train, self.unit, stream)

    def to(self, device: torch.device) -> "Problem":
        """The same with its data on `device`."""
        scale = None if self.scale is None else self.scale.to(device)
        sample = None if self.sample is None else self.sample.to(device)
        train, val = self.train.to(device), self.val.to(device)
        return replace(self, train=train, val=val, sample=sample, scale=scale, device=device)


@dataclass(frozen=True)
class Options:
    """How it is trained.

    Attributes:
        fuse: "auto": trials train together where that is possible and pays; "never"; "require": always, and a model
            that cannot is an error.
        max_parallel: the most lanes of a group; many lanes make a model-based strategy suggest without fresh results.
        device, dtype: where, and in what format (None: as the model is built).
        tf32: whether products on a GPU round their factors to TF32 (10 bits of mantissa).
        bf16: whether forward passes are cast to bfloat16; weights and updates keep `dtype`.
        fixed_bucket: always compute that many rows, so that results do not depend in their last bit on how many
            trials happen to run. None: as many as are needed.
        auroc_every_epoch: AUROC needs all scores sorted, so by default it is measured after a trial's last epoch only,
            and is nan before.
        measurements: the file that remembers how many lanes of each signature pay; None: nothing is remembered.
        epochs: of a full trial, so that there are not so many lanes that none ends for long; 0: that does not matter.
    """

    fuse: Fuse = "auto"
    max_parallel: int = 128
    device: str = "cpu"
    dtype: torch.dtype | None = None
    tf32: bool = False
    bf16: bool = False
    fixed_bucket: int | None = None
    auroc_every_epoch: bool = False
    measurements: Path | None = None
    epochs: int = 0


@dataclass(frozen=True)
class Entry:
    """A trial to admit. `epochs`: how many it has in all; `state` continues it from a snapshot; `fold`: see `Lane`."""

    trial: int
    config: Mapping[str, Any]
    seed: int
    epochs: int
    state: LaneState | None = None
    fold: int = 0
