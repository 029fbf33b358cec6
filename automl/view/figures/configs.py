"""Charts of the search space: importance, parallel coordinates, slices, and the two most important hyperparameters."""

import math

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from numpy.typing import NDArray

from automl.core.space import Choice, Parameter
from automl.core.trial import State, TrialRecord
from automl.errors import NothingToDraw
from automl.leaderboard import importance as ranking
from automl.leaderboard import words
from automl.study.reader import Readable
from automl.view.figures.style import (
    BEST,
    COLOURS,
    chosen,
    dots,
    figure,
    parameter_axis,
    position,
    score_axis,
    value,
    valued,
)

SHADES = "viridis"


def importance(study: Readable) -> Figure:
    """A bar for the importance of each searched hyperparameter."""
    shares = ranking.importance(study.space, study.history.trials)
    if not shares:
        raise NothingToDraw(f"fewer than {ranking.ENOUGH} trials have reported a value so far")
    names = ranking.order(study.space, shares)[::-1]
    chart = figure(6.5, 0.7 + 0.26 * len(names))
    axes = chart.subplots()
    bars = axes.barh(range(len(names)), [shares[n] for n in names], color=COLOURS[State.DONE], height=0.7)
    axes.bar_label(bars, [f"{shares[n]:.2f}" for n in names], padding=3, fontsize=8)
    axes.set_yticks(range(len(names)), [words.fit(words.clean(n), 24) for n in names])
    axes.set_xlim(0, 1.1 * max(shares.values()))
    axes.set_xlabel(f"importance: share of the total (PED-ANOVA, {len(valued(study.history))} trials)")
    axes.grid(axis="y", visible=False)
    return chart


def ranked(trials: list[TrialRecord]) -> NDArray[np.float64]:
    """[trials] ranks from 0 (worst) to 1 (best). Colours follow ranks, so that outliers do not dominate them."""
    losses = np.array([t.loss for t in trials], dtype=np.float64)
    return 1 - np.argsort(np.argsort(losses, kind="stable"), kind="stable") / max(len(losses) - 1, 1)


def parallel(study: Readable, most: int = 9) -> Figure:
    """Parallel coordinates: one line per trial through its hyperparameters (the most important first) to its rank.

    The best trial is black; `most` limits how many hyperparameters are shown.
    """
    trials = chosen(valued(study.history), 200)
    names = list(ranking.order(study.space, ranking.importance(study.space, study.history.trials)))[:most]
    if not names:
        raise NothingToDraw("the space has no parameters")
    shade = ranked(trials)
    units = np.array([study.space.encode(t.config) for t in trials])
    at = [study.space.names.index(n) for n in names]
    heights = np.c_[np.nan_to_num(units[:, at], nan=-0.08), shade]
    chart = figure(1.6 + 1.1 * len(names), 4.0)
    axes = chart.subplots()
    order = np.argsort(shade)
    lines = [list(enumerate(heights[k])) for k in order]
    colours = matplotlib.colormaps[SHADES](shade[order])
    axes.add_collection(LineCollection(lines, colors=colours, linewidths=0.7 + 0.6 * shade[order], alpha=0.6))
    best = study.history.best
    for k, t in enumerate(trials):
        if best is not None and t.number == best.number:
            axes.plot(range(len(names) + 1), heights[k], color=BEST, linewidth=2)
    for k, name in enumerate(names):
        _upright_axis(axes, k, study.space.params[name])
    axes.axvline(len(names), color="#bbbbbb", linewidth=0.8, zorder=0)
    axes.set_xticks(range(len(names) + 1), [*(words.fit(words.clean(n), 14) for n in names), "rank"], rotation=20)
    axes.set_yticks([])
    axes.set_xlim(-0.35, len(names) + 0.3)
    axes.set_ylim(-0.12, 1.05)
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)
    axes.annotate("best", (len(names), 1.0), (4, -3), textcoords="offset points", fontsize=7)
    axes.annotate("worst", (len(names), 0.0), (4, -3), textcoords="offset points", fontsize=7)
    return chart


def _upright_axis(axes: Axes, at: int, p: Parameter) -> None:
    """One upright axis of the parallel coordinates, with labels for a few values of the parameter."""
    axes.axvline(at, color="#bbbbbb", linewidth=0.8, zorder=0)
    marks = (
        [(p.to_unit(c), words.fit(words.short(c), 10)) for c in p.choices]
        if isinstance(p, Choice) and len(p.choices) <= 8
        else [(u, words.short(p.from_unit(u), 2)) for u in (0.0, 0.5, 1.0)]
    )
    for height, text in marks:
        axes.annotate(text, (at, height), (3, 0), textcoords="offset points", fontsize=7, va="center")


