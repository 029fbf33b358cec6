"""One frame of the live screen, as a pure function of a snapshot and a size.

From the top: what and how long, progress, counts, the best trial, the best value so far, the table, what is running,
what ended lately and why, importance, hardware, how to stop. Lines are given out by need: the head and the foot always,
then the table, the running trials, the endings, and the rest while there is room.
"""

from typing import TYPE_CHECKING

from automl.leaderboard import words
from automl.leaderboard.sparkline import Range, curve, sparkline
from automl.leaderboard.table import STATES, STYLES, Line, Span, lines, to_text
from automl.view.screens.snapshot import Running, Snapshot, Worker

if TYPE_CHECKING:
    from rich.text import Text

TABLE_ROWS = 8


def render(snapshot: Snapshot, width: int, height: int, *, unicode: bool = True, colour: bool = True) -> "Text":
    """The frame: at most `height` lines of at most `width` cells."""
    return to_text(frame(snapshot, width, height, unicode=unicode), colour=colour)


def frame(s: Snapshot, width: int, height: int, *, unicode: bool = True) -> list[Line]:
    """The frame as lines of (text, style)."""
    head = [_title(s, width), _progress(s, width, unicode), _counts(s, width), _best(s, width)]
    foot = [_foot(s, width)]
    room = height - len(head) - len(foot)
    if room < 0:
        return [_cropped(line, width, unicode) for line in head[: max(height, 1)]]
    running = _running(s, width, unicode)
    lately = _lately(s, width, unicode)
    extras = [
        line for line in (_so_far(s, width, unicode), _importance(s, width, unicode), _hardware(s, width)) if line
    ]
    rows = s.board.rows
    # the least first, then more of everything while there is room
    sizes = {"table": 0, "running": 0, "lately": 0, "extras": 0}
    limits = {
        "table": len(rows) + 1 if rows else 0,
        "running": len(running),
        "lately": len(lately),
        "extras": len(extras),
    }
    for part, upto in (
        ("table", 4),
        ("running", 2),
        ("lately", 2),
        ("table", 6),
        ("extras", 1),
        ("running", 5),
        ("lately", 4),
        ("extras", 3),
        ("table", 1 + TABLE_ROWS),
        ("lately", 6),
        ("running", 9),
        ("table", 1 + 2 * TABLE_ROWS),
        ("running", 17),
        ("lately", 9),
        ("table", 61),
    ):
        least = 2 if part != "extras" else 1
        more = min(upto, limits[part], sizes[part] + room) - sizes[part]
        if more > 0 and sizes[part] + more >= least:
            sizes[part] += more
            room -= more
    body: list[Line] = []
    so_far = extras[:1] if sizes["extras"] and s.so_far else []
    body += so_far
    if sizes["table"]:
        body += lines(s.board, rows[: sizes["table"] - 1], width, unicode=unicode)
    body += running[: sizes["running"]] + lately[: sizes["lately"]]
    body += extras[len(so_far) : sizes["extras"]]
    return [_cropped(line, width, unicode) for line in [*head, *body, *foot]]


def _title(s: Snapshot, width: int) -> Line:
    how = " + ".join(words.clean(part) for part in (s.stopper, s.strategy) if part and part not in ("none", "never"))
    aim = "max" if s.metric.direction == "maximize" else "min"
    time = words.clock(s.elapsed_s)
    parts: list[Span] = [
        ("automl search", "bold"),
        (words.clean(s.name), "bold cyan"),
        (f"{words.clean(s.metric.name)} ({aim})", ""),
        (how, ""),
        (_machine(s), "dim"),
    ]
    left = _flow(parts, width - len(time) - 2)
    gap = width - sum(words.cells(t) for t, _ in left) - len(time)
    return [*left, (" " * max(gap, 1), ""), (time, "bold")]


def _machine(s: Snapshot) -> str:
    if not s.workers:
        return ""
    devices = dict.fromkeys(words.clean(w.device) for w in s.workers)
    kinds = "/".join(dict.fromkeys(device.rstrip("0123456789:") for device in devices))
    many = f"{len(devices)} " if len(devices) < len(s.workers) and len(devices) > 1 else ""
    return f"{words.plural(len(s.workers), 'worker')} on {many}{kinds}"


def _progress(s: Snapshot, width: int, unicode: bool) -> Line:
    label, share = s.progress
    limited = s.plan.trials or s.plan.steps or s.plan.time_s
    left = "ETA -" if s.eta is None else f"ETA {words.span(*s.eta)}" + (f" ({s.until})" if s.until else "")
    if width < 60:
        left = left.partition(" (")[0]
    tail = f" {share:4.0%}  {left}" if limited else ""
    cells = width - words.cells(label) - 1 - words.cells(tail)
    if cells < 5 or not limited:
        return [(label, ""), (tail, "")]
    done = min(int(share * cells), cells)
    full, rest = ("━", "─") if unicode else ("#", "-")
    return [(label + " ", ""), (full * done, "green"), (rest * (cells - done), "dim"), (tail, "")]


