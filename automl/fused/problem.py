"""What the engine is given: the problem, the options, and trials to admit."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from automl.data.prepared import Part
from automl.fused.lane import LaneState
from automl.fused.modules.blueprint import Build

Fuse = Literal["auto", "never", "require"]


@dataclass(frozen=True)
class Problem:
    """What is trained: the factory `build(config, inputs, outputs)`, the kind of loss, and the data.

    `scale` `[outputs]`: the unit of a regression target, in which rmse and mae are told. `mixes`: names of a config
    that shape the model, and yet may differ among trials that train together (see `mixed`). `zeros`: a dropout of 0 may
    make another model than one of 0.1 (see `signature`).
    """

    build: Build
    inputs: Any
    outputs: Any
    kind: str
    train: Part
    val: Part
    scale: Tensor | None = None
    mixes: tuple[str, ...] = ()
    zeros: bool = True


@dataclass(frozen=True)
class Options:
    """How: `fuse`, the most lanes (`max_parallel`: stale suggestions weaken model-based search), device, dtype.

    `ranks`: measure auroc after every epoch; otherwise, as all scores must be sorted for it, after a trial's last one
    (nan before). `fixed_bucket` always computes that many rows, so that results do not depend in the last bit on how
    many trials happen to run. `known`: the file in which it is kept how many lanes of each signature pay. `epochs` of a
    full trial, so that lanes are not so many that none ends for long; 0: that does not matter.
    """

    fuse: Fuse = "auto"
    max_parallel: int = 128
    device: str = "cpu"
    dtype: torch.dtype | None = None
    fixed_bucket: int | None = None
    ranks: bool = False
    known: Path | None = None
    epochs: int = 0


@dataclass(frozen=True)
class Entry:
    """A trial to admit. `epochs` is its whole horizon; `state` continues it from a snapshot."""

    trial: int
    config: Mapping[str, Any]
    seed: int
    epochs: int
    state: LaneState | None = None
