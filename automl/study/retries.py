"""Trials whose worker or driver died: which wait for another attempt, and how often that may happen."""

from collections import deque
from collections.abc import Iterable, Mapping


class Retries:
    """Counts the lost attempts of each trial, and keeps the queue of those that are tried again.

    Args:
        limit: how many lost attempts of a trial are repeated.
        lost: {trial: attempts it has lost so far}.
        waiting: trials that were interrupted, in the order in which they are tried again.
    """

    def __init__(self, limit: int, lost: Mapping[int, int], waiting: Iterable[int]) -> None:
        self.limit = limit
        self.lost = dict(lost)
        self.waiting = deque(waiting)

    def allowed(self, trial: int) -> bool:
        """Whether the trial would be tried again if it lost its attempt now."""
        return self.lost.get(trial, 0) < self.limit

    def lose(self, trial: int) -> bool:
        """Count a lost attempt, and put the trial into the queue if it may be tried again.

        Returns:
            whether it may.
        """
        again = self.allowed(trial)
        self.lost[trial] = self.lost.get(trial, 0) + 1
        if again:
            self.waiting.append(trial)
        return again
