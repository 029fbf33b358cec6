"""The leaderboard: a study's history as rows, and rows as text, CSV, JSON and a data frame.

Rows are pure data. Trials with a value come first, best first; then those that have not reported yet; failed ones
stand at the end with their reason. A stopped trial is ranked by what it reached (its step stands beside it), but only
a trial that ran its full length can win.
"""

import csv
import heapq
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from automl.core.history import History
from automl.core.space import Config, Value
from automl.core.trial import Metric, State, TrialRecord

if TYPE_CHECKING:
    import pandas
    from rich.text import Text

SCHEMA = 1


@dataclass(frozen=True, slots=True)
class Row:
    """One trial on the board; `value` and `curve` as the user reads them (the metric's own direction)."""

    rank: int | None  # None: no value yet, or failed
    trial: int
    state: str  # done, stopped, running, paused, failed
    value: float | None
    step: int
    curve: tuple[tuple[int, float], ...]
    config: Config
    seconds: float | None  # from its first start to its end; None while it runs
    note: str = ""  # why it was stopped or failed
    best: bool = False  # the winner so far

    def to_json(self) -> dict[str, Any]:
        """The row for programs; these names are promised (schema 1)."""
        return {
            "rank": self.rank,
            "trial": self.trial,
            "state": self.state,
            "value": self.value,
            "step": self.step,
            "config": self.config,
            "seconds": None if self.seconds is None else round(self.seconds, 3),
            "best": self.best,
            "reason": self.note,
        }


def row(record: TrialRecord, metric: Metric, *, rank: int | None = None, best: bool = False) -> Row:
    """The row of one trial."""
    note = record.reason
    if record.failure is not None:
        note = f"{record.failure.kind}: {record.failure.message}" if record.failure.message else record.failure.kind
    failed = record.state is State.FAILED
    return Row(
        rank=None if failed else rank,
        trial=record.number,
        state=record.state.value,
        value=None if record.loss is None else metric.value(record.loss),
        step=record.step,
        curve=tuple((step, metric.value(loss)) for step, loss in record.curve),
        config=record.config,
        seconds=None if record.ended_s is None else max(record.ended_s - record.started_s, 0.0),
        note=note,
        best=best,
    )


def place(record: TrialRecord) -> tuple[float, bool, int]:
    """The sort key of `trial.ranking`: value, full length before stopped, number. Only for trials with a value."""
    assert record.loss is not None
    return record.loss, record.state is not State.DONE, record.number


def rows(history: History, n: int | None = None, winner: TrialRecord | None = None) -> list[Row]:
    """The first `n` rows of the board (all of them: None). `winner`: who is marked as best, where the finalists say."""
    valued = [t for t in history.trials if t.loss is not None and t.state is not State.FAILED]
    ranked = sorted(valued, key=place) if n is None else heapq.nsmallest(n, valued, key=place)
    winner = winner or history.best
    out = [row(t, history.metric, rank=k, best=t is winner) for k, t in enumerate(ranked, 1)]
    if n is None or len(out) < n:
        rest = [t for t in history.trials if t.loss is None and t.state is not State.FAILED]
        out += [row(t, history.metric) for t in rest + history.failed]
    return out if n is None else out[:n]


def full_length(history: History) -> int | None:
    """Steps of a full trial: as planned, else (a training function need not say) as the longest done trial took."""
    return history.plan.horizon or max((t.step for t in history.done), default=None)


def saved_share(history: History) -> float | None:
    """The share of the steps of ended trials that early stopping saved; None where a full length is not known."""
    length = full_length(history)
    ended = [t for t in history.trials if t.state in (State.DONE, State.STOPPED)]
    if not length or not ended:
        return None
    return 1 - sum(t.step for t in ended) / sum(max(length, t.step) for t in ended)


