"""`automl top` and `automl show`: what a study knows, also while it runs."""

import json as json_module
import shutil
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from automl.cli import options

if TYPE_CHECKING:
    from automl.leaderboard.board import Leaderboard

WATCH_S = 2.0


def top(
    study: options.StudyName,
    n: Annotated[int, options.option("-n", "--rows", min=0, help="How many rows; 0: all.")] = 20,
    where: Annotated[
        list[str] | None, options.option(metavar="CONDITION", help="Only such rows, e.g. 'lr<1e-3' (repeatable).")
    ] = None,
    sort: Annotated[
        str | None, options.option(metavar="COLUMN", help="Order by this column; -COLUMN: descending.")
    ] = None,
    json: options.Json = False,
    csv: Annotated[bool, options.option("--csv", help="Print CSV instead of text.")] = False,
    watch: Annotated[bool, options.option("--watch", help="Draw again every two seconds until Ctrl-C.")] = False,
    ascii: options.Ascii = False,
    dir: options.Dir = options.STUDIES,
) -> None:
    """Print the leaderboard of a study, also while it runs."""
    path = options.study_path(study, dir)
    if watch:
        return _watch(path, n, where or [], sort, ascii)
    board = _board(path, n, where or [], sort)
    if json or csv:
        return typer.echo(board.json() if json else board.csv(), nl=json)
    return _print(board, ascii)


def show(
    study: options.StudyName,
    trial: Annotated[str, typer.Argument(metavar="TRIAL", help="The trial's number, 42 or t0042.")],
    json: options.Json = False,
    ascii: options.Ascii = False,
    dir: options.Dir = options.STUDIES,
) -> None:
    """Print one trial: config, curve, metrics, why it ended."""
    from automl.errors import SpecError
    from automl.view.pages.trial import document, text
    from automl.view.screens.choose import speaks_unicode

    opened = _open(options.study_path(study, dir))
    number = options.trial_number(trial)
    if not 0 <= number < len(opened.history):
        raise SpecError(f"{opened.name} has no trial {number}; it has {len(opened.history)}, numbered from 0")
    if json:
        return typer.echo(json_module.dumps(document(opened, number), ensure_ascii=False, allow_nan=False))
    width = shutil.get_terminal_size((100, 30)).columns
    return typer.echo(text(opened, number, width, unicode=not ascii and speaks_unicode(sys.stdout)))


def _open(path: Path) -> Any:
    from automl.study.study import Study

    return Study.open(path)


def _board(path: Path, n: int, where: Sequence[str], sort: str | None) -> "Leaderboard":
    from automl.cli.commands import filters
    from automl.leaderboard.board import Leaderboard

    opened = _open(path)
    board = Leaderboard.of(opened.history, None if where or sort or n == 0 else n, opened.winner)
    opened.close()
    test = filters.where(board, where)
    rows = [row for row in board.rows if test(row)]
    if sort:
        rows = sorted(rows, key=filters.sort_key(board, sort))
    return replace(board, rows=rows[: n or None])


def _print(board: "Leaderboard", ascii: bool) -> None:
    from automl.view.screens import choose

    console = choose.console(sys.stdout)
    if not board.rows:
        return typer.echo("no trial yet" if not board.trials else "no such trial")
    console.print(board.text(console.width, unicode=not ascii and choose.speaks_unicode(sys.stdout)))
    if board.trials > len(board.rows):
        typer.echo(f"{len(board.rows)} of {board.trials} trials", err=True)
    return None


def _watch(path: Path, n: int, where: Sequence[str], sort: str | None, ascii: bool) -> None:
    """Until Ctrl-C; in a terminal the table is drawn in place, elsewhere again and again."""
    from rich.live import Live

    from automl.view.screens import choose

    console = choose.console(sys.stdout)
    unicode = not ascii and choose.speaks_unicode(sys.stdout)
    with Live(console=console, auto_refresh=False, vertical_overflow="crop") as live:
        while True:
            board = _board(path, n, where, sort)
            rows = board.rows[: max(console.height - 3, 1)] if console.is_terminal else board.rows
            live.update(replace(board, rows=rows).text(console.width - 1, unicode=unicode), refresh=True)
            time.sleep(WATCH_S)
