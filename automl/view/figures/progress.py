"""Charts of how a search went: scores over trials, epochs and time, learning curves, training time, and a timeline."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from automl.core.trial import State, TrialRecord
from automl.errors import NothingToDraw
from automl.leaderboard import words
from automl.study.reader import Readable
from automl.view.figures.style import (
    BEST,
    COLOURS,
    chosen,
    dots,
    figure,
    legend_of_states,
    log_axis,
    score_axis,
    value,
    valued,
)

ROWS = 24  # of one device in the timeline


def history(study: Readable) -> Figure:
    """The score of every trial and the best so far: over trials, epochs and time."""
    trials = valued(study.history)
    ended = sorted((t for t in trials if t.state.ended), key=lambda t: t.order)
    if len(ended) < 2:
        raise NothingToDraw("fewer than two trials have ended so far")
    spent = dict(zip((t.number for t in ended), np.cumsum([t.step for t in ended]), strict=True))
    seconds = {t.number: t.ended_s or 0.0 for t in ended}
    unit, size = _time_unit(max(seconds.values()))
    chart = figure(9.5, 3.3)
    panels = chart.subplots(1, 3, sharey=True)
    places = (
        ("trial", {t.number: float(t.number) for t in ended}),
        (f"{study.plan.unit}s spent", {n: float(s) for n, s in spent.items()}),
        (f"time ({unit})", {n: s / size for n, s in seconds.items()}),
    )
    for axes, (label, where) in zip(panels, places, strict=True):
        _points(axes, study, ended, where)
        axes.set_xlabel(label)
    score_axis(panels[0], [value(t, study.metric) for t in ended], study.metric)
    legend_of_states(panels[2], ended)
    return chart


def _points(axes: Axes, study: Readable, ended: Sequence[TrialRecord], where: dict[int, float]) -> None:
    shown = chosen(ended)
    for state in (State.STOPPED, State.DONE):
        of = [t for t in shown if t.state is state]
        xs, ys = [where[t.number] for t in of], [value(t, study.metric) for t in of]
        dots(axes, xs, ys, COLOURS[state])
    full = sorted((t for t in ended if t.state is State.DONE), key=lambda t: where[t.number])
    if full:
        best = np.minimum.accumulate([t.loss for t in full if t.loss is not None])
        new = np.r_[True, np.diff(best) < 0]
        xs = [where[t.number] for t, is_new in zip(full, new, strict=True) if is_new]
        ys = [study.metric.value(float(b)) for b, is_new in zip(best, new, strict=True) if is_new]
        axes.step([*xs, max(where.values())], [*ys, ys[-1]], where="post", color=BEST, linewidth=1.2)


def curves(study: Readable) -> Figure:
    """Learning curves, coloured by how the trial ended; the best trial is black."""
    trials = [t for t in study.history.trials if len(t.curve) > 1]
    if not trials:
        raise NothingToDraw("no trial has reported more than once")
    chart = figure(9.0, 4.0)
    axes = chart.subplots()
    shown = chosen(trials, 120)
    rank = {State.STOPPED: 0, State.FAILED: 1, State.RUNNING: 2, State.PAUSED: 2, State.DONE: 3}
    for t in sorted(shown, key=lambda t: rank[t.state]):
        _curve(axes, study, t, COLOURS[t.state], 0.45, 0.9)
    best = study.history.best
    if best is not None and len(best.curve) > 1:
        _curve(axes, study, best, BEST, 1.0, 1.8)
        step, loss = best.curve[-1]
        axes.annotate(
            words.trial(best.number), (step, study.metric.value(loss)), (3, 0), textcoords="offset points", fontsize=8
        )
    axes.set_xlabel("step")
    score_axis(axes, [study.metric.value(loss) for t in shown for _, loss in t.curve], study.metric)
    legend_of_states(axes, shown)
    return chart


def _curve(axes: Axes, study: Readable, t: TrialRecord, colour: str, alpha: float, width: float) -> None:
    points = t.curve if len(t.curve) <= 100 else [t.curve[(k + 1) * len(t.curve) // 100 - 1] for k in range(100)]
    axes.plot(
        [s for s, _ in points],
        [study.metric.value(loss) for _, loss in points],
        color=colour,
        alpha=alpha,
        linewidth=width,
    )


def cost(study: Readable) -> Figure:
    """The score against the seconds a trial took; the line is the Pareto front (trials that no other beats in both)."""
    trials = [t for t in valued(study.history) if t.state is State.DONE and t.ended_s is not None]
    if len(trials) < 2:
        raise NothingToDraw("fewer than two trials have run their full length")
    chart = figure(6.5, 3.8)
    axes = chart.subplots()
    seconds = {t.number: max((t.ended_s or 0.0) - t.started_s, 1e-3) for t in trials}
    shown = chosen(trials)
    xs, ys = [seconds[t.number] for t in shown], [value(t, study.metric) for t in shown]
    dots(axes, xs, ys, COLOURS[State.DONE], 4)
    front: list[TrialRecord] = []
    for t in sorted(trials, key=lambda t: (seconds[t.number], t.loss)):
        if not front or (t.loss is not None and front[-1].loss is not None and t.loss < front[-1].loss):
            front.append(t)
    fx, fy = [seconds[t.number] for t in front], [value(t, study.metric) for t in front]
    axes.step(fx, fy, where="post", color=BEST, linewidth=1.0)
    for t, x, y in list(zip(front, fx, fy, strict=True))[-6:]:
        axes.annotate(words.trial(t.number), (x, y), (3, 3), textcoords="offset points", fontsize=7)
    if max(xs) > 20 * min(xs):
        log_axis(axes, "x")
    axes.set_xlabel("seconds per full trial (shared by the trials of one cohort)")
    score_axis(axes, ys, study.metric)
    return chart


def timeline(study: Readable) -> Figure:
    """A bar for each attempt, in the band of the device that ran it; gaps are idle time."""
    bars = _bars(study)
    if not bars:
        raise NothingToDraw("the ledger has no attempts")
    devices = sorted({device for device, *_ in bars})
    unit, size = _time_unit(max(end for *_, end in bars))
    chart = figure(9.5, min(1.2 + 0.5 * len(devices), 8.0))
    axes = chart.subplots()
    for band, device in enumerate(devices):
        own = sorted((bar for bar in bars if bar[0] == device), key=lambda bar: bar[2])
        rows = _rows(own)
        height = 0.8 / (max(rows) + 1)
        for row, (_, record, start, end) in zip(rows, own, strict=True):
            axes.broken_barh(
                [(start / size, max(end - start, 1e-3) / size)],
                (band - 0.4 + row * height, 0.92 * height),
                facecolors=COLOURS[record.state],
                edgecolors="white",
                linewidth=0.4,
            )
    axes.set_yticks(range(len(devices)), [words.clean(d) for d in devices])
    axes.set_xlabel(f"time ({unit})")
    axes.set_xlim(0, max(end for *_, end in bars) / size)
    axes.grid(axis="y", visible=False)
    legend_of_states(axes, [record for _, record, *_ in bars], beside=True)
    return chart


def _bars(study: Readable) -> list[tuple[str, TrialRecord, float, float]]:
    """(device, trial, start, end) of every attempt, in seconds since the study began."""
    now = study.ledger.elapsed_s()
    bars = []
    for record in chosen(study.history.trials, 400):
        attempts = study.ledger.attempts(record.number)
        ends = [*(a["at_s"] for a in attempts[1:]), record.ended_s if record.ended_s is not None else now]
        bars += [
            (str(a["worker"]), record, float(a["at_s"]), float(end)) for a, end in zip(attempts, ends, strict=True)
        ]
    return bars


def _rows(bars: Sequence[tuple[str, TrialRecord, float, float]]) -> list[int]:
    """A row for each bar (sorted by start), so that bars of one row do not overlap while there are rows left."""
    free: list[float] = []  # when each row is free again
    rows = []
    for *_, start, end in bars:
        row = next((k for k, until in enumerate(free) if until <= start + 1e-6), None)
        if row is None and len(free) < ROWS:
            row = len(free)
            free.append(end)
        elif row is None:
            row = int(np.argmin(free))
        free[row] = max(free[row], end)
        rows.append(row)
    return rows


def _time_unit(seconds: float) -> tuple[str, float]:
    return ("s", 1.0) if seconds < 180 else ("min", 60.0) if seconds < 10800 else ("h", 3600.0)
