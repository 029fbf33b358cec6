"""Reading a study: the questions that a running one (`Study`) and one opened for reading (`StudyView`) both answer."""

from collections.abc import Mapping
from contextlib import AbstractContextManager, closing, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from automl.core.history import Counts, History
from automl.core.space import Space
from automl.core.trial import Metric, Plan, TrialRecord
from automl.errors import LedgerError
from automl.leaderboard import board
from automl.study.ledger import Ledger

if TYPE_CHECKING:
    import pandas as pd


class Readable:
    """What can be asked of a study, whether it runs, has ended, or is another process's."""

    name: str
    path: Path | None  # its folder
    history: History
    ledger: Ledger
    facts: dict[str, Any]  # what the ledger says of it: strategy and stopper by name, seed, spec, finalists
    notes: list[str]  # what its user should know

    @property
    def space(self) -> Space:
        return self.history.space

    @property
    def metric(self) -> Metric:
        return self.history.metric

    @property
    def plan(self) -> Plan:
        return self.history.plan

    @property
    def elapsed_s(self) -> float:
        """Seconds this study has been driven, over all its sessions."""
        return self.ledger.elapsed_s()

    @property
    def counts(self) -> Counts:
        return Counts.of(self.history)

    @property
    def best(self) -> TrialRecord | None:
        """The best trial that ran its full length."""
        return self.history.best

    @property
    def verdict(self) -> Mapping[str, Any] | None:
        """What the finalists showed (see `automl.evaluation.verdict`), None until they have run."""
        return self.facts.get("finalists")

    @property
    def winner(self) -> TrialRecord | None:
        """The trial whose config won: by the finalists' fresh seeds, or `best` where there were none."""
        return self.history.trials[self.verdict["winner"]] if self.verdict else self.best

    def reports(self, trial: int) -> list[tuple[int, dict[str, float]]]:
        """All metrics of all reports of a trial, by step; also after the study was closed, where it has a folder."""
        with self._readable() as ledger:
            return ledger.reports(trial)

    def attempts(self, trial: int) -> list[dict[str, Any]]:
        """Every execution of a trial: attempt, worker, outcome, details; also after the study was closed."""
        with self._readable() as ledger:
            return ledger.attempts(trial)

    def _readable(self) -> AbstractContextManager[Ledger]:
        """The ledger; of a closed study with a folder, one opened for the moment."""
        if self.ledger.closed and self.path is not None:
            return closing(Ledger.read_only(self.path))
        return nullcontext(self.ledger)

    def leaderboard(self, n: int | None = 10) -> board.Leaderboard:
        """The best `n` trials as a table that rich, notebooks and `print` show."""
        return board.table(self.history, n, self.winner)

    def frame(self) -> "pd.DataFrame":
        """All trials as a pandas DataFrame, one row each."""
        return board.frame(self.history)


class StudyView(Readable):
    """A study opened for reading, also while a search runs there: no way to change it.

    Raises:
        LedgerError: there is no study at `path`, it has not begun yet, or its ledger is damaged.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.ledger = Ledger.read_only(path)
        self.facts = self.ledger.facts()
        if "space" not in self.facts:
            self.ledger.close()
            raise LedgerError(f"{path}: the study has not begun yet")
        self.name = self.facts["name"]
        self.notes = []
        self.history = History(
            Space.of(self.facts["space"]),
            seed=self.facts["seed"],
            metric=Metric(**self.facts["metric"]),
            plan=Plan(**self.facts["plan"]),
        )
        self.ledger.replay(self.history)
        self._elapsed_s = self.ledger.elapsed_s()

    @property
    def elapsed_s(self) -> float:
        return self._elapsed_s

    def close(self) -> None:
        self.ledger.close()
