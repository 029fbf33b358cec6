"""The watchdog: how long a worker may be silent, how long a trial may take, and which trials are slow."""

import statistics
from collections import deque
from dataclasses import dataclass, field

FLOOR_S = 60.0
TIMES_MEDIAN = 10.0  # a worker hangs when it is silent for this many median steps (and at least the floor)
STEPS_NEEDED = 5  # steps that must have been seen before anything is said about their length
SLOW_TIMES_MEDIAN = 4.0  # a step that takes this many times the median is called slow
SUSPENDED_S = 10.0  # seconds without a check after which the driver itself was suspended: no worker is at fault


@dataclass
class Watchdog:
    """Durations of the study's steps, in seconds, and what follows from them.

    What passes until the first report of an attempt counts apart: a program is started there, data are read and models
    compiled, which may take minutes where a step takes milliseconds.

    Args:
        trial_timeout_s: an attempt that takes longer has failed; None: no limit.
        floor_s: a worker that has been silent for less never counts as hanging.
    """

    trial_timeout_s: float | None = None
    floor_s: float = FLOOR_S
    steps_s: deque[float] = field(default_factory=lambda: deque(maxlen=1000))
    starts_s: deque[float] = field(default_factory=lambda: deque(maxlen=100))  # until the first reports of attempts
    _looked_s: float | None = None
    _median_s: float | None = None  # of `steps_s`, unless it is stale
    _stale: bool = True

    def step(self, seconds: float, *, starting: bool = False) -> None:
        """A step took `seconds`; `starting`: it was the first one of what its worker trains."""
        if starting:
            self.starts_s.append(seconds)
            return
        self.steps_s.append(seconds)
        self._stale = True

    def median_s(self) -> float | None:
        """The median step; None before `STEPS_NEEDED` steps."""
        if self._stale and len(self.steps_s) >= STEPS_NEEDED:
            self._median_s, self._stale = statistics.median(self.steps_s), False
        return self._median_s

    def hangs(self, silent_s: float, *, starting: bool = False) -> bool:
        """Whether a worker hangs that has trained for `silent_s` without a report.

        Args:
            silent_s: seconds since it was last heard of.
            starting: nothing that it trains has reported yet; then it is compared with how long others needed for that.
        """
        if silent_s <= self.floor_s:
            return False
        if starting:
            usual = max(statistics.median(self.starts_s), self.median_s() or 0.0) if self.starts_s else None
        else:
            usual = self.median_s()
        return usual is not None and silent_s > TIMES_MEDIAN * usual

    def is_slow(self, step_s: float, *, starting: bool = False) -> bool:
        """Whether a step that has taken `step_s` so far is far slower than others; nothing is said of first ones."""
        if step_s < 1 or starting:
            return False
        median = self.median_s()
        return median is not None and step_s > SLOW_TIMES_MEDIAN * median

    def too_long(self, attempt_s: float) -> bool:
        """Whether an attempt may not go on because of `trial_timeout_s`."""
        return self.trial_timeout_s is not None and attempt_s > self.trial_timeout_s

    def suspended_s(self, now_s: float) -> float:
        """Seconds for which this process did not run (suspended, stopped) since the last call."""
        gap = now_s - self._looked_s if self._looked_s is not None else 0.0
        self._looked_s = now_s
        return gap if gap > SUSPENDED_S else 0.0
