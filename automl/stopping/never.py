"""No early stopping."""

from dataclasses import dataclass

from automl.core.history import History
from automl.core.stopper import CONTINUE, Stopper, Verdict


@dataclass(frozen=True)
class Never(Stopper):
    """Every trial runs its full length."""

    def verdict(self, history: History, trial: int) -> Verdict:
        return CONTINUE
