"""The Strategy protocol: what decides which configs are tried.

A strategy is a frozen dataclass of its options with one pure method. Its laws
(held by `automl.testing.StrategyContract`):

1. Every suggestion is a member of `history.space`.
2. It keeps no state: the same options and history give the same suggestions, in any process. Random numbers come
   from `history.rng(k)`, seeded by (study seed, trial number). A costly fit may be cached, never as truth.
3. It reads what is running (`history.running`) and failed (`history.failed`), and never meets a NaN.
4. It returns at most `n` configs; fewer (or none) only when it has nothing left to suggest, for good.
"""

from typing import Protocol, runtime_checkable

from automl.core.history import History
from automl.core.space import Config


@runtime_checkable
class Strategy(Protocol):
    """Decides what to try. A strategy need not inherit from this class."""

    def suggest(self, history: History, n: int) -> list[Config]:
        """Up to `n` configs for the next trials, which will get the numbers `history.next_number + 0 ... n - 1`.

        Called whenever workers are free; may be called again for the same numbers when nothing was recorded between.
        """
        ...


class Note(Protocol):
    """An optional method of strategies and stoppers."""

    def note(self, history: History) -> str:
        """A sentence on what it is going to do, shown once before the first trial; or an empty string."""
        return ""


class Prepare(Protocol):
    """An optional method of strategies."""

    def prepare(self) -> None:
        """Called once, in a thread of its own, while workers start: import heavy libraries here, and not above."""
        return


@runtime_checkable
class LoadedStrategy(Strategy, Note, Prepare, Protocol):
    """A strategy as `plugins.make` returns it, with the optional methods."""
