"""The protocol of strategies, which decide which configs are tried.

A strategy is a frozen dataclass of its options with one pure method, `suggest`:

    @dataclass(frozen=True)
    class Halves(Strategy):
        \"\"\"Try the middle of every range, then random configs.\"\"\"

        def suggest(self, history: History, n: int) -> list[Config]:
            space = history.space
            middle = [space.decode([0.5] * space.dim)] if not len(history) else []
            return (middle + [space.sample(history.rng(k)) for k in range(n)])[:n]

Its laws, which `automl.testing.StrategyContract` tests:

1. Every suggestion is a point of `history.space`.
2. It keeps no state: the same options and history give the same suggestions, in any process. Random numbers come
   from `history.rng(k)`, seeded by (study seed, trial number). A costly fit may be cached, but never be relied on.
3. It takes running (`history.running`) and failed trials (`history.failed`) into account, and never meets a NaN.
4. It returns at most `n` configs; fewer (or none) only when it will never have anything more to suggest.
"""

from collections.abc import Mapping
from typing import Protocol, runtime_checkable

from automl.core.history import History
from automl.core.parameters import Value
from automl.core.space import Config


class Heir(dict[str, Value]):
    """A config for a trial that begins with the weights, optimizer state and step of the paused trial `of`.

    It goes on from there with its own config, of which only what may change during training may differ. Its record's
    origin is "heir:7@12" where trial 7 was paused after step 12.

    Example:
        def suggest(self, history, n):
            best = min(history.paused, key=history.rank_key)
            return [Heir({**best.config, "lr": 0.5 * best.config["lr"]}, of=best.number)]
    """

    def __init__(self, config: Mapping[str, Value], of: int) -> None:
        super().__init__(config)
        self.of = of


@runtime_checkable
class Strategy(Protocol):
    """Decides what to try. Only `suggest` must be written; the other methods have defaults.

    A class that does not inherit from this one gets the defaults when it is loaded (see `plugins.make`).
    """

    def suggest(self, history: History, n: int) -> list[Config]:
        """Configs for the next trials.

        Called whenever workers are free; perhaps again for the same numbers, if nothing has changed in between.

        Args:
            history: all trials so far; only to be read.
            n: how many configs are wanted. The k-th of them gets the number `history.next_number + k`.

        Returns:
            up to `n` configs; fewer end the search. A `Heir` begins with the state of a paused trial.
        """
        ...

    def note(self, history: History) -> str:
        """A sentence on what it is going to do, shown once before the first trial; or an empty string."""
        return ""

    def stopper(self) -> str:
        """The name of the stopper that belongs to it, which is used where none is given; empty: the usual one."""
        return ""

    def prepare(self) -> None:
        """Import heavy libraries here: it is called once, in a thread of its own, while the workers start."""
        return
