"""When the search will end, as an interval."""

import math
from dataclasses import dataclass

from automl.core.trial import Plan

Z80 = 1.2816  # 80 % of a normal distribution lie within this many standard deviations


@dataclass(slots=True)
class Durations:
    """Count, mean, variance and maximum of the seconds that trials took, updated one by one (Welford 1962)."""

    n: int = 0
    mean: float = 0.0
    longest: float = 0.0
    _squares: float = 0.0

    def add(self, seconds: float) -> None:
        """Count one trial."""
        self.n += 1
        self.longest = max(self.longest, seconds)
        delta = seconds - self.mean
        self.mean += delta / self.n
        self._squares += delta * (seconds - self.mean)

    @property
    def variance(self) -> float:
        """The sample variance, in seconds squared; 0 for fewer than two trials."""
        return self._squares / (self.n - 1) if self.n > 1 else 0.0


def eta(
    plan: Plan, durations: Durations, *, elapsed_s: float, ended: int, busy_s: float, steps: int
) -> tuple[float, float] | None:
    """The time to the end, as an 80 % interval; of several limits the one that is reached first counts.

    Args:
        plan: the limits of the search.
        durations: of the trials that have ended.
        elapsed_s: seconds since the search began.
        ended: trials that have ended.
        busy_s: seconds that all trials together, ended and running, have run; divided by `elapsed_s` that is how
            many run at once.
        steps: steps of all trials together.

    Returns:
        (earliest, latest) seconds to the end. None until three trials have ended, except where only time is limited.
    """
    ranges: list[tuple[float, float]] = []
    if plan.time_s is not None:
        left = max(plan.time_s - elapsed_s, 0.0)
        ranges.append((left, left))
    if plan.trials is not None and durations.n >= 3 and elapsed_s > 0 and busy_s > 0:
        left_trials = max(plan.trials - ended, 0)
        at_once = max(busy_s / elapsed_s, 0.01)
        # seconds per trial: running ones count with their time so far, otherwise only the short ones would count
        mean = busy_s / max(ended, 1)
        # at the end workers wait for the last trial: between no time and as long as the longest trial takes
        drain = (1 - 1 / max(at_once, 1.0)) * durations.longest / 2
        middle = left_trials * mean / at_once + drain
        few = 1 + 2 * at_once / durations.n + 4 / durations.n  # the first trials to end are the short ones
        spread = few * math.sqrt(durations.variance * (left_trials + left_trials**2 / durations.n)) / at_once
        half = max(math.hypot(Z80 * spread, drain), 0.05 * middle)
        ranges.append((max(middle - half, 0.0), middle + half))
    if plan.steps is not None and steps > 0 and durations.n >= 3:
        middle = max(plan.steps - steps, 0) * elapsed_s / steps
        ranges.append((0.9 * middle, 1.1 * middle))
    if not ranges or (durations.n < 3 and (plan.trials is not None or plan.steps is not None)):
        return None
    return min(low for low, _ in ranges), min(high for _, high in ranges)
