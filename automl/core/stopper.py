"""The Stopper protocol: what decides which trials go on. Its members are the other files of this folder.

A stopper is, like a strategy, a frozen dataclass of its options and pure: its verdict is a function of the history.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol, runtime_checkable

from automl.core.history import History


class Kind(StrEnum):
    CONTINUE = "continue"
    STOP = "stop"
    PAUSE = "pause"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a trial is to do after a report, and why (the reason is shown on the screen and kept in the ledger)."""

    kind: Kind
    reason: str = ""


CONTINUE = Verdict(Kind.CONTINUE)


@runtime_checkable
class Stopper(Protocol):
    """Decides which trials go on. A stopper must have `verdict`, the other methods are optional.

    It is never asked about a trial's last step (`history.plan.horizon`) or about step 0.

    Its laws (held by `automl.testing.StopperContract`): a verdict, promotion, drop and room are functions of the
    options and the history alone, in any process; only paused trials are promoted or dropped, none both; a search
    with it ends; and unless a budget of steps runs out, some trial runs its full length.
    """

    def verdict(self, history: History, trial: int) -> Verdict:
        """Called after each new report of `trial`, which is then the last point of `history.trials[trial].curve`."""
        ...

    def promote(self, history: History) -> list[int]:
        """Paused trials that have earned to go on, best first. Called when a worker is free, before new trials."""
        return []

    def room(self, history: History) -> int | None:
        """How many new trials may begin now; None: as many as there are workers. 0 waits for reports."""
        return None

    def drop(self, history: History) -> Mapping[int, str]:
        """{paused trial: why} for those that can never go on; they become stopped and their checkpoints are freed.
        Called before `promote`."""
        return {}

    def summary(self, history: History) -> str:
        """One sentence on what early stopping did so far (such as the estimated share of false kills), or nothing."""
        return ""

    def note(self, history: History) -> str:
        """A sentence on what it is going to do, shown once before the first trial; or an empty string."""
        return ""