@dataclass(frozen=True)
class Leaderboard:
    """Rows and what is needed to show them. `print` shows a table, a notebook too; rich prints it with colour."""

    rows: Sequence[Row]
    metric: Metric
    horizon: int | None = None  # steps of a full trial
    trials: int = 0  # of the whole study
    columns: Sequence[str] = field(default_factory=tuple)  # hyperparameters, the most important first

    @classmethod
    def of(cls, history: History, n: int | None = None, winner: TrialRecord | None = None) -> "Leaderboard":
        """The board of a history; hyperparameter columns are ordered by importance where that can be told."""
        from automl.leaderboard.importance import importance, order

        names = order(history.space, importance(history.space, [t for t in history.trials if t.state.ended]))
        return cls(rows(history, n, winner), history.metric, full_length(history), len(history), names)

    def __rich__(self) -> "Text":
        import shutil

        return self.text(shutil.get_terminal_size((100, 30)).columns)

    def __str__(self) -> str:
        import shutil

        return str(self.text(shutil.get_terminal_size((100, 30)).columns, digits=3).plain)

    def _repr_html_(self) -> str:
        return str(self.frame().to_html(index=False, escape=True))

    def text(self, width: int, *, unicode: bool = True, digits: int = 3) -> "Text":
        """The table in `width` cells: columns that do not fit are left out, the least important first."""
        from automl.leaderboard.table import table

        return table(self, width, unicode=unicode, digits=digits)

    def csv(self) -> str:
        """RFC 4180 text, a column for each hyperparameter; text that a spreadsheet would run is quoted with `'`."""
        out = io.StringIO()
        names = self._names()
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(["rank", "trial", "state", self.metric.name, "step", "seconds", *names, "reason"])
        for r in self.rows:
            seconds = "" if r.seconds is None else f"{r.seconds:.3f}"
            cells = [r.rank, r.trial, r.state, r.value, r.step, seconds, *(r.config.get(n, "") for n in names), r.note]
            writer.writerow([harmless(cell) for cell in cells])
        return out.getvalue()

    def json(self) -> str:
        """One document: `{"schema": 1, "metric": ..., "direction": ..., "rows": [...]}`."""
        document = {
            "schema": SCHEMA,
            "metric": self.metric.name,
            "direction": self.metric.direction,
            "trials": self.trials,
            "rows": [r.to_json() for r in self.rows],
        }
        return json.dumps(document, ensure_ascii=False, allow_nan=False)

    def frame(self) -> "pandas.DataFrame":
        """A pandas DataFrame: rank, trial, state, the metric, step, seconds, the hyperparameters, reason.

        A hyperparameter that shares its name with another column is called `config.NAME`.
        """
        import pandas

        fixed = ["rank", "trial", "state", self.metric.name, "step", "seconds"]
        names = {n: f"config.{n}" if n in (*fixed, "reason") else n for n in self._names()}
        table = [
            [r.rank, r.trial, r.state, r.value, r.step, r.seconds, *(r.config.get(n) for n in names), r.note]
            for r in self.rows
        ]
        made = pandas.DataFrame(table, columns=[*fixed, *names.values(), "reason"])
        return made.astype({"rank": "Int64"})

    def _names(self) -> list[str]:
        """Hyperparameters in the order of the columns, then others that rows have (constants)."""
        return list(dict.fromkeys([*self.columns, *(name for r in self.rows for name in r.config)]))


def table(history: History, n: int | None = 10, winner: TrialRecord | None = None) -> Leaderboard:
    """The board of a history's best `n` trials."""
    return Leaderboard.of(history, n, winner)


def frame(history: History) -> "pandas.DataFrame":
    """All trials as a pandas DataFrame, in the order of the board."""
    return Leaderboard.of(history).frame()


def harmless(cell: Value) -> Value:
    """Text that a spreadsheet would take for a formula gets a `'` before it; numbers stay numbers."""
    if isinstance(cell, str) and cell[:1] in ("=", "+", "-", "@", "\t", "\r"):
        return f"'{cell}"
    if isinstance(cell, bool):
        return "true" if cell else "false"
    return "" if cell is None else cell
