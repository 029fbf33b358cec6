"""How well the ranks of trials at early steps predict their final ranks: whether early stopping could be trusted."""

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from automl.core.history import History
from automl.core.trial import State
from automl.errors import NothingToDraw
from automl.study.reader import Readable
from automl.view.figures.style import COLOURS, figure

ENOUGH = 5  # trials to correlate


def correlations(history: History) -> dict[int, tuple[float, int]]:
    """Rank correlation between the loss at each step and the final loss, over trials that ran their full length.

    Returns:
        {step: (Spearman's correlation, number of trials)}; empty with fewer than `ENOUGH` trials.
    """
    full = [t for t in history.done if t.loss is not None and len(t.curve) > 1]
    if len(full) < ENOUGH:
        return {}
    last = np.array([t.loss for t in full], dtype=np.float64)
    steps = sorted({s for t in full for s, _ in t.curve})
    thinned = steps if len(steps) <= 60 else [steps[k * len(steps) // 60] for k in range(60)]
    known = [dict(t.curve) for t in full]
    result = {}
    for step in thinned:
        has = np.array([step in losses for losses in known])
        if has.sum() >= ENOUGH:
            then = np.array([losses[step] for losses in known if step in losses])
            result[step] = (spearman(then, last[has]), int(has.sum()))
    return result


def spearman(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """Spearman's rank correlation of `a` and `b` [n], ties at their mean rank; 0 when one of them is constant."""
    ranks = [_ranks(a), _ranks(b)]
    if np.ptp(ranks[0]) == 0 or np.ptp(ranks[1]) == 0:
        return 0.0
    a, b = (r - r.mean() for r in ranks)
    return float((a * b).sum() / np.sqrt((a * a).sum() * (b * b).sum()))


def _ranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    return np.asarray((ends - (counts - 1) / 2)[inverse], dtype=np.float64)


def rungs(study: Readable) -> Figure:
    """Rank correlation of each step with the end. Low values at steps where trials are stopped may cost good trials."""
    found = correlations(study.history)
    if not found:
        raise NothingToDraw(f"fewer than {ENOUGH} trials that ran their full length have reported more than once")
    chart = figure(7.5, 3.2)
    axes = chart.subplots()
    steps = sorted(found)
    axes.plot(steps, [found[s][0] for s in steps], color=COLOURS[State.DONE], marker="o", markersize=3)
    stops: dict[int, int] = {}
    for t in study.history.stopped:
        stops[t.step] = stops.get(t.step, 0) + 1
    for step, n in stops.items():
        axes.axvline(step, color=COLOURS[State.STOPPED], linewidth=1, alpha=0.8, zorder=0)
        axes.annotate(f"{n} stopped", (step, 0.02), rotation=90, fontsize=7, ha="right", color="#8a6000")
    axes.axhline(0.8, color="#bbbbbb", linewidth=0.8, linestyle="--")
    axes.set_ylim(min(0.0, *(found[s][0] for s in steps)) - 0.02, 1.04)
    axes.set_xlabel("step")
    axes.set_ylabel("rank correlation with the final values")
    axes.set_title(f"{max(n for _, n in found.values())} trials that ran their full length", loc="left")
    return chart
