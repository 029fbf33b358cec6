"""One frame of the live screen, as a pure function of a snapshot and a size.

From the top: title, progress, counts, the best trial, the best value so far, the table, running trials, trials that
ended recently and why, importance, hardware, how to stop. Lines are shared out by priority: head and foot always, then
the table, the running trials, the ended ones, and the rest while there is room.
"""

from typing import TYPE_CHECKING

from automl.leaderboard.table import Line, lines, to_text
from automl.view.screens import parts
from automl.view.screens.parts import TABLE_ROWS
from automl.view.screens.snapshot import Snapshot

if TYPE_CHECKING:
    from rich.text import Text

PRIORITIES = (
    ("table", 4),
    ("running", 2),
    ("recent", 2),
    ("table", 6),
    ("extras", 1),
    ("running", 5),
    ("recent", 4),
    ("extras", 3),
    ("table", 1 + TABLE_ROWS),
    ("recent", 6),
    ("running", 9),
    ("table", 1 + 2 * TABLE_ROWS),
    ("running", 17),
    ("recent", 9),
    ("table", 61),
)
"""In this order the blocks grow, each up to that many lines, while there is room."""


def render(snapshot: Snapshot, width: int, height: int, *, unicode: bool = True, colour: bool = True) -> "Text":
    """The frame as rich text: at most `height` lines of at most `width` cells.

    Args:
        snapshot: the moment to show.
        width: of the terminal, in cells.
        height: of the terminal, in lines.
        unicode: whether characters beyond ASCII may be used.
        colour: whether styles are kept.
    """
    return to_text(frame(snapshot, width, height, unicode=unicode), colour=colour)


def frame(s: Snapshot, width: int, height: int, *, unicode: bool = True) -> list[Line]:
    """The frame as lines of (text, style); arguments as for `render`."""
    head = [parts.title(s, width), parts.progress(s, width, unicode), parts.counts(s, width), parts.best(s, width)]
    foot = [parts.foot(s, width)]
    room = height - len(head) - len(foot)
    if room < 0:
        return [parts.cropped(line, width, unicode) for line in head[: max(height, 1)]]
    body = _body(s, width, room, unicode)
    return [parts.cropped(line, width, unicode) for line in [*head, *body, *foot]]


def _body(s: Snapshot, width: int, room: int, unicode: bool) -> list[Line]:
    """What stands between head and foot, in at most `room` lines."""
    running = parts.running(s, width, unicode)
    recent = parts.recently_ended(s, width, unicode)
    so_far = parts.best_so_far(s, width, unicode)
    extras = [line for line in (so_far, parts.importance(s, width, unicode), parts.hardware(s, width)) if line]
    rows = s.board.rows
    named = 1 if rows and len(lines(s.board, rows[:1], width, unicode=unicode, legend=True)) > 2 else 0
    available = {"table": len(rows) + 1 + named if rows else 0, "running": len(running), "recent": len(recent)}
    sizes = share_out(room, {**available, "extras": len(extras)})
    above = extras[:1] if sizes["extras"] and so_far else []
    table = _table(s, sizes["table"], width, unicode)
    below = extras[len(above) : sizes["extras"]]
    return [*above, *table, *running[: sizes["running"]], *recent[: sizes["recent"]], *below]


def _table(s: Snapshot, size: int, width: int, unicode: bool) -> list[Line]:
    """The table in at most `size` lines; with three rows or more, what shortened names stand for is one of them."""
    if not size:
        return []
    made = lines(s.board, s.board.rows[: size - 1], width, unicode=unicode, legend=size > 4)
    if len(made) <= size:
        return made
    return lines(s.board, s.board.rows[: size - 2], width, unicode=unicode, legend=True)


def share_out(room: int, available: dict[str, int]) -> dict[str, int]:
    """How many lines each block gets, by `PRIORITIES`.

    Args:
        room: lines in all.
        available: the lines that each block has. A block with a header gets at least two, or none.
    """
    sizes = dict.fromkeys(available, 0)
    for block, limit in PRIORITIES:
        least = 1 if block == "extras" else 2
        more = min(limit, available[block], sizes[block] + room) - sizes[block]
        if more > 0 and sizes[block] + more >= least:
            sizes[block] += more
            room -= more
    return sizes
