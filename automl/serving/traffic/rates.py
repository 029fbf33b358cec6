"""Limits of rate: a bucket of tokens for each client, filled at a steady rate."""

import time
from collections import OrderedDict
from collections.abc import Callable

from automl.serving.problem import Refused

MOST_CLIENTS = 10_000
"""So many clients are remembered; the one that has asked for nothing longest is forgotten first."""


class Rates:
    """So many requests a second for each client, and as many at once as two seconds allow.

    Args:
        rate: requests a second; 0: no limit.
        clock: seconds.
    """

    def __init__(self, rate: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.rate, self.clock = rate, clock
        self.burst = max(1.0, 2 * rate)
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, client: str) -> None:
        """Count one request.

        Raises:
            Refused: the client has asked for more than it may (429, with the time until it may ask again).
        """
        if not self.rate:
            return
        now = self.clock()
        tokens, since = self._buckets.pop(client, (self.burst, now))
        tokens = min(self.burst, tokens + (now - since) * self.rate)
        allowed = tokens >= 1
        self._buckets[client] = (tokens - allowed, now)
        if len(self._buckets) > MOST_CLIENTS:
            self._buckets.popitem(last=False)
        if not allowed:
            wait = (1 - tokens) / self.rate
            raise Refused(429, "too_many_requests", f"more than {self.rate:g} requests a second", retry_after_s=wait)
