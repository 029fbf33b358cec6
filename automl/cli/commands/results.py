"""`automl top` and `automl show`: the results of a study, also while it runs."""

import json as json_module
import shutil
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from automl.cli import options, values

if TYPE_CHECKING:
    from automl.leaderboard.board import Leaderboard
    from automl.study.reader import StudyView

WATCH_S = 2.0

Rows = Annotated[int, options.option("-n", "--rows", min=0, help="The number of rows; 0: all.")]
Where = Annotated[
    list[str] | None,
    options.option(metavar="CONDITION", help="Only rows that fulfil this, e.g. 'lr<1e-3' (repeatable)."),
]
Sort = Annotated[str | None, options.option(metavar="COLUMN", help="Order by this column; -COLUMN: descending.")]
Front = Annotated[bool, options.option("--front", help="Only trials that no other one beats in all objectives.")]
Csv = Annotated[bool, options.option("--csv", help="Print CSV instead of text.")]
Watch = Annotated[bool, options.option("--watch", help="Print again every two seconds until Ctrl-C.")]
TrialNumber = Annotated[str, typer.Argument(metavar="TRIAL", help="The number of the trial, 42 or t0042.")]


def top(
    study: options.StudyName,
    n: Rows = 20,
    where: Where = None,
    sort: Sort = None,
    json: options.Json = False,
    csv: Csv = False,
    front: Front = False,
    watch: Watch = False,
    ascii: options.Ascii = False,
    dir: options.Dir = options.STUDIES,
) -> None:
    """Print the leaderboard of a study, also while it runs."""
    path = values.study_path(study, dir)
    if watch:
        return _watch(path, n, where or [], sort, ascii, front)
    board = _board(path, n, where or [], sort, front)
    if json or csv:
        return typer.echo(board.json() if json else board.csv(), nl=json)
    return _print(board, ascii)


def show(
    study: options.StudyName,
    trial: TrialNumber,
    json: options.Json = False,
    ascii: options.Ascii = False,
    dir: options.Dir = options.STUDIES,
) -> None:
    """Print one trial: config, curve, metrics, and why it ended."""
    from automl.errors import SpecError
    from automl.view.pages.trial import document, text
    from automl.view.screens.choose import speaks_unicode

    opened = _open(values.study_path(study, dir))
    number = values.trial_number(trial)
    if not 0 <= number < len(opened.history):
        raise SpecError(f"{opened.name} has no trial {number}; it has {len(opened.history)}, numbered from 0")
    if json:
        return typer.echo(json_module.dumps(document(opened, number), ensure_ascii=False, allow_nan=False))
    width = shutil.get_terminal_size((100, 30)).columns
    return typer.echo(text(opened, number, width, unicode=not ascii and speaks_unicode(sys.stdout)))


def _open(path: Path) -> "StudyView":
    from automl.study.reader import StudyView

    return StudyView(path)


def _board(path: Path, n: int, where: Sequence[str], sort: str | None, front: bool) -> "Leaderboard":
    from automl.cli import filters
    from automl.errors import SpecError
    from automl.leaderboard.board import Leaderboard

    opened = _open(path)
    if front and not opened.history.objectives.several:
        raise SpecError(f"{opened.name} has one objective, {opened.metric.name}, so there is no front")
    board = Leaderboard.of(opened.history, None if where or sort or front or n == 0 else n, opened.winner)
    opened.close()
    test = filters.where(board, where)
    rows = [row for row in board.rows if test(row) and (not front or row.front == 1)]
    if front and not sort:
        rows = sorted(rows, key=lambda row: opened.metric.loss(row.value or 0.0))
    if sort:
        rows = sorted(rows, key=filters.sort_key(board, sort))
    return replace(board, rows=rows[: n or None])


def _print(board: "Leaderboard", ascii: bool) -> None:
    from automl.view.screens import choose

    console = choose.console(sys.stdout)
    if not board.rows:
        return typer.echo("there are no trials yet" if not board.trials else "no trial fulfils the conditions")
    console.print(board.text(console.width, unicode=not ascii and choose.speaks_unicode(sys.stdout)))
    if board.trials > len(board.rows):
        typer.echo(f"{len(board.rows)} of {board.trials} trials", err=True)
    return None


def _watch(path: Path, n: int, where: Sequence[str], sort: str | None, ascii: bool, front: bool) -> None:
    """Print the table until Ctrl-C; in a terminal it is replaced in place."""
    from rich.live import Live

    from automl.view.screens import choose

    console = choose.console(sys.stdout)
    unicode = not ascii and choose.speaks_unicode(sys.stdout)
    with Live(console=console, auto_refresh=False, vertical_overflow="crop") as live:
        while True:
            board = _board(path, n, where, sort, front)
            rows = board.rows[: max(console.height - 3, 1)] if console.is_terminal else board.rows
            live.update(replace(board, rows=rows).text(console.width - 1, unicode=unicode), refresh=True)
            time.sleep(WATCH_S)
