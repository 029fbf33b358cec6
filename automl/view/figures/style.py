"""What all charts share: colours, sizes, and axes that are robust to outliers.

The colours are those of Okabe and Ito (2008), which colour-blind readers can tell apart.
"""

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from automl.core.history import History
from automl.core.space import Choice, Int, Parameter
from automl.core.trial import Metric, State, TrialRecord
from automl.errors import NothingToDraw
from automl.leaderboard import words

COLOURS = {
    State.DONE: "#0072B2",
    State.STOPPED: "#E69F00",
    State.FAILED: "#D55E00",
    State.RUNNING: "#999999",
    State.PAUSED: "#56B4E9",
}
BEST = "#000000"
MOST = 300  # points or lines drawn; of more trials, the best and an even selection of the others

RC: Any = {
    "font.size": 9,
    "axes.titlesize": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#e8e8e8",
    "grid.linewidth": 0.6,
    "axes.axisbelow": True,
    "legend.frameon": False,
    "svg.fonttype": "none",
    "svg.hashsalt": "automl",
    "text.parse_math": False,  # a `$` in a user's text is a dollar sign
    "figure.constrained_layout.use": True,
}


@contextmanager
def styled() -> Iterator[None]:
    """Our style inside this context; a glyph that the font lacks causes no warning."""
    with matplotlib.rc_context(RC), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        yield


def figure(width: float = 9.0, height: float = 3.6) -> Figure:
    """An empty figure; `width` and `height` in inches."""
    return Figure(figsize=(width, height), layout="constrained")


def valued(history: History) -> list[TrialRecord]:
    """Trials that have a value and did not fail, in the order of their numbers.

    Raises:
        NothingToDraw: there are fewer than two.
    """
    trials = [t for t in history.trials if t.loss is not None and t.state is not State.FAILED]
    if len(trials) < 2:
        raise NothingToDraw("fewer than two trials have reported a value so far")
    return trials


def value(record: TrialRecord, metric: Metric) -> float:
    """The score of a trial that has one, in the metric's own direction."""
    assert record.loss is not None
    return metric.value(record.loss)


def chosen(trials: Sequence[TrialRecord], most: int = MOST) -> list[TrialRecord]:
    """At most `most` trials in the order of their numbers: half of them the best, the others an even selection."""
    if len(trials) <= most:
        return list(trials)
    ordered = sorted(trials, key=lambda t: (np.inf if t.loss is None else t.loss, t.number))
    best, rest = ordered[: most // 2], ordered[most // 2 :]
    spread = [rest[k * len(rest) // (most - most // 2)] for k in range(most - most // 2)]
    return sorted([*best, *spread], key=lambda t: t.number)


def score_axis(axes: Axes, values: Sequence[float], metric: Metric, *, which: str = "y") -> None:
    """Name the axis of scores, and limit it so that a few very bad values do not compress the others.

    Args:
        axes: where the scores are drawn.
        values: all scores that are drawn there, in the metric's own direction.
        metric: gives name and direction.
        which: "x" or "y".
    """
    finite = np.sort(np.array([v for v in values if np.isfinite(v)]))
    aim = "higher is better" if metric.direction == "maximize" else "lower is better"
    name = f"{words.clean(metric.name)} ({aim})"
    set_label, set_limit = (axes.set_ylabel, axes.set_ylim) if which == "y" else (axes.set_xlabel, axes.set_xlim)
    set_label(name)
    if not len(finite):
        return None
    good = finite[-1] if metric.direction == "maximize" else finite[0]
    bad = np.quantile(finite, 0.03 if metric.direction == "maximize" else 0.97)
    middle = float(np.median(finite))
    if metric.direction == "minimize" and finite[0] > 0 and bad > 30 * good:
        set_limit(finite[0] / 1.3, bad * 1.3)
        return log_axis(axes, which)
    if abs(bad - good) > 8 * abs(middle - good) > 0:
        bad = good + 8 * (middle - good)
    room = 0.06 * abs(good - bad) or 0.05 * abs(good) or 1.0
    set_limit(min(good, bad) - room, max(good, bad) + room)
    return None


def parameter_axis(axes: Axes, p: Parameter, name: str, *, which: str = "x") -> None:
    """An axis for one hyperparameter: logarithmic where it is searched so, with the values of a choice as labels."""
    axis = axes.xaxis if which == "x" else axes.yaxis
    (axes.set_xlabel if which == "x" else axes.set_ylabel)(words.clean(name))
    if isinstance(p, Choice):
        axis.set_ticks(range(len(p.choices)), labels=[words.fit(words.short(c), 12) for c in p.choices])
        (axes.set_xlim if which == "x" else axes.set_ylim)(-0.5, len(p.choices) - 0.5)
        return
    low, high = float(p.low), float(p.high)
    room = (high / low) ** 0.03 if p.log else 0.03 * (high - low) or 0.5
    ends = (low / room, high * room) if p.log else (low - room, high + room)
    (axes.set_xlim if which == "x" else axes.set_ylim)(ends)
    if p.log:
        log_axis(axes, which)
    elif isinstance(p, Int):
        axis.set_major_locator(MaxNLocator(nbins=5, integer=True))


def log_axis(axes: Axes, which: str) -> None:
    """Make an axis logarithmic, with few labels in plain numbers (`1e-3`)."""
    (axes.set_xscale if which == "x" else axes.set_yscale)("log")
    axis = axes.xaxis if which == "x" else axes.yaxis
    axis.set_major_locator(LogLocator(numticks=5))
    low, high = sorted(axis.get_view_interval())
    if high < 20 * low:
        axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0), numticks=8))
    axis.set_major_formatter(FuncFormatter(lambda v, _: words.short(float(v), 4 if v >= 0.01 else 2)))
    axis.set_minor_formatter(NullFormatter())


def dots(axes: Axes, xs: Sequence[float], ys: Sequence[float], colour: str, size: float = 3.0) -> None:
    """Draw points of one colour (a line plot without lines makes a much smaller SVG than a scatter plot)."""
    axes.plot(xs, ys, linestyle="", marker="o", markersize=size, color=colour, alpha=0.7, markeredgewidth=0)


def position(p: Parameter, raw: Any) -> float:
    """The position of a hyperparameter's value on its `parameter_axis`."""
    if isinstance(p, Choice):
        return float(int(p.to_unit(raw) * len(p.choices)))
    return float(raw)


def legend_of_states(axes: Axes, trials: Sequence[TrialRecord], *, beside: bool = False) -> None:
    """A legend of the states that occur among `trials`; `beside`: to the right of the axes."""
    from matplotlib.lines import Line2D

    states = [s for s in COLOURS if any(t.state is s for t in trials)]
    marks = [Line2D([], [], color=COLOURS[s], marker="o", linestyle="", markersize=4, label=s.value) for s in states]
    where: dict[str, Any] = {"loc": "upper left", "bbox_to_anchor": (1.0, 1.0)} if beside else {"loc": "best"}
    axes.legend(handles=marks, fontsize=8, **where)
