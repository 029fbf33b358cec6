"""What is measured of a variant: bytes, parameters, latency, and its score beside the original's on the same rows."""

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from automl.bundle import files
from automl.bundle.ensemble import Ensemble, average
from automl.bundle.model import Model
from automl.compression.subject import Original
from automl.metrics import intervals
from automl.models.tables.trees import Trees

ROWS = (1, 64)
"""The batch sizes (rows) at which latency is measured."""
BLOCK_S = 0.03
BLOCKS = 9
NOISE = 1.05
"""A latency within this factor of another one counts as the same."""


@dataclass(frozen=True)
class Variant:
    """A compressed model and what was measured of it.

    Attributes:
        name: of its folder.
        way: of `options.WAYS`; "" for the original.
        base: the variant it was made of; "" for those made of the original.
        bytes: of the file of the network.
        parameters: how many numbers the network had before they were quantized.
        latency_ms, latency64_ms: milliseconds for 1 and 64 prepared rows in one thread, see `latency_ms`.
        score: on the validation rows.
        gain: how much better it is than the original on these rows; below 0 it is worse, whatever the metric.
        low, high: the ends of the 95 % interval of `gain` (paired bootstrap).
        alone: whether an answer depends on its row alone, not on those that are asked for together with it.
        note: what else is to be known of it.
        failed: why there is no such variant; "" where there is one.
    """

    name: str
    way: str = ""
    base: str = ""
    bytes: int = 0
    parameters: int = 0
    latency_ms: float = 0.0
    latency64_ms: float = 0.0
    score: float = 0.0
    gain: float = 0.0
    low: float = 0.0
    high: float = 0.0
    alone: bool = True
    note: str = ""
    failed: str = ""

    def to_json(self) -> dict[str, Any]:
        """As plain values, for the ledger."""
        return asdict(self)

    def loses_surely(self, allowed: float) -> bool:
        """Whether the whole interval lies below what may be lost."""
        return self.high < -allowed

    def keeps(self, allowed: float) -> bool:
        """Whether at most `allowed` of the score is lost, with a confidence of 97.5 %."""
        return self.low >= -allowed


def measured(
    original: Original, bundle: Path, name: str, way: str, base: str = "", parameters: int = 0, alone: bool = True,
    note: str = "", scored: Path | None = None,
) -> Variant:  # fmt: skip
    """Measure the model in a bundle.

    Args:
        original: what the variant was made of.
        bundle: of the variant, or of the original itself; an ensemble's too.
        name, way, base, alone, note: see `Variant`.
        parameters: of the network before it was quantized; 0: they are counted.
        scored: the bundle that is scored on the validation rows in its place (see `CompressionRecord.scored`).
    """
    from automl.bundle.loading import load

    model, holdout = load(bundle, build=original.build), original.holdout
    ours, theirs = holdout.sample(scored or bundle, "val"), holdout.sample(original.bundle, "val")
    gain, (low, high) = intervals.difference(ours, theirs, sign=original.sign)
    members = model.models if isinstance(model, Ensemble) else [model]
    one, many = (latency_ms(_called(original, model, rows)) for rows in ROWS)
    return Variant(
        name=name, way=way, base=base, bytes=_bytes(bundle),
        parameters=parameters or sum(count(member.module) for member in members),
        latency_ms=one, latency64_ms=many, score=ours.value, gain=gain, low=low, high=high, alone=alone,
        note=note,
    )  # fmt: skip


def in_words(variant: Variant) -> str:
    """What was measured, in one line."""
    return (
        f"{variant.bytes:,} bytes, {variant.latency_ms:.3g} ms for one row, {variant.latency64_ms:.3g} ms for 64,"
        f" score {variant.score:.5g}"
    )


def _bytes(bundle: Path) -> int:
    """The size of the networks in a bundle, or in all bundles of an ensemble."""
    found = [file for name in (files.NETWORK, files.WEIGHTS) for file in bundle.rglob(name)]
    return sum(file.stat().st_size for file in found)


def _called(original: Original, model: Model | Ensemble, rows: int) -> Callable[[], object]:
    """A function that computes the outputs for so many prepared rows."""
    if not isinstance(model, Ensemble):
        module, x = model.module, original.data.of(model.config).val.x[:rows].contiguous()
        return lambda: module(x)
    inputs = [original.data.of(member.config).val.x[:rows].contiguous() for member in model.models]
    modules = [member.module for member in model.models]

    def call() -> Tensor:
        outputs = (module(x) for module, x in zip(modules, inputs, strict=True))
        return average(outputs, model.weights, model.kind)

    return call


def latency_ms(call: Callable[[], object]) -> float:
    """Milliseconds of one call: the least of the means over `BLOCKS` blocks of calls.

    Measured is the CPU time of this thread, in which all is computed: how long a call takes on a core that has nothing
    else to do. Other programs only ever make a block slower, so the least one is nearest to that.
    """
    with torch.no_grad():
        begun, calls = time.thread_time(), 0
        while calls < 3 or time.thread_time() - begun < BLOCK_S:
            call()
            calls += 1
        means = []
        for _ in range(BLOCKS):
            begun = time.thread_time()
            for _ in range(calls):
                call()
            means.append((time.thread_time() - begun) / calls)
    return 1000 * min(means)


def count(module: nn.Module) -> int:
    """The number of parameters, tied ones once; of trees the number of nodes: a threshold each, or a leaf's value."""
    nodes = sum(len(trees.value) for trees in module.modules() if isinstance(trees, Trees))
    return nodes + sum(p.numel() for p in module.parameters())
