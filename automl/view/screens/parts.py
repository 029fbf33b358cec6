"""The lines of the live screen, each as a function of a snapshot and a width."""

from automl.leaderboard import words
from automl.leaderboard.sparkline import Range, curve, sparkline
from automl.leaderboard.table import STATES, STYLES, Line, Span
from automl.view.screens.snapshot import Running, Snapshot, Worker

TABLE_ROWS = 8  # of the table, where there is room


def title(s: Snapshot, width: int) -> Line:
    """What is searched, how and where, and for how long: `automl search  digits  val_acc (max)  ...  00:01:47`."""
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
    left = flow(parts, width - len(time) - 2)
    gap = width - sum(words.cells(t) for t, _ in left) - len(time)
    return [*left, (" " * max(gap, 1), ""), (time, "bold")]


def _machine(s: Snapshot) -> str:
    """`4 workers on 2 gpu`."""
    if not s.workers:
        return ""
    devices = dict.fromkeys(words.clean(w.device) for w in s.workers)
    kinds = "/".join(dict.fromkeys(device.rstrip("0123456789:") for device in devices))
    many = f"{len(devices)} " if len(devices) < len(s.workers) and len(devices) > 1 else ""
    return f"{words.plural(len(s.workers), 'worker')} on {many}{kinds}"


def progress(s: Snapshot, width: int, unicode: bool) -> Line:
    """The limit that is nearest to its end, a bar, and the estimated time to the end."""
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


def counts(s: Snapshot, width: int) -> Line:
    """How many trials are running, done, stopped, failed, and the share of epochs that early stopping saved."""
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
    spent = f"{words.plural(s.steps, s.plan.unit)} run" if s.steps else ""
    if s.saved is not None and s.saved > 0.0005:
        saved = f"{s.saved:.0%} of {s.plan.unit}s saved"
        spent = f"{spent}, {saved}" if width >= 90 else saved
    return flow([*parts, (spent, "bold" if s.saved else "")], width)


def best(s: Snapshot, width: int) -> Line:
    """The best trial that ran its full length, its config, and when it was found; before that, the leading trial."""
    row = s.best
    if row is None:
        return [("best   ", ""), _no_best(s)]
    age = "" if s.best_age_s is None else f"found {words.duration(s.best_age_s)} ago"
    ago = f"  {age}" if age and width >= 80 else ""
    fixed: list[Span] = [("best", ""), (words.number(row.value), "bold green"), (words.trial(row.trial), "bold")]
    names = [n for n in s.board.columns if n in row.config]
    parts: list[Span] = [*fixed, *((f"{words.clean(n)} {words.short(row.config[n], 2)}", "") for n in names)]
    left = flow(parts, width - words.cells(ago), in_order=True)
    gap = width - sum(words.cells(t) for t, _ in left) - words.cells(ago)
    return [*left, (" " * gap + ago, "dim")] if ago else left


def _no_best(s: Snapshot) -> Span:
    """Why there is no best trial yet."""
    lead = next(iter(s.board.rows), None)
    if lead is None and s.counts.failed:
        return f"none: {words.plural(s.counts.failed, 'trial')} failed", STYLES["failed"]
    if lead is None:
        return "none: no trial has reported yet", "dim"
    at = f"{lead.step}/{s.board.horizon}" if s.board.horizon else str(lead.step)
    value = f"{words.trial(lead.trial)} {words.number(lead.value)} at {at}"
    return f"none: no trial has run its full length yet; leading: {value}", "dim"


def best_so_far(s: Snapshot, width: int, unicode: bool) -> Line:
    """The best value after each ended trial, as a sparkline, and the last improvement; empty before the first one."""
    if s.gain is None:
        return []
    first, last = words.number(s.so_far[0]), words.number(s.so_far[-1])
    size, ago = s.gain
    when = "just now" if ago == 0 else f"{words.plural(ago, 'trial')} ago"
    tail = f"improved by {words.short(size, 2)}, {when}" if width >= 90 else f"improved {when}"
    label = "best so far"
    cells = min(width - words.cells(label) - len(first) - len(last) - len(tail) - 5, 60)
    if cells < 8:
        return []
    shown = sparkline(s.so_far, cells, unicode=unicode)
    return [(f"{label} ", ""), (first, ""), (f" {shown} ", "cyan"), (last, "bold"), (f"  {tail}", "dim")]


def running(s: Snapshot, width: int, unicode: bool) -> list[Line]:
    """A header and a line for each worker's trial; a cohort is one line with its best trials."""
    if not s.workers:
        return []
    lines: list[Line] = [[(" running", "bold dim")]]
    points = [t.curve for w in s.workers for t in w.trials] + [r.curve for r in s.board.rows[:TABLE_ROWS]]
    scale = Range.of(points, maximize=s.metric.direction == "maximize")
    device = max(words.cells(words.clean(w.device)) for w in s.workers)
    for w in s.workers:
        where = words.pad(words.clean(w.device), device)
        if not w.trials:
            idle = "idle" if s.counts.ended + s.counts.running else "starting: loading libraries and data"
            lines.append([(f"   {'-':5} ", "dim"), (where, ""), (f"  {words.clean(w.note) or idle}", "dim")])
        elif w.lanes > 1:
            lines.append(_cohort(w, where, width))
        else:
            lines.append(_trial(s, w.trials[0], where, words.clean(w.note), width, scale, unicode))
    return lines


