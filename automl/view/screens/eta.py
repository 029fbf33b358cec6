"""When the search will end, as a range."""

import math
from dataclasses import dataclass

from automl.core.trial import Plan

Z80 = 1.2816  # four of five outcomes lie within this many standard deviations


@dataclass(slots=True)
class Durations:
    """Count, mean, spread and maximum of the seconds that trials took (Welford)."""

    n: int = 0
    mean: float = 0.0
    longest: float = 0.0
    _squares: float = 0.0

    def add(self, seconds: float) -> None:
        self.n += 1
        self.longest = max(self.longest, seconds)
        delta = seconds - self.mean
        self.mean += delta / self.n
        self._squares += delta * (seconds - self.mean)

    @property
    def variance(self) -> float:
        return self._squares / (self.n - 1) if self.n > 1 else 0.0


def eta(
    plan: Plan, durations: Durations, *, elapsed_s: float, ended: int, busy_s: float, steps: int
) -> tuple[float, float] | None:
    """(earliest, latest) seconds to the end, an 80 % interval.

    None until three trials have ended, except where only the time is limited. `busy_s`: seconds that all trials
    together, ended and running, have been in work; over `elapsed_s` that is how many run at once. Of several limits
    the one that is reached first counts.
    """
    ranges: list[tuple[float, float]] = []
    if plan.time_s is not None:
        left = max(plan.time_s - elapsed_s, 0.0)
        ranges.append((left, left))
    if plan.trials is not None and durations.n >= 3 and elapsed_s > 0 and busy_s > 0:
        left_trials = max(plan.trials - ended, 0)
        at_once = max(busy_s / elapsed_s, 0.01)
        # seconds a trial: those that still run count with what they have taken so far, else only the short ones would
        mean = busy_s / max(ended, 1)
        # at the end workers wait for the last one, which may be as long as the longest: not at all, or up to that
        drain = (1 - 1 / max(at_once, 1.0)) * durations.longest / 2
        middle = left_trials * mean / at_once + drain
        few = 1 + 2 * at_once / durations.n + 4 / durations.n  # the first to end are the short ones
        spread = few * math.sqrt(durations.variance * (left_trials + left_trials**2 / durations.n)) / at_once
        half = max(math.hypot(Z80 * spread, drain), 0.05 * middle)
        ranges.append((max(middle - half, 0.0), middle + half))
    if plan.steps is not None and steps > 0 and durations.n >= 3:
        middle = max(plan.steps - steps, 0) * elapsed_s / steps
        ranges.append((0.9 * middle, 1.1 * middle))
    if not ranges or (durations.n < 3 and (plan.trials is not None or plan.steps is not None)):
        return None
    return min(low for low, _ in ranges), min(high for _, high in ranges)
