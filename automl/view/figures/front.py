"""The front of several objectives: trials, the staircase of what was found, and finalists with their intervals."""

import math
from collections.abc import Sequence
from itertools import combinations
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from automl.core.objectives.fronts import front_numbers
from automl.core.trial import Metric, State, TrialRecord
from automl.errors import NothingToDraw
from automl.leaderboard import words
from automl.study.reader import Readable
from automl.view.figures.style import BEST, COLOURS, chosen, dots, figure, log_axis

MOST_PAIRS = 3
"""Pairs of objectives that are drawn, of more than two objectives."""
WIDE = 20
"""An axis is logarithmic if its largest value is at least this many times the smallest."""
NAMED = 12
"""Points of the front that have their number beside them."""


def front(study: Readable) -> Figure:
    """One axes for each pair of objectives: full trials, the staircase, and the finalists' means with intervals."""
    metrics = study.history.objectives.metrics
    if len(metrics) < 2:
        raise NothingToDraw("there is one objective")
    trials = [t for t in study.history.done if t.vector]
    if not trials:
        raise NothingToDraw("no trial has run its full length")
    pairs = list(combinations(range(len(metrics)), 2))[:MOST_PAIRS]
    chart = figure(5.6 * len(pairs) + 0.6, 4.0)
    for axes, pair in zip(np.atleast_1d(chart.subplots(1, len(pairs))).ravel(), pairs, strict=True):
        _pair(axes, study, trials, pair)
    return chart


def _pair(axes: Axes, study: Readable, trials: Sequence[TrialRecord], pair: tuple[int, int]) -> None:
    """The trials by two objectives: the second one to the right, the first one upwards."""
    up, right = (study.history.objectives.metrics[k] for k in pair)
    points = {t.number: (right.value(t.vector[pair[1]]), up.value(t.vector[pair[0]])) for t in trials}
    dots(axes, *_columns([points[t.number] for t in chosen(trials)]), COLOURS[State.DONE], 4)
    leaders = [t for t in trials if study.history.front_of(t.number) == 1]
    _staircase(axes, leaders, points, pair)
    for t in leaders[:NAMED]:
        axes.annotate(words.trial(t.number), points[t.number], (3, 3), textcoords="offset points", fontsize=7)
    for f in (study.verdict or {}).get("finalists", []):
        _finalist(axes, f.get("objectives", {}), up, right, winner=f["trial"] == (study.verdict or {})["winner"])
    for metric, which, k in ((right, "x", 0), (up, "y", 1)):
        aim = "higher is better" if metric.direction == "maximize" else "lower is better"
        (axes.set_xlabel if which == "x" else axes.set_ylabel)(f"{words.clean(metric.name)} ({aim})")
        values = [point[k] for point in points.values()]
        if min(values) > 0 and max(values) > WIDE * min(values):
            log_axis(axes, which)


def _staircase(
    axes: Axes, leaders: Sequence[TrialRecord], points: dict[int, tuple[float, float]], pair: tuple[int, int]
) -> None:
    """What the front dominates, as far as these two objectives tell."""
    if not leaders:
        return
    losses = np.array([[t.vector[pair[1]], t.vector[pair[0]]] for t in leaders])
    corner = [t for t, number in zip(leaders, front_numbers(losses), strict=True) if number == 1]
    corner = sorted(corner, key=lambda t: t.vector[pair[1]])
    axes.step(*_columns([points[t.number] for t in corner]), where="post", color=BEST, linewidth=1.0)


def _finalist(axes: Axes, found: dict[str, Any], up: Metric, right: Metric, *, winner: bool) -> None:
    """The means over fresh seeds with both intervals; a line leads to what the search had found."""
    x, y = found.get(right.name), found.get(up.name)
    if x is None or y is None or x["mean"] is None or y["mean"] is None:
        return
    colour = BEST if winner else COLOURS[State.FAILED]
    bars = [
        np.abs(np.array([[one["interval"][0], one["interval"][1]]]).T - one["mean"]) if one["interval"] else None
        for one in (x, y)
    ]
    axes.plot([x["found"], x["mean"]], [y["found"], y["mean"]], color=colour, linewidth=0.6, linestyle=":")
    axes.errorbar(
        x["mean"], y["mean"], xerr=bars[0], yerr=bars[1], color=colour, marker="s", markersize=5, linewidth=1.0
    )


def _columns(points: Sequence[tuple[float, float]]) -> tuple[list[float], list[float]]:
    finite = [point for point in points if all(map(math.isfinite, point))]
    return [x for x, _ in finite], [y for _, y in finite]