def _counts(s: Snapshot, width: int) -> Line:
    c = s.counts
    waiting = c.running - sum(w.lanes for w in s.workers) if s.workers else 0  # for their next attempt
    parts: list[Span] = [
        (f"{c.running - max(waiting, 0)} running", STYLES["running"]),
        (f"{c.done} done", STYLES["done"]),
        (f"{c.stopped} stopped" + (" early" if width >= 90 else ""), STYLES["stopped"]),
        (f"{c.failed} failed", STYLES["failed"] if c.failed else "dim"),
    ]
    if waiting > 0:
        parts.append((f"{waiting} waiting", STYLES["paused"]))
    if c.paused:
        parts.append((f"{c.paused} paused", STYLES["paused"]))
    if s.retried:
        parts.append((f"{s.retried} retried", ""))
    spent = f"{words.plural(s.steps, 'epoch')} run" if s.steps else ""
    if s.saved is not None and s.saved > 0.0005:
        saved = f"{s.saved:.0%} of epochs saved"
        spent = f"{spent}, {saved}" if width >= 90 else saved
    return _flow([*parts, (spent, "bold" if s.saved else "")], width)


def _best(s: Snapshot, width: int) -> Line:
    row = s.best
    if row is None:
        lead = next(iter(s.board.rows), None)
        if lead is None:
            failed = s.counts.failed
            why = f"none: {words.plural(failed, 'trial')} failed" if failed else "-  (no trial has reported yet)"
            return [("best   ", ""), (why, STYLES["failed"] if failed else "dim")]
        at = f"at {lead.step}/{s.board.horizon}" if s.board.horizon else f"at {lead.step}"
        text = f"none has run its full length yet; leading: {words.trial(lead.trial)} {words.number(lead.value)} {at}"
        return [("best   ", ""), (text, "dim")]
    age = "" if s.best_age_s is None else f"found {words.duration(s.best_age_s)} ago"
    ago = f"  {age}" if age and width >= 80 else ""
    fixed: list[Span] = [("best", ""), (words.number(row.value), "bold green"), (words.trial(row.trial), "bold")]
    names = [n for n in s.board.columns if n in row.config]
    parts: list[Span] = [*fixed, *((f"{words.clean(n)} {words.short(row.config[n], 2)}", "") for n in names)]
    left = _flow(parts, width - words.cells(ago), in_order=True)
    gap = width - sum(words.cells(t) for t, _ in left) - words.cells(ago)
    return [*left, (" " * gap + ago, "dim")] if ago else left


def _so_far(s: Snapshot, width: int, unicode: bool) -> Line:
    if s.gain is None:
        return []  # nothing has become better yet
    first, last = words.number(s.so_far[0]), words.number(s.so_far[-1])
    size, ago = s.gain
    when = "just now" if ago == 0 else f"{words.plural(ago, 'trial')} ago"
    tail = f"last gain {words.short(size, 2)}, {when}" if width >= 90 else f"last gain {when}"
    cells = min(width - len(first) - len(last) - len(tail) - 11, 60)
    if cells < 8:
        return []
    shown = sparkline(s.so_far, cells, unicode=unicode)
    return [("so far ", ""), (first, ""), (f" {shown} ", "cyan"), (last, "bold"), (f"  {tail}", "dim")]


def _running(s: Snapshot, width: int, unicode: bool) -> list[Line]:
    """A header and a line for each trial in work; a cohort is one line, with its first trials below."""
    if not s.workers:
        return []
    made: list[Line] = [[(" running", "bold dim")]]
    points = [t.curve for w in s.workers for t in w.trials] + [r.curve for r in s.board.rows[:TABLE_ROWS]]
    scale = Range.of(points, maximize=s.metric.direction == "maximize")
    device = max(words.cells(words.clean(w.device)) for w in s.workers)
    for w in s.workers:
        where = words.pad(words.clean(w.device), device)
        if not w.trials:
            idle = "idle" if s.counts.ended + s.counts.running else "starting: it loads libraries and data"
            made.append([(f"   {'-':5} ", "dim"), (where, ""), (f"  {words.clean(w.note) or idle}", "dim")])
        elif w.lanes > 1:
            made.append(_cohort(s, w, where, width))
        else:
            made.append(_trial(s, w.trials[0], where, words.clean(w.note), width, scale, unicode))
    return made


