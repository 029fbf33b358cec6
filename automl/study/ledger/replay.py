"""From the facts of a ledger to the history that they describe."""

from automl.core.history import History
from automl.core.live import edits
from automl.core.trial import Failure, State
from automl.errors import LedgerError
from automl.study.ledger import kinds
from automl.study.ledger.schema import REPAIR, Fact


class Replay:
    """Brings the facts of a ledger into an empty history, in the order in which they became known.

    Args:
        history: it is filled.
        curves: {trial: its reports, (step, loss)}.
        attempts: {trial: the number of its last attempt}.
    """

    def __init__(self, history: History, curves: dict[int, list[tuple[int, float]]], attempts: dict[int, int]) -> None:
        self.history, self.curves, self.attempts = history, curves, attempts

    def take(self, fact: Fact) -> None:
        """The next fact: the beginning, another attempt, a report, a pause or the end of a trial, or an edit.

        A report is only for a history that is read on while it grows; its last entry is the metrics as JSON.

        Raises:
            LedgerError: it contradicts those before it.
        """
        _, kind, trial, what, why, at_s, more = fact
        history = self.history
        if kind == "edit":
            edits.apply(history, kinds.edit(what, REPAIR), why)
            history.live.requests |= {more} if more else set()
        elif kind == "begun":
            if trial != history.next_number:
                raise LedgerError(f"the ledger has no trial {history.next_number}; {REPAIR}")
            history.begin(kinds.content(what, kinds.CONFIG, REPAIR), origin=why or "", at_s=at_s)
            history.restore(trial, self.curves.get(trial, ()), self.attempts.get(trial, 1))
        elif trial >= history.next_number:
            raise LedgerError(f"the ledger has no trial {trial}; {REPAIR}")
        elif kind == "report":
            values = {} if history.objectives.plain else kinds.content(more, kinds.METRICS, REPAIR)
            history.point(trial, what, history.metric.loss(why), history.objectives.vector(values))
        elif kind == "again":
            history.again(trial, what)
        elif kind == "pause":
            history.pause(trial, why or "")
        else:
            failure = Failure(**kinds.content(more, kinds.FAILURE, REPAIR)) if more else None
            history.end(trial, State(what), reason=why or "", failure=failure, at_s=at_s)
