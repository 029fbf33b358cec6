"""The leaderboard that users hold: ranked rows as a table, as CSV, as JSON and as a data frame."""

import csv
import io
import json
import re
import shutil
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from automl.core.history import History
from automl.core.space import Value
from automl.core.trial import TrialRecord
from automl.leaderboard.importance import importance, order
from automl.leaderboard.rows import SCHEMA, RankedRows, Row, full_length, rows
from automl.leaderboard.table import table as rich_table

if TYPE_CHECKING:
    import pandas
    from rich.text import Text

PLAIN_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")


@dataclass(frozen=True)
class Leaderboard(RankedRows):
    """The ranked rows of a study. `print` and notebooks show a table; rich prints it in colour.

    Example:
        board = automl.Study.open("studies/digits").leaderboard(10)
        print(board)
        board.frame().to_csv("trials.csv")
    """

    @classmethod
    def of(cls, history: History, n: int | None = None, winner: TrialRecord | None = None) -> "Leaderboard":
        """The best `n` trials of `history` (None: all); hyperparameter columns are ordered by importance if known.

        `winner`: the trial to mark as best, where the finalists chose one.
        """
        names = order(history.declared, importance(history.declared, [t for t in history.trials if t.state.ended]))
        return cls(rows(history, n, winner), history.metric, full_length(history), len(history), names)

    def __rich__(self) -> "Text":
        return self.text(shutil.get_terminal_size((100, 30)).columns)

    def __str__(self) -> str:
        return str(self.text(shutil.get_terminal_size((100, 30)).columns, digits=3).plain)

    def _repr_html_(self) -> str:
        return str(self.frame().to_html(index=False, escape=True))

    def text(self, width: int, *, unicode: bool = True, digits: int = 3) -> "Text":
        """The table in `width` cells: columns that do not fit are left out, the least important first."""
        return rich_table(self, width, unicode=unicode, digits=digits)

    def csv(self) -> str:
        """RFC 4180 text with a column for each hyperparameter; see `harmless` for text that looks like a formula."""
        out = io.StringIO()
        names = self._names()
        writer = csv.writer(out, lineterminator="\n")
        more = self._more()
        header = ["rank", "trial", "state", self.metric.name, *more, "step", "seconds", *names, "reason"]
        writer.writerow([harmless(title) for title in header])
        for r in self.rows:
            seconds = "" if r.seconds is None else f"{r.seconds:.3f}"
            cells = [*self._results(r, more), r.step, seconds, *(r.config.get(n, "") for n in names), r.note]
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

        more = self._more()
        fixed = ["rank", "trial", "state", self.metric.name, *more, "step", "seconds"]
        names = {n: f"config.{n}" if n in (*fixed, "reason") else n for n in self._names()}
        table = [
            [*self._results(r, more), r.step, r.seconds, *(r.config.get(n) for n in names), r.note] for r in self.rows
        ]
        made = pandas.DataFrame(table, columns=[*fixed, *names.values(), "reason"])
        return made.astype({"rank": "Int64"})

    def _more(self) -> list[str]:
        """The columns of several objectives: front, and the further metrics; none where one loss says all."""
        names = dict.fromkeys(name for r in self.rows for name in r.values if name != self.metric.name)
        return ["front", *names] if names else []

    @staticmethod
    def _results(r: Row, more: Sequence[str]) -> list[Value]:
        """The first cells of a row: rank, trial, state, value, and those of `more` columns."""
        known = {"front": r.front, **r.values}
        return [r.rank, r.trial, r.state, r.value, *(known.get(name) for name in more)]

    def _names(self) -> list[str]:
        """Hyperparameters in the order of the columns, then others that rows have (constants)."""
        return list(dict.fromkeys([*self.columns, *(name for r in self.rows for name in r.config)]))


def table(history: History, n: int | None = 10, winner: TrialRecord | None = None) -> Leaderboard:
    """The leaderboard of the best `n` trials of `history` (None: of all)."""
    return Leaderboard.of(history, n, winner)


def frame(history: History) -> "pandas.DataFrame":
    """All trials as a pandas DataFrame, in the order of the leaderboard."""
    return Leaderboard.of(history).frame()


def harmless(cell: Value) -> Value:
    """`cell` as a CSV file holds it.

    Text that a spreadsheet would run as a formula gets a `'` in front, but not a plain number such as `-1.5` or a mark
    alone such as `-`; control characters (a terminal's escapes) are left out.
    """
    if isinstance(cell, str):
        text = "".join(c for c in cell if c in "\n\t" or unicodedata.category(c) != "Cc")
        runs = text.lstrip(" \n")[:1] in ("=", "+", "-", "@", "\t") or cell[:1] in ("\t", "\r", "\n")
        return f"'{text}" if runs and len(text) > 1 and not PLAIN_NUMBER.fullmatch(text) else text
    if isinstance(cell, bool):
        return "true" if cell else "false"
    return "" if cell is None else cell