def _trial(s: Snapshot, t: Running, where: str, note: str, width: int, scale: Range, unicode: bool) -> Line:
    """`t0114  gpu0  12/27  0.9642  5th of 7 at step 12  (curve)  412 it/s`."""
    at = f"{t.step}/{s.board.horizon}" if s.board.horizon else str(t.step) if t.step else "-"
    parts: list[Span] = [(f"   {words.trial(t.trial)}", "cyan"), (where, ""), (f"{at:>7}", "")]
    parts.append((f"{words.number(t.value):>7}", "") if t.value is not None else (f"{'-':>7}", "dim"))
    glyphs = curve(t.curve, 16, s.board.horizon, scale, unicode=unicode)
    standing = words.pad(t.standing or "no report yet", 23 if width >= 80 else 20)
    parts.append((standing, "" if t.standing else "dim"))
    if width >= 80:
        parts.append((words.pad(glyphs, min(16, s.board.horizon or 16)), "cyan"))
    if note:
        parts.append((note, "dim"))
    return flow(parts, width)


def _cohort(w: Worker, where: str, width: int) -> Line:
    """`48 trials  gpu0  cohort 3: 48 lanes, 412 steps/s  leading  t0012 0.97 at 9  ...`."""
    parts: list[Span] = [
        (f"   {w.lanes} trials", "cyan"),
        (where, ""),
        (words.clean(w.note), "bold"),
        ("leading", "dim"),
    ]
    for t in w.trials:
        step = f" at {t.step}" if t.step else ""
        parts.append((f"{words.trial(t.trial)} {words.number(t.value)}{step}", "dim"))
    return flow(parts, width, in_order=True)


def recently_ended(s: Snapshot, width: int, unicode: bool) -> list[Line]:
    """A header and a line for each of the trials that ended last, the newest first, with the reason."""
    if not s.recent:
        return []
    lines: list[Line] = [[(" recently ended", "bold dim")]]
    cut = words.CELL_CUT if unicode else "~"
    for r in s.recent:
        start: Line = [
            (f"   {words.trial(r.trial)} ", ""),
            (f"{STATES[r.state]:5}", STYLES[r.state]),
            (f" at {r.step:<3}" if r.step else "       ", ""),
        ]
        left_out = s.board.horizon - r.step if r.state == "stopped" and s.board.horizon else 0
        saved = f"  {words.plural(left_out, s.plan.unit)} saved" if left_out else ""
        reason = words.clean(r.note) if r.state != "done" else words.number(r.value)
        room = width - sum(words.cells(t) for t, _ in start) - 1
        if words.cells(reason) + words.cells(saved) > room:
            saved = ""
        lines.append([*start, (" " + words.fit(reason, room, cut=cut), ""), (saved, "dim")])
    return lines


def importance(s: Snapshot, width: int, unicode: bool) -> Line:
    """The importance of the hyperparameters, as bars and shares; those below 0.5 % are left out."""
    if not s.importance:
        return []
    parts: list[Span] = [(" importance", "dim")]
    bar = "▇" if unicode else "#"
    for name, share in s.importance:
        if share < 0.005:
            break
        glyphs = bar * round(share * 12) + " " if width >= 90 and round(share * 12) else ""
        parts.append((f"{words.clean(name)} {glyphs}{share:.2f}".replace(" 0.", " ."), ""))
    return flow(parts, width, in_order=True)


def hardware(s: Snapshot, width: int) -> Line:
    """One sample of each GPU, of the CPU and of the memory."""
    return flow(
        [(f" {words.clean(part)}" if k == 0 else words.clean(part), "dim") for k, part in enumerate(s.hardware)], width
    )


def foot(s: Snapshot, width: int) -> Line:
    """Where the study is and how to end the search, as much of it as fits."""
    where = words.clean(s.where)
    short = where.rstrip("/").rpartition("/")[2]
    steps = f"{s.plan.unit}s"
    for text in (
        f"{where}  Ctrl-C: finish the running {steps}, save, exit; twice: stop now   other shell: automl top {where}",
        f"{where}  Ctrl-C: finish the running {steps}, save, exit; twice: stop now",
        f"{short}  Ctrl-C: save and exit, twice: stop now",
        "Ctrl-C: save and exit",
    ):
        if words.cells(text) <= width:
            return [(text if where else text.strip(), "dim")]
    return [("", "")]


def flow(parts: list[Span], width: int, *, in_order: bool = False) -> Line:
    """Parts separated by two blanks, as many as fit: those too long are skipped, or (`in_order`) end the line."""
    line: Line = []
    used = 0
    for text, style in parts:
        if not text:
            continue
        need = words.cells(text) + (2 if line else 0)
        if used + need > width:
            if in_order:
                break
            continue
        line.append((("  " if line else "") + text, style))
        used += need
    return line


def cropped(line: Line, width: int, unicode: bool) -> Line:
    """The line cut to `width` cells, without blanks at its end."""
    used, kept = 0, []
    for text, style in line:
        if used + words.cells(text) > width:
            kept.append((words.fit(text, width - used, cut=words.CELL_CUT if unicode else "~"), style))
            break
        kept.append((text, style))
        used += words.cells(text)
    while kept and not kept[-1][0].rstrip():
        kept.pop()
    if kept:
        kept[-1] = (kept[-1][0].rstrip(), kept[-1][1])
    return kept
