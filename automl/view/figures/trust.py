"""Can this be believed? How well early ranks told the final ones."""

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from automl.core.history import History
from automl.core.trial import State
from automl.errors import Nothing
from automl.study.reader import Readable
from automl.view.figures.style import COLOURS, figure

ENOUGH = 5  # trials to correlate


def correlations(history: History) -> dict[int, tuple[float, int]]:
    """{step: (Spearman's correlation between the loss there and the final one, trials)} of trials that ran in full."""
    full = [t for t in history.done if t.loss is not None and len(t.curve) > 1]
    if len(full) < ENOUGH:
        return {}
    last = np.array([t.loss for t in full], dtype=np.float64)
    steps = sorted({s for t in full for s, _ in t.curve})
    thinned = steps if len(steps) <= 60 else [steps[k * len(steps) // 60] for k in range(60)]
    known = [dict(t.curve) for t in full]
    found = {}
    for step in thinned:
        has = np.array([step in losses for losses in known])
        if has.sum() >= ENOUGH:
            then = np.array([losses[step] for losses in known if step in losses])
            found[step] = (spearman(then, last[has]), int(has.sum()))
    return found


def spearman(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """Rank correlation, ties at their mean rank; 0 when one of them is constant."""
    ranks = [_ranks(a), _ranks(b)]
    if np.ptp(ranks[0]) == 0 or np.ptp(ranks[1]) == 0:
        return 0.0
    a, b = (r - r.mean() for r in ranks)
    return float((a * b).sum() / np.sqrt((a * a).sum() * (b * b).sum()))


def _ranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    return np.asarray((ends - (counts - 1) / 2)[inverse], dtype=np.float64)


def verdict(found: Mapping[int, tuple[float, int]]) -> str:
    """What the correlations say, in a sentence."""
    first = min(found)
    safe = next((s for s in sorted(found) if all(found[t][0] >= 0.8 for t in found if t >= s)), None)
    said = f"At step {first} ranks agree with the final ones by {found[first][0]:.2f} (1: fully, 0: not at all)"
    return f"{said}; from step {safe} on by 0.8 or more." if safe is not None else f"{said}; they never get to 0.8."


def rungs(study: Readable) -> Figure:
    """How well the ranks at each step agree with the final ones; low values where trials are stopped cost winners."""
    found = correlations(study.history)
    if not found:
        raise Nothing(f"fewer than {ENOUGH} trials ran their full length with more than one report")
    made = figure(7.5, 3.2)
    axes = made.subplots()
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
    axes.set_ylabel("rank correlation with the end")
    axes.set_title(f"of {max(n for _, n in found.values())} trials that ran in full", loc="left")
    return made
