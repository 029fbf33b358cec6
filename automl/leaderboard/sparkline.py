"""Learning curves in one line of block elements (or of ASCII), on a scale that all curves of a column share."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

BLOCKS = "▁▂▃▄▅▆▇█"
ASCII = ".:-=+*#%@"

Points = Sequence[tuple[int, float]]


@dataclass(frozen=True, slots=True)
class Range:
    """The values that the lowest and the highest glyph stand for; steps are finer towards the better end."""

    low: float
    high: float
    better: int = 0  # 1: higher is better, -1: lower, 0: steps are all alike

    @classmethod
    def of(cls, curves: Iterable[Points], *, maximize: bool) -> "Range":
        """All values of `curves`, without the worst tenth (one bad first epoch would flatten all the rest)."""
        values = sorted(value for curve in curves for _, value in curve)
        if not values:
            return cls(0.0, 1.0)
        drop = len(values) // 10
        low, high = (values[drop], values[-1]) if maximize else (values[0], values[-1 - drop])
        return cls(low, high, 1 if maximize else -1)

    def level(self, value: float, levels: int) -> int:
        """0 ... levels - 1."""
        if not self.high > self.low:
            return levels - 1
        share = min(max((value - self.low) / (self.high - self.low), 0.0), 1.0)
        if self.better:
            share = share**2 if self.better > 0 else 1 - (1 - share) ** 2
        return min(max(int(share * levels), 0), levels - 1)


def sparkline(values: Sequence[float], width: int, scale: Range | None = None, *, unicode: bool = True) -> str:
    """`values`, resampled to at most `width` glyphs (each shows the last value of its part)."""
    ramp = BLOCKS if unicode else ASCII
    if not values or width < 1:
        return ""
    scale = scale or Range(min(values), max(values))
    if len(values) > width:
        values = [values[(k + 1) * len(values) // width - 1] for k in range(width)]
    return "".join(ramp[scale.level(value, len(ramp))] for value in values)


def curve(points: Points, width: int, horizon: int | None, scale: Range, *, unicode: bool = True) -> str:
    """A learning curve on a common axis of steps: a trial that got half the way fills half the width."""
    ramp = BLOCKS if unicode else ASCII
    if not points or width < 1:
        return ""
    length = max(horizon or points[-1][0], points[-1][0])
    slots = min(width, length)
    glyphs, k = [], 0
    for slot in range(slots):
        if slot * length // slots >= points[-1][0]:
            break
        while k + 1 < len(points) and points[k + 1][0] <= (slot + 1) * length // slots:
            k += 1
        glyphs.append(ramp[scale.level(points[k][1], len(ramp))])
    return "".join(glyphs)