def _trial(s: Snapshot, t: Running, where: str, note: str, width: int, scale: Range, unicode: bool) -> Line:
    at = f"{t.step}/{s.board.horizon}" if s.board.horizon else str(t.step) if t.step else "-"
    parts: list[Span] = [(f"   {words.trial(t.trial)}", "cyan"), (where, ""), (f"{at:>7}", "")]
    parts.append((f"{words.number(t.value):>7}", "") if t.value is not None else (f"{'-':>7}", "dim"))
    glyphs = curve(t.curve, 16, s.board.horizon, scale, unicode=unicode)
    parts.append((words.pad(t.standing or "warming up", 22 if width >= 80 else 18), "" if t.standing else "dim"))
    if width >= 80:
        parts.append((words.pad(glyphs, min(16, s.board.horizon or 16)), "cyan"))
    if note:
        parts.append((note, "dim"))
    return _flow(parts, width)


def _cohort(s: Snapshot, w: Worker, where: str, width: int) -> Line:
    """`48 trials  gpu0  cohort 3: 48 lanes, 412 steps/s  leading t0012 0.97 at 9  ...`."""
    parts: list[Span] = [
        (f"   {w.lanes} trials", "cyan"),
        (where, ""),
        (words.clean(w.note), "bold"),
        ("leading", "dim"),
    ]
    for t in w.trials:
        step = f" at {t.step}" if t.step else ""
        parts.append((f"{words.trial(t.trial)} {words.number(t.value)}{step}", "dim"))
    return _flow(parts, width, in_order=True)


def _lately(s: Snapshot, width: int, unicode: bool) -> list[Line]:
    if not s.lately:
        return []
    made: list[Line] = [[(" lately", "bold dim")]]
    cut = words.CELL_CUT if unicode else "~"
    for r in s.lately:
        start: Line = [
            (f"   {words.trial(r.trial)} ", ""),
            (f"{STATES[r.state]:5}", STYLES[r.state]),
            (f" at {r.step:<3}" if r.step else "       ", ""),
        ]
        saved = f"  saved {s.board.horizon - r.step}" if r.state == "stopped" and s.board.horizon else ""
        reason = words.clean(r.note) if r.state != "done" else words.number(r.value)
        room = width - sum(words.cells(t) for t, _ in start) - 1
        if words.cells(reason) + words.cells(saved) > room:
            saved = ""
        made.append([*start, (" " + words.fit(reason, room, cut=cut), ""), (saved, "dim")])
    return made


def _importance(s: Snapshot, width: int, unicode: bool) -> Line:
    if not s.importance:
        return []
    parts: list[Span] = [(" importance", "dim")]
    bar = "▇" if unicode else "#"
    for name, share in s.importance:
        if share < 0.005:
            break
        glyphs = bar * round(share * 12) + " " if width >= 90 and round(share * 12) else ""
        parts.append((f"{words.clean(name)} {glyphs}{share:.2f}".replace(" 0.", " ."), ""))
    return _flow(parts, width, in_order=True)


def _hardware(s: Snapshot, width: int) -> Line:
    return _flow(
        [(f" {words.clean(part)}" if k == 0 else words.clean(part), "dim") for k, part in enumerate(s.hardware)], width
    )


def _foot(s: Snapshot, width: int) -> Line:
    if s.note:
        return [(words.fit(words.clean(s.note), width), "yellow")]
    where = words.clean(s.where)
    short = where.rstrip("/").rpartition("/")[2]
    for text in (
        f"{where}  Ctrl-C: finish epochs, save, exit   again: stop now   other shell: automl top {where}",
        f"{where}  Ctrl-C: finish epochs, save, exit   again: stop now",
        f"{short}  Ctrl-C saves and exits, twice stops now",
        "Ctrl-C saves and exits",
    ):
        if words.cells(text) <= width:
            return [(text if where else text.strip(), "dim")]
    return [("", "")]


def _flow(parts: list[Span], width: int, *, in_order: bool = False) -> Line:
    """Parts with two blanks between, as many as fit: those too long are skipped, or (`in_order`) end the line."""
    made: Line = []
    used = 0
    for text, style in parts:
        if not text:
            continue
        need = words.cells(text) + (2 if made else 0)
        if used + need > width:
            if in_order:
                break
            continue
        made.append((("  " if made else "") + text, style))
        used += need
    return made


def _cropped(line: Line, width: int, unicode: bool) -> Line:
    """The line cut to `width` cells, blanks at its end taken off."""
    used, made = 0, []
    for text, style in line:
        if used + words.cells(text) > width:
            made.append((words.fit(text, width - used, cut=words.CELL_CUT if unicode else "~"), style))
            break
        made.append((text, style))
        used += words.cells(text)
    while made and not made[-1][0].rstrip():
        made.pop()
    if made:
        made[-1] = (made[-1][0].rstrip(), made[-1][1])
    return made
