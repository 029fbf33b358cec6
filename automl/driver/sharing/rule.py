"""How many workers share a device: one more as long as memory allows it and the last one has paid off.

Eleven at most: a twelfth raises trials an hour by less than a tenth, also if none slows down another.

Pure: the rule is fed with what was measured and answers with a number. It knows neither processes nor devices.
"""

import math
import statistics
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

SHARE = 0.9  # of a memory that its workers may take together
GAIN = 1.1  # times as many trials an hour as before, at least, for another worker to stay
SAMPLES = 2  # reports of each worker that are needed to judge a number
POOLED = 5  # the same, where no two trials are alike
KEPT = 1000  # of the times of one kind
LEAST_S = 5.0  # seconds for which a number is tried at least

Kind = tuple[bool, str]
"""What is compared with its like only: whether it is the first report of an attempt, and which trials are alike."""


@dataclass
class Rule:
    """The number of workers on each device of a search, from one upwards.

    Attributes:
        devices: how many there are; each has `count` workers.
        count: the present number.
        settled: whether the number is final, unless memory runs out.
        peak: the largest share of a memory that one worker has been seen to take.
        why: what ended the search for the number, for the user; empty before.
        ended: trials that have ended; before the first one has, its peak is not known.
        least_s: seconds for which each number is tried at least.
        paid_off: the number that has paid off; one less than `count` while one more is tried.

    Example:
        rule = Rule()
        rule.uses(0.2, beside=1)
        rule.takes((False, ""), 10.0)
        rule.takes((False, ""), 10.0)
        rule.ended += 1
        rule.step(trials_left=100)  # True: `rule.count` is 2 now
    """

    devices: int = 1
    count: int = 1
    settled: bool = False
    peak: float = 0.0
    why: str = ""
    ended: int = 0
    least_s: float = LEAST_S
    paid_off: int = field(default=0, init=False)
    _times: dict[int, dict[Kind, deque[float]]] = field(default_factory=dict, init=False)  # seconds, by count

    def __post_init__(self) -> None:
        """Begin with a number that need not be judged."""
        self.paid_off = self.count

    # -- what was measured ---------------------------------------------------------------------------------------------

    def uses(self, load: float, beside: int) -> bool:
        """`beside` workers of a device take the share `load` of a memory; returns whether the number changes."""
        self.peak = max(self.peak, load / beside)
        if load <= SHARE or self.count == 1 or beside > self.count:  # some leave already
            return False
        self.lower(f"the memory was {100 * load:.0f} % full")
        return True

    def takes(self, kind: Kind, seconds: float) -> None:
        """A worker took `seconds` from one report to the next, while all workers trained."""
        if not self.settled:
            self._times.setdefault(self.count, {}).setdefault(kind, deque(maxlen=KEPT)).append(seconds)

    # -- what follows --------------------------------------------------------------------------------------------------

    def step(self, trials_left: float) -> bool:
        """Change the number if it is time to; returns whether it has changed, or became final.

        Args:
            trials_left: how many trials have not begun; a worker is not added for less than one.
        """
        if self.settled or not self._measured_enough():
            return False
        gain = self.gain() if self.paid_off < self.count else math.inf
        if gain is None:
            return False
        if gain < GAIN:
            return self._settle(self.count - 1, f"one more changed trials an hour by {100 * (gain - 1):+.0f} %")
        if (together := self.peak * (self.count + 1)) > SHARE:
            return self._settle(self.count, f"one more would take the memory to {100 * together:.0f} %")
        if trials_left < self.devices * (self.count + 1):
            return False
        self.count, self.paid_off = self.count + 1, self.count
        return True

    def lower(self, why: str) -> None:
        """Memory ran out, or nearly so: one worker less on each device."""
        self._settle(max(1, self.count - 1), why)

    def restore(self, count: int) -> None:
        """A trial for which the number was lowered does not fit alone either: it was not the number's fault."""
        self._settle(count, "the trial does not fit alone either")

    def _settle(self, count: int, why: str) -> bool:
        self.count = self.paid_off = count
        self.why, self.settled = why, True
        self._times.clear()
        return True

    def room_of_one(self) -> float:
        """The share of a memory that the last worker of a device may take, beside the peaks of the others."""
        return max(self.peak, SHARE - self.peak * (self.count - 1))

    def gain(self) -> float | None:
        """Trials an hour with this number of workers, as a multiple of those with one less; None: not known yet.

        The times of trials that are alike are compared: (n / seconds with n) / ((n - 1) / seconds with n - 1), their
        geometric mean, weighted by how many there are. A trial that runs while a worker is added is like itself. Where
        none are alike, the times of all are compared, once there are more of them.
        """
        now, before = self._times[self.count], self._times[self.paid_off]
        workers = self.count * self.devices
        same = list(_compared(now, before))
        if sum(weight for weight, _ in same) < workers:
            same = list(_compared(_pooled(now), _pooled(before)))
            if sum(map(len, now.values())) < POOLED * workers or not same:
                return None
        slower = math.exp(sum(weight * change for weight, change in same) / sum(weight for weight, _ in same))
        return self.count / (self.count - 1) / slower

    def _measured_enough(self) -> bool:
        times, workers = self._times.get(self.count, {}), self.count * self.devices
        seconds = [one for kind in times.values() for one in kind]
        return self.ended > 0 and len(seconds) >= SAMPLES * workers and sum(seconds) >= self.least_s * workers


Times = Mapping[Kind, Sequence[float]]


def _compared(now: Times, before: Times) -> Iterator[tuple[int, float]]:
    """(weight, logarithm of how much longer a report takes now) of each kind that both have."""
    for kind in now.keys() & before.keys():
        ratio = statistics.median(now[kind]) / max(statistics.median(before[kind]), 1e-9)
        yield min(len(now[kind]), len(before[kind])), math.log(max(ratio, 1e-9))


def _pooled(times: Times) -> Times:
    """The times of all trials, first reports and later ones apart."""
    return {
        (first, ""): [one for (is_first, _), kind in times.items() if is_first is first for one in kind]
        for first in {is_first for is_first, _ in times}
    }
