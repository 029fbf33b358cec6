"""No early stopping."""

from dataclasses import dataclass

from automl.core.stopper import CONTINUE, Stopper, Verdict
from automl.core.trial import History


@dataclass(frozen=True)
class Never(Stopper):
    """Every trial runs its full length."""

    def verdict(self, history: History, trial: int) -> Verdict:
        return CONTINUE
