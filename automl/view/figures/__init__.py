"""Charts of a study, drawn by matplotlib (`pip install automl-search[report]`): as figures, files or inline SVG.

A kind of chart is a function `study -> Figure`; where there is nothing to show it raises `NothingToDraw` with the
reason. Charts read a study and change nothing. Other files of this folder import matplotlib; this one does so only
when something is drawn.
"""

import io
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from automl.errors import EnvironmentProblem, SpecError, did_you_mean
from automl.study.reader import Readable

if TYPE_CHECKING:
    from matplotlib.figure import Figure


KINDS = {  # name -> (module:function, title)
    "history": ("progress:history", "Scores over trials, epochs and time"),
    "front": ("front:front", "The front of the objectives"),
    "curves": ("progress:curves", "Learning curves"),
    "importance": ("configs:importance", "Importance of the hyperparameters"),
    "parallel": ("configs:parallel", "Configs and their ranks"),
    "slices": ("configs:slices", "Score against each hyperparameter"),
    "contour": ("configs:contour", "The two most important hyperparameters"),
    "rungs": ("trust:rungs", "How reliable early stopping was"),
    "timeline": ("progress:timeline", "Trials over time, by device"),
    "cost": ("progress:cost", "Score against training time"),
    "seeds": ("winner:seeds", "The finalists on fresh seeds"),
    "errors": ("winner:errors", "Errors of the winner"),
    "compression": ("compression:variants", "The winner made smaller"),
}


def draw(kind: str, study: Readable) -> "Figure":
    """The chart of that kind (a key of `KINDS`).

    Raises:
        SpecError: no such kind.
        EnvironmentProblem: matplotlib is not installed.
        NothingToDraw: the study has too few results for it.
    """
    if kind not in KINDS:
        raise SpecError(f"no chart {kind!r}{did_you_mean(kind, KINDS)} (charts: {', '.join(KINDS)})")
    module, _, name = KINDS[kind][0].partition(":")
    import importlib

    try:
        function: Callable[[Readable], Figure] = getattr(importlib.import_module(f"automl.view.figures.{module}"), name)
    except ImportError as error:
        if "matplotlib" not in str(error):
            raise
        raise EnvironmentProblem("charts need matplotlib: pip install 'automl-search[report]'") from None
    from automl.view.figures.style import styled

    with styled():
        return function(study)


def save(figure: "Figure", path: Path) -> None:
    """Write the figure; the file name extension gives the format (.png, .svg, .pdf).

    Raises:
        SpecError: matplotlib cannot write that format.
    """
    from automl.view.figures.style import styled

    formats = figure.canvas.get_supported_filetypes()
    if path.suffix.lstrip(".").lower() not in formats:
        given = f"the format {path.suffix!r} is unknown" if path.suffix else "the file name needs an extension"
        raise SpecError(f"{path}: {given} (formats: {', '.join(formats)})")
    with styled():
        figure.savefig(path, dpi=150)


def svg(figure: "Figure") -> str:
    """The figure as one `<svg>` element to be put into HTML: no XML prologue, no metadata, no scripts."""
    from automl.view.figures.style import styled

    out = io.StringIO()
    with styled():
        figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None})
    text = out.getvalue()
    text = text[text.index("<svg") :]
    return re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
