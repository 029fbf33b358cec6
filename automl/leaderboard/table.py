"""The table of trials, laid out for a width: which columns, how wide, and the lines.

First come rank, trial, state, value and step; then, as far as they fit, a short curve, the first two hyperparameters
of the board, the time, its other hyperparameters, and the note. What is left makes the curve longer. Long names are
shortened in the middle; a line below the table says what they stand for.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from automl.leaderboard import words
from automl.leaderboard.rows import RankedRows, Row
from automl.leaderboard.sparkline import Range, curve

if TYPE_CHECKING:
    from rich.text import Text

Span = tuple[str, str]  # text, rich style
Line = list[Span]

STATES = {"done": "done", "stopped": "stop", "running": "run", "paused": "pause", "failed": "fail"}
STYLES = {"done": "green", "stopped": "yellow", "running": "cyan", "paused": "blue", "failed": "red"}
CURVE, LONG_CURVE = 8, 16  # cells
WORD, TITLE = 12, 8  # cells of a text value; of a column's name where columns would have to be left out
NOTE = 24  # a note shorter than this says nothing


@dataclass(frozen=True, slots=True)
class Column:
    """One column of the table: its title, its width in terminal cells, and the text of its cell for a row.

    `name`: what a shortened title stands for; empty for a whole one.
    """

    title: str
    width: int
    right: bool
    text: Callable[[Row], str]
    kind: str = ""
    name: str = ""


def table(board: RankedRows, width: int, *, unicode: bool = True, digits: int = 3, notes: bool = True) -> "Text":
    """The board as rich text, in `width` cells."""
    hidden: list[str] = []
    shown = lines(board, board.rows, width, unicode=unicode, digits=digits, notes=notes, hidden=hidden, legend=True)
    made = to_text(shown)
    if hidden:
        made.append(f"\n      (not shown: {', '.join(words.clean(n) for n in hidden)})", "dim")
    return made


def lines(
    board: RankedRows,
    rows: Sequence[Row],
    width: int,
    *,
    unicode: bool = True,
    digits: int = 2,
    notes: bool = True,
    hidden: list[str] | None = None,
    legend: bool = False,
) -> list[Line]:
    """A header and a line for each of `rows`; names of hyperparameters that did not fit are added to `hidden`.

    `legend`: adds a line with what shortened names stand for, where there are any.
    """
    columns = choose(board, rows, width, unicode=unicode, digits=digits, notes=notes, hidden=hidden)
    cut = words.CELL_CUT if unicode else "~"
    header = " ".join(words.pad(c.title, c.width, right=c.right, cut=cut) for c in columns)
    meanings = "  ".join(f"{c.title} = {words.clean(c.name)}" for c in columns if c.name)
    below: list[Line] = [[(words.fit(f"      {meanings}", width, cut=cut), "dim")]] if legend and meanings else []
    return [[(header, "bold dim")], *(_line(r, columns, cut) for r in rows), *below]


def choose(
    board: RankedRows,
    rows: Sequence[Row],
    width: int,
    *,
    unicode: bool,
    digits: int,
    notes: bool,
    hidden: list[str] | None = None,
) -> list[Column]:
    """The columns that fit, in the order they are shown. Long names are cut where that saves a column."""
    for word in (WORD, TITLE):
        missing: list[str] = []
        columns = _choose(board, rows, width, unicode, digits, notes, missing, word)
        if not missing:
            break
    if hidden is not None:
        hidden += missing
    return columns


def _choose(
    board: RankedRows,
    rows: Sequence[Row],
    width: int,
    unicode: bool,
    digits: int,
    notes: bool,
    hidden: list[str],
    word: int,
) -> list[Column]:
    scale = Range.of((r.curve for r in rows), maximize=board.metric.direction == "maximize")

    def glyphs(cells: int) -> Column:
        def text(r: Row) -> str:
            return curve(r.curve, cells, board.horizon, scale, unicode=unicode)

        return Column("curve", cells, False, text, "curve")

    chosen = _fixed(board, rows, word)
    left = width - sum(c.width + 1 for c in chosen) + 1
    names = [name for name in board.columns if any(name in r.config for r in rows)]
    titles = _titles(names, word)
    parameters = [_parameter(name, titles[name], rows, digits) for name in names]
    time = _column("time", rows, lambda r: words.duration(r.seconds), right=True)
    spark = any(len(r.curve) > 1 for r in rows)
    wanted = [*([glyphs(CURVE)] if spark else []), *parameters[:2], time, *parameters[2:]]
    taken: list[Column] = []
    for column in wanted:
        if column.width + 1 > left:
            break
        taken.append(column)
        left -= column.width + 1
    hidden += [name for name, c in zip(names, parameters, strict=True) if c not in taken]
    longest = max((words.cells(_note(r)) for r in rows), default=0) if notes else 0
    note = Column("note", min(longest, left - 1), False, _note, "note")
    if longest and note.width >= min(NOTE, longest):
        left -= note.width + 1
    else:
        note = Column("", 0, False, _note)
    if spark and taken and taken[0].kind == "curve":
        taken[0] = glyphs(min(CURVE + max(left, 0), LONG_CURVE, max(board.horizon or LONG_CURVE, CURVE)))
    middle = [c for c in taken if c is not time]
    return [*chosen, *middle, *([time] if time in taken else []), *([note] if note.width else [])]


def _fixed(board: RankedRows, rows: Sequence[Row], word: int) -> list[Column]:
    places = max((len(str(r.rank)) for r in rows), default=1)
    metric = words.clean(board.metric.name)
    title = words.fit_middle(metric, word)
    value = _column(title, rows, lambda r: words.number(r.value), right=True, kind="value")
    return [
        Column("rank", max(4, places), True, lambda r: "-" if r.rank is None else str(r.rank)),
        _column("trial", rows, lambda r: words.trial(r.trial)),
        Column("state", 5, False, lambda r: "BEST" if r.best else STATES[r.state], "state"),
        replace(value, name="" if title == metric else metric),
        *_further(rows, metric, word),
        _column("at", rows, lambda r: str(r.step) if r.step else "-", right=True),
    ]


def _further(rows: Sequence[Row], metric: str, word: int) -> list[Column]:
    """The front, and the other objectives and limited metrics, where there are any."""
    names = [name for name in dict.fromkeys(name for r in rows for name in r.values) if words.clean(name) != metric]
    if not names:
        return []
    titles = _titles(names, word)

    def of(name: str) -> Column:
        def text(r: Row) -> str:
            return words.amount(r.values.get(name))

        return replace(_column(titles[name], rows, text, right=True), name="" if titles[name] == name else name)

    front = [Column("front", 5, True, lambda r: "-" if r.front is None else str(r.front))]
    return [*map(of, names), *(front if any(r.front for r in rows) else [])]


def _titles(names: Sequence[str], word: int) -> dict[str, str]:
    """The names, shortened to `word` cells in the middle, or less so where two would become the same."""
    for cells in (word, WORD, *range(WORD + 4, 64, 4)):
        titles = {name: words.fit_middle(words.clean(name), cells) for name in names}
        if len(set(titles.values())) == len(names):
            return titles
    return {name: words.clean(name) for name in names}


def _parameter(name: str, title: str, rows: Sequence[Row], digits: int) -> Column:
    right = all(isinstance(r.config.get(name, 0), int | float) for r in rows)

    def text(r: Row) -> str:
        return words.fit(words.short(r.config[name], digits), WORD, cut="~") if name in r.config else "-"

    return replace(_column(title, rows, text, right=right), name="" if title == words.clean(name) else name)


def _column(
    title: str, rows: Sequence[Row], text: Callable[[Row], str], *, right: bool = False, kind: str = ""
) -> Column:
    return Column(title, max([words.cells(title), *(words.cells(text(r)) for r in rows)]), right, text, kind)


def _note(r: Row) -> str:
    return words.clean(r.note)


def _line(r: Row, columns: Sequence[Column], cut: str) -> Line:
    line: Line = []
    for k, c in enumerate(columns):
        style = "bold" if r.best else ""
        if c.kind == "state":
            style = STYLES[r.state]
        elif c.kind == "curve" or c.kind == "note":
            style = {"curve": "cyan", "note": "dim"}[c.kind]
        elif c.kind == "value":
            style = "bold green" if r.best else "bold" if r.state == "done" else ""
        text = words.pad(c.text(r), c.width, right=c.right, cut=cut)
        line.append(((" " if k else "") + text, style))
    line[-1] = (line[-1][0].rstrip(), line[-1][1])
    return line


def to_text(made: Iterable[Line], *, colour: bool = True) -> "Text":
    """Lines as one rich Text that is neither wrapped nor cut again."""
    from rich.text import Text

    text = Text(no_wrap=True, overflow="crop", end="")
    for k, line in enumerate(made):
        if k:
            text.append("\n")
        for part, style in line:
            text.append(part, style if colour and style else None)
    return text