def slices(study: Readable, most: int = 12) -> Figure:
    """The score against each hyperparameter, the most important first; `most` limits how many are shown."""
    trials = chosen(valued(study.history), 200)
    names = list(ranking.order(study.space, ranking.importance(study.space, study.history.trials)))[:most]
    if not names:
        raise NothingToDraw("the space has no parameters")
    columns = min(4, len(names))
    lines = math.ceil(len(names) / columns)
    chart = figure(2.4 * columns, 2.2 * lines)
    grid = chart.subplots(lines, columns, sharey=True, squeeze=False)
    jitter = np.random.default_rng(0).uniform(-0.18, 0.18, len(trials))
    for axes, name in zip(grid.flat, names, strict=False):
        p = study.space.params[name]
        for state, colour in COLOURS.items():
            own = [(t, j) for t, j in zip(trials, jitter, strict=True) if name in t.config and t.state is state]
            xs = [position(p, t.config[name]) + (j if isinstance(p, Choice) else 0.0) for t, j in own]
            dots(axes, xs, [value(t, study.metric) for t, _ in own], colour)
        parameter_axis(axes, p, name)
    for axes in list(grid.flat)[len(names) :]:
        axes.set_visible(False)
    for row in grid:
        score_axis(row[0], [value(t, study.metric) for t in trials], study.metric)
        row[0].set_ylabel(words.clean(study.metric.name))
    return chart


def contour(study: Readable) -> Figure:
    """Ranks over the two most important hyperparameters: the trials, and a smooth estimate between them."""
    shares = ranking.importance(study.space, study.history.trials)
    names = [n for n in ranking.order(study.space, shares) if shares.get(n, 0) > 0][:2]
    if len(names) < 2:
        raise NothingToDraw("fewer than two hyperparameters have a measurable importance")
    trials = [t for t in chosen(valued(study.history)) if all(n in t.config for n in names)]
    if len(trials) < 10:
        raise NothingToDraw("fewer than 10 trials use both of the most important hyperparameters")
    shade = ranked(trials)
    first, second = (study.space.params[n] for n in names)
    units = np.array([[first.to_unit(t.config[names[0]]), second.to_unit(t.config[names[1]])] for t in trials])
    chart = figure(6.0, 4.2)
    axes = chart.subplots()
    side = (np.arange(40) + 0.5) / 40
    if not isinstance(first, Choice) and not isinstance(second, Choice):
        estimate = smooth(units, shade, side)
        xs, ys = ([position(p, p.from_unit(u)) for u in side] for p in (first, second))
        axes.pcolormesh(xs, ys, estimate, cmap=SHADES, vmin=0, vmax=1, alpha=0.35, shading="nearest", rasterized=True)
    xs, ys = ([position(p, t.config[n]) for t in trials] for p, n in ((first, names[0]), (second, names[1])))
    points = axes.scatter(xs, ys, c=shade, cmap=SHADES, vmin=0, vmax=1, s=16, linewidths=0.3, edgecolors="white")
    best = study.history.best
    if best is not None and all(n in best.config for n in names):
        x, y = position(first, best.config[names[0]]), position(second, best.config[names[1]])
        axes.scatter([x], [y], s=90, facecolors="none", edgecolors=BEST, linewidths=1.5)
        axes.annotate(words.trial(best.number), (x, y), (7, 5), textcoords="offset points", fontsize=8)
    parameter_axis(axes, first, names[0])
    parameter_axis(axes, second, names[1], which="y")
    bar = chart.colorbar(points, ax=axes, ticks=[0, 1])
    bar.ax.set_yticklabels(["worst", "best"])
    return chart


def smooth(units: NDArray[np.float64], heights: NDArray[np.float64], side: NDArray[np.float64]) -> NDArray[np.float64]:
    """Kernel average (Nadaraya and Watson, Gaussian kernel) of scattered values on a square grid.

    Args:
        units: [n, 2] positions in the unit square.
        heights: [n] values there.
        side: [m] grid positions along each axis.

    Returns:
        [m, m] averages, rows along the second axis; NaN where no point is near.
    """
    width = max(len(units) ** (-1 / 6) * 0.22, 0.05)
    x, y = np.meshgrid(side, side)
    near = np.exp(-((x[..., None] - units[:, 0]) ** 2 + (y[..., None] - units[:, 1]) ** 2) / (2 * width**2))
    total = near.sum(-1)
    mean = (near * heights).sum(-1) / np.maximum(total, 1e-12)
    return np.where(total > 0.05, mean, np.nan)
