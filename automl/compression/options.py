"""What is asked of a compression: the limits, how much of the score may be lost, and which ways are tried."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from automl import metrics
from automl.errors import SpecError, did_you_mean

WAYS = ("fewer", "prune", "rank", "student", "onnx", "int8")
"""The ways, in the order in which they are tried."""
LIMITS = ("bytes", "parameters", "latency_ms", "latency64_ms")
"""What may be limited: bytes and parameters of the network, and milliseconds for 1 and for 64 rows."""
LOSE = 0.005
_UNITS = {"": 1, "b": 1, "k": 1e3, "m": 1e6, "g": 1e9, "kb": 1e3, "mb": 1e6, "gb": 1e9,
          "kib": 2**10, "mib": 2**20, "gib": 2**30}  # fmt: skip
_NUMBER = re.compile(r"(\d+(?:\.\d*)?(?:e[+-]?\d+)?)\s*([a-z]*)", re.IGNORECASE)


@dataclass(frozen=True)
class CompressOptions:
    """What is asked of a compression.

    Attributes:
        at_most: {name of `LIMITS`: value}; without any, everything is allowed that is not slower.
        lose: how much worse the score may be, in the metric's unit.
        relative: whether `lose` is a share of the original's score instead.
        ways: which of `WAYS` are tried.
        epochs: of training after a layer was cut; None: a quarter of the winner's, at least 2.
    """

    at_most: Mapping[str, float] = field(default_factory=dict)
    lose: float = LOSE
    relative: bool = False
    ways: Sequence[str] = WAYS
    epochs: int | None = None

    def allowed(self, score: float) -> float:
        """How much worse than `score`, the original's, a variant may be, in the metric's unit."""
        return self.lose * abs(score) if self.relative else self.lose


def options(
    metric: str, at_most: "str | Mapping[str, float | str] | None", lose: float | str | None,
    ways: Sequence[str] | None, epochs: int | None,
) -> CompressOptions:  # fmt: skip
    """Read what a user has asked for.

    Args:
        metric: the study's, as `val_accuracy`.
        at_most: limits, as `{"bytes": "1MB", "latency_ms": 2}` or the text "bytes=1MB,latency_ms=2".
        lose: `0.005` in the metric's unit, or "1%" of the original's score; None: 0.005, and for metrics with the unit
            of the data (such as the RMSE) 0.5 %.
        ways: of `WAYS`; None: all.
        epochs: see `CompressOptions`.

    Raises:
        SpecError: says what is wrong, and what to write instead.
    """
    if isinstance(at_most, str):
        items = [item.partition("=") for item in at_most.split(",") if item.strip()]
        at_most = {name.strip(): value for name, _, value in items}
    limits = {name: _limit(name, value) for name, value in (at_most or {}).items()}
    unknown = [way for way in ways or () if way not in WAYS]
    if unknown:
        raise SpecError(f"way: unknown {unknown[0]!r}{did_you_mean(unknown[0], WAYS)}; one of {', '.join(WAYS)}")
    if epochs is not None and epochs < 1:
        raise SpecError(f"epochs: must be at least 1, got {epochs}")
    lost, relative = _lost(metric, lose)
    return CompressOptions(limits, lost, relative, tuple(way for way in WAYS if way in (ways or WAYS)), epochs)


def _limit(name: str, value: float | str) -> float:
    if name not in LIMITS:
        raise SpecError(f"at most: unknown limit {name!r}{did_you_mean(name, LIMITS)}; one of {', '.join(LIMITS)}")
    match = _NUMBER.fullmatch(str(value).strip())
    units = _UNITS if name in ("bytes", "parameters") else {"": 1.0, "ms": 1.0, "us": 1e-3, "s": 1e3}
    if match is None or match[2].lower() not in units or float(match[1]) <= 0:
        example = "1MB" if name in ("bytes", "parameters") else "2"
        raise SpecError(f"at most: {name}={value} is not a number above 0 such as {name}={example}")
    return float(match[1]) * units[match[2].lower()]


def _lost(metric: str, lose: float | str | None) -> tuple[float, bool]:
    """(how much, whether it is a share of the score)."""
    if lose is None:
        bare = metric.partition("_")[2] or metric
        return LOSE, metrics.bounds(metric)[1] != 1.0 and bare not in ("loss", "log_loss")
    text = str(lose).strip()
    share = text.endswith("%")
    try:
        value = float(text.removesuffix("%")) / (100 if share else 1)
    except ValueError:
        value = math.nan
    if not 0 <= value < math.inf:
        raise SpecError(f"lose: {lose} is not a number such as 0.005, or a share of the score such as 1%")
    return value, share
