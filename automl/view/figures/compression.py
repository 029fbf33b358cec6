"""The variants of the winner that `automl compress` has made: bytes, latency, and what they keep of the score."""

from matplotlib.figure import Figure

from automl.errors import NothingToDraw
from automl.study.reader import Readable
from automl.view.figures.style import BEST, figure, log_axis

FACT = "compression"
"""The name in the ledger of what `automl compress` has found."""
BLUE, ORANGE = "#0072B2", "#D55E00"


def variants(study: Readable) -> Figure:
    """Bytes and latency of each variant, and beside it the change of the score with its 95 % interval."""
    known = study.facts.get(FACT) or {"variants": {}}
    made = [one for one in known["variants"].values() if not one["failed"]]
    if len(made) < 2:
        raise NothingToDraw("the winner was not compressed (automl compress)")
    made.sort(key=lambda one: -one["bytes"])
    chart = figure(9.0, 1.6 + 0.22 * len(made))
    left, right = chart.subplots(1, 2)
    colours = [BEST if not one["way"] else ORANGE if one["name"] == known.get("chosen") else BLUE for one in made]
    for one, colour in zip(made, colours, strict=True):
        left.plot([one["bytes"]], [one["latency_ms"]], "o", color=colour, markersize=4)
        left.annotate(one["name"], (one["bytes"], one["latency_ms"]), (3, 3), textcoords="offset points", fontsize=6)
    log_axis(left, "x")
    log_axis(left, "y")
    left.set_xlabel("bytes of the network")
    left.set_ylabel("milliseconds for one row")
    places = range(len(made))
    for place, one, colour in zip(places, made, colours, strict=True):
        right.plot([one["low"], one["high"]], [place, place], color=colour, linewidth=1.5)
        right.plot([one["gain"]], [place], "o", color=colour, markersize=3)
    right.axvline(0.0, color="#888888", linewidth=0.8)
    right.set_yticks(list(places), [one["name"] for one in made], fontsize=6)
    right.invert_yaxis()
    right.locator_params(axis="x", nbins=4)
    right.set_xlabel("change of the validation score; above 0 is better")
    return chart
