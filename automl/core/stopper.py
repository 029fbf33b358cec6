"""The protocol of stoppers, which decide which trials go on.

A stopper is, like a strategy, a frozen dataclass of its options; what it decides depends on the history alone:

    @dataclass(frozen=True)
    class Hopeless(Stopper):
        \"\"\"Stop a trial whose loss is above a limit after ten steps.\"\"\"

        limit: float = 10.0

        def verdict(self, history: History, trial: int) -> Verdict:
            step, loss = history.trials[trial].curve[-1]
            if step == 10 and loss > self.limit:
                return Verdict(Kind.STOP, f"{loss:.4g} > {self.limit:.4g} at step 10")
            return CONTINUE
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol, runtime_checkable

from automl.core.history import History
from automl.core.trial import State, TrialRecord


class Kind(StrEnum):
    """What a trial does after a report. PAUSE: it saves its state, and may continue later."""

    CONTINUE = "continue"
    STOP = "stop"
    PAUSE = "pause"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a trial does after a report, and why (shown on the screen and kept in the ledger)."""

    kind: Kind
    reason: str = ""


CONTINUE = Verdict(Kind.CONTINUE)
OUT_OF_BUDGET = Verdict(Kind.STOP, "budget used up")
"""What the study itself says when its budget ends; every reason that begins like this one is the budget's."""


def cut_by_budget(record: TrialRecord) -> bool:
    """Whether the trial was stopped because the budget ended, and not by a stopper."""
    return record.state is State.STOPPED and record.reason.startswith(OUT_OF_BUDGET.reason)


@runtime_checkable
class Stopper(Protocol):
    """Decides which trials go on. Only `verdict` must be written; the other methods have defaults.

    A class that does not inherit from this one gets the defaults when it is loaded (see `plugins.make`).

    Its laws, which `automl.testing.StopperContract` tests: what it returns depends on its options and the history
    alone, in any process; only paused trials are promoted or dropped, and none is both; every search with it ends;
    and unless a budget of steps runs out, at least one trial runs its full length.
    """

    def verdict(self, history: History, trial: int) -> Verdict:
        """What `trial` does next. Called after each new report, which is the last point of its curve.

        Never called for a trial's last step (`history.plan.horizon`) or for step 0.
        """
        ...

    def promote(self, history: History) -> list[int]:
        """Paused trials that continue, the best first. Called when a worker is free, before new trials begin."""
        return []

    def room(self, history: History) -> int | None:
        """How many new trials may begin now: None for as many as there are free workers, 0 to wait for reports."""
        return None

    def drop(self, history: History) -> Mapping[int, str]:
        """{paused trial: why} for trials that will never continue: they are stopped, and their checkpoints deleted.

        Called before `promote`.
        """
        return {}

    def summary(self, history: History) -> str:
        """A sentence on what early stopping has done, shown at the end of the search; or an empty string."""
        return ""

    def note(self, history: History) -> str:
        """A sentence on what it is going to do, shown once before the first trial; or an empty string."""
        return ""
