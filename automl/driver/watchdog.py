"""Patience: how long a worker may say nothing, how long a trial may take, and which trials are slow."""

import statistics
from collections import deque
from dataclasses import dataclass, field

FLOOR_S = 60.0
TIMES = 10.0  # a step may take so many times the median
KNOWN = 5  # steps that must have been seen before a limit on steps is known
SLOW = 4.0  # a step that takes so many times the median is told
ASLEEP_S = 10.0  # a driver that did not look for so long was itself stopped: nobody is to blame


@dataclass
class Patience:
    """Durations of the study's steps, in seconds, and what follows from them."""

    trial_timeout_s: float | None = None
    floor_s: float = FLOOR_S
    steps_s: deque[float] = field(default_factory=lambda: deque(maxlen=1000))
    _looked: float | None = None
    _median: float | None = None  # of `steps_s`, unless it is stale
    _stale: bool = True

    def step(self, seconds: float) -> None:
        self.steps_s.append(seconds)
        self._stale = True

    def median_s(self) -> float | None:
        """The median step, None until `KNOWN` are known."""
        if self._stale and len(self.steps_s) >= KNOWN:
            self._median, self._stale = statistics.median(self.steps_s), False
        return self._median

    def silent_too_long(self, seconds: float) -> bool:
        """Whether a worker that has been training for `seconds` without a word hangs."""
        if seconds <= self.floor_s:
            return False
        median = self.median_s()
        return median is not None and seconds > TIMES * median

    def slow(self, seconds: float) -> bool:
        """Whether a step that has taken `seconds` so far is far slower than the others."""
        if seconds < 1:
            return False
        median = self.median_s()
        return median is not None and seconds > SLOW * median

    def took_too_long(self, seconds: float) -> bool:
        """Whether a trial may not go on because of `trial_timeout`."""
        return self.trial_timeout_s is not None and seconds > self.trial_timeout_s

    def asleep(self, now: float) -> float:
        """Seconds for which this process did not run (suspended, stopped) since the last look."""
        gap = now - self._looked if self._looked is not None else 0.0
        self._looked = now
        return gap if gap > ASLEEP_S else 0.0
