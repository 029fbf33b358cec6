"""No early stopping."""

from dataclasses import dataclass

from automl.stopping import CONTINUE, Stopper, Verdict
from automl.trial import History


@dataclass(frozen=True)
class Never(Stopper):
    """Every trial runs its full length."""

    def verdict(self, history: History, trial: int) -> Verdict:
        return CONTINUE
