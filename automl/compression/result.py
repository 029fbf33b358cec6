"""`Compression`: what came of compressing a study's winner, as a table and as a saved model."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from automl.compression.choosing import ORIGINAL, Choice
from automl.compression.measuring import NOISE, Variant

if TYPE_CHECKING:
    from automl.bundle.model import Model


@dataclass(frozen=True)
class Compression:
    """The variants of a study's winner, and the one that was chosen.

    Attributes:
        path: the bundle of the chosen one, which `automl.load`, `predict` and `serve` take; None where none was chosen.
        metric: on which scores are, as `val_accuracy`.
        variants: all of them, the original first.
        choice: the chosen one, the front, and why others were not chosen.
        test: the chosen variant's scores on the test set, see `judging.judge`; None without a test set.
        vnni: whether this processor adds products of 8-bit numbers up exactly.

    Example:
        >>> small = automl.compress("studies/digits", at_most={"bytes": "100KB"})
        >>> print(small.table())
        >>> small.model().predict(rows)
    """

    path: Path | None
    metric: str
    variants: list[Variant]
    choice: Choice
    test: dict[str, Any] | None
    vnni: bool

    @property
    def chosen(self) -> Variant | None:
        """The chosen variant; None where none is within the limits."""
        return self.choice.chosen

    def model(self) -> "Model":
        """The chosen model, loaded.

        Raises:
            BundleError: none was chosen.
        """
        from automl.bundle.io import load_model
        from automl.errors import BundleError

        if self.path is None:
            raise BundleError("no compressed model is within the limits, so there is none to load")
        return load_model(self.path)

    def table(self) -> str:
        """The variants as a table for people, with what is to be said of them below it."""
        original, *others = (variant for variant in self.variants if not variant.failed)
        made = [original, *sorted(others, key=lambda v: -v.bytes)]
        head = ["", "variant", "bytes", "parameters", "1 row ms", "64 rows ms", self.metric, "change, 95 % interval"]
        lines = [head, *(self._line(variant, original) for variant in made)]
        widths = [max(len(line[k]) for line in lines) for k in range(len(head))]
        left = (0, 1)
        text = [
            "  ".join(
                c.ljust(w) if k in left else c.rjust(w) for k, (c, w) in enumerate(zip(line, widths, strict=True))
            )
            for line in lines
        ]
        return "\n".join(line.rstrip() for line in [*text, "", *self._notes(original)])

    def _line(self, variant: Variant, original: Variant) -> list[str]:
        mark = ">" if self.chosen is not None and variant.name == self.chosen.name else ""
        mark = mark or ("*" if variant.name in self.choice.front else "")
        digits = _digits(original.score)
        change = " ".join([f"{variant.gain:+.{digits}f}", _interval(variant.low, variant.high, digits)])
        return [
            mark, variant.name, f"{variant.bytes:,}{_times(original.bytes, variant.bytes)}", f"{variant.parameters:,}",
            f"{variant.latency_ms:.3f}{_times(original.latency_ms, variant.latency_ms)}",
            f"{variant.latency64_ms:.3f}{_times(original.latency64_ms, variant.latency64_ms)}",
            f"{variant.score:.{digits}f}", change if variant.way else "",
        ]  # fmt: skip

    def _notes(self, original: Variant) -> list[str]:
        """What is to be said below the table."""
        notes = ["> chosen   * on the front: no other is better in bytes, both times and score at once"]
        notes += ["change: above 0 is better than the original on the same validation rows, whatever the metric"]
        made = [v for v in self.variants if v.way and not v.failed]
        slow = [v.name for v in made if v.latency_ms * NOISE >= original.latency_ms]
        if slow:
            notes.append(f"not faster here at one row: {', '.join(slow)}")
        slow = [v.name for v in made if v.latency64_ms * NOISE >= original.latency64_ms]
        if slow:
            notes.append(f"not faster here at 64 rows: {', '.join(slow)}")
        if not self.vnni:
            notes.append("this processor has no VNNI instructions: int8 weights have 7 bits, and gain little time")
        together = [v.name for v in made if not v.alone]
        if together:
            notes.append(f"an answer depends on the rows that are asked for together with it: {', '.join(together)}")
        told = {v.note for v in made if v.note}
        notes += [f"{', '.join(v.name for v in made if v.note == note)}: {note}" for note in sorted(told)]
        return notes + [f"{v.name}: not made: {v.failed}" for v in self.variants if v.failed]

    def verdict(self) -> list[str]:
        """What was chosen and its score on the test set, as lines."""
        if self.chosen is None:
            reasons = {name: why for name, why in self.choice.reasons.items() if name != ORIGINAL}
            lines = ["no variant is within the limits:" if reasons else "no variant could be made"]
            return lines + [f"  {name}: {why}" for name, why in reasons.items()]
        lines = [f"chosen: {self.chosen.name}, in {self.path}"]
        if self.test is None:
            return [*lines, "there is no test set to evaluate it on"]
        digits, (low, high) = _digits(self.test["original"]), self.test["gain_interval"]
        change = f"{self.test['gain']:+.{digits}f} {_interval(low, high, digits)}"
        return [
            *lines,
            f"{self.test['metric']} {self.test['value']:.5g} on {self.test['rows']} test rows; the original has"
            f" {self.test['original']:.5g}: change {change}",
            f"models evaluated on the test set so far: {self.test['looks']}",
        ]

    def to_json(self) -> dict[str, Any]:
        """All of it as plain values."""
        return {
            "schema": 1, "path": None if self.path is None else str(self.path), "metric": self.metric,
            "chosen": None if self.chosen is None else self.chosen.name, "front": sorted(self.choice.front),
            "reasons": self.choice.reasons, "variants": [variant.to_json() for variant in self.variants],
            "test": self.test, "vnni": self.vnni,
        }  # fmt: skip


def _digits(score: float) -> int:
    """How many decimals are shown of scores of this size."""
    return 4 if abs(score) < 10 else 2 if abs(score) < 1000 else 0


def _interval(low: float, high: float, digits: int) -> str:
    return f"[{low:+.{digits}f}, {high:+.{digits}f}]"


def _times(before: float, after: float) -> str:
    """How many times smaller, in brackets; nothing where it is about the same."""
    ratio = before / after if after else 1.0
    return "" if 0.95 < ratio < 1.05 else f" ({ratio:.1f}x)" if ratio >= 1 else f" (1/{1 / ratio:.1f}x)"
