"""The front of the variants, and the one that is chosen by the user's limits."""

from collections.abc import Sequence
from dataclasses import dataclass

from automl.compression.measuring import NOISE, Variant
from automl.compression.options import CompressOptions

ORIGINAL = "original"


@dataclass(frozen=True)
class Choice:
    """What was decided.

    Attributes:
        chosen: the variant; None where none is within all limits.
        front: names of the variants that no other one beats in bytes, both latencies and the score at once.
        reasons: {name: why it cannot be chosen}; variants that could be are absent.
    """

    chosen: Variant | None
    front: frozenset[str]
    reasons: dict[str, str]


def choose(variants: Sequence[Variant], options: CompressOptions) -> Choice:
    """Choose among variants: of those that are within all limits, the one with the least bytes times milliseconds.

    One whose answers depend on the rows that are asked for together is chosen only where there is no other.

    Args:
        variants: with the original among them.
        options: the limits, and what may be lost of the score.
    """
    made = [variant for variant in variants if not variant.failed]
    original = next(variant for variant in made if variant.name == ORIGINAL)
    reasons = {}
    for variant in made:
        if reason := _reason(variant, original, options):
            reasons[variant.name] = reason
    allowed = [variant for variant in made if variant.name not in reasons and variant.way]
    chosen = min(allowed, key=lambda v: (not v.alone, v.bytes * v.latency_ms, v.name), default=None)
    return Choice(chosen, front(made), reasons)


def front(variants: Sequence[Variant]) -> frozenset[str]:
    """Names of the variants that no other one beats in bytes, both latencies and the score at once."""
    points = {v.name: (v.bytes, v.latency_ms, v.latency64_ms, -v.gain) for v in variants}
    beaten = {
        name
        for name, own in points.items()
        for other in points.values()
        if other != own and all(a <= b for a, b in zip(other, own, strict=True))
    }
    return frozenset(points.keys() - beaten)


def _reason(variant: Variant, original: Variant, options: CompressOptions) -> str:
    """Why a variant cannot be chosen; "" where it can."""
    allowed = options.allowed(original.score)
    if not variant.keeps(allowed):
        return f"may lose {-variant.low:.3g} of the score, more than {allowed:.3g}"
    for name, most in options.at_most.items():
        if (value := getattr(variant, name)) > most:
            return f"{name} {value:.9g} is above {most:.9g}"
    limited = "latency_ms" in options.at_most or "latency64_ms" in options.at_most
    slower = variant.latency_ms > NOISE * original.latency_ms
    return "slower at one row than the original" if slower and not limited and variant.way else ""
