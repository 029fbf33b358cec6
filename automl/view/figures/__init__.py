"""Pictures of a study, by matplotlib (`pip install automl-search[report]`), as figures, files or inline SVG.

A kind is a function `study -> Figure`; one that has nothing to show raises `Nothing` with the reason.
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
    "curves": ("progress:curves", "Learning curves"),
    "importance": ("configs:importance", "Importance of the hyperparameters"),
    "parallel": ("configs:parallel", "Configs and their scores"),
    "slices": ("configs:slices", "Each hyperparameter against the score"),
    "contour": ("configs:contour", "The two that matter most"),
    "rungs": ("trust:rungs", "Was early stopping safe here?"),
    "timeline": ("progress:timeline", "Who worked when"),
    "cost": ("progress:cost", "Cost against score"),
    "seeds": ("winner:seeds", "The finalists on fresh seeds"),
    "errors": ("winner:errors", "Where the winner errs"),
}


def draw(kind: str, study: Readable) -> "Figure":
    """The figure of that kind.

    Raises:
        SpecError: no such kind.
        EnvironmentProblem: matplotlib is not installed.
        Nothing: the study has too little for it.
    """
    if kind not in KINDS:
        raise SpecError(f"no plot {kind!r}{did_you_mean(kind, KINDS)} (plots: {', '.join(KINDS)})")
    module, _, name = KINDS[kind][0].partition(":")
    import importlib

    try:
        function: Callable[[Readable], Figure] = getattr(importlib.import_module(f"automl.view.figures.{module}"), name)
    except ImportError as error:
        if "matplotlib" not in str(error):
            raise
        raise EnvironmentProblem("plots need matplotlib: pip install 'automl-search[report]'") from None
    from automl.view.figures.style import styled

    with styled():
        return function(study)


def save(figure: "Figure", path: Path) -> None:
    """Write the figure; the ending says the format (.png, .svg, .pdf).

    Raises:
        SpecError: matplotlib cannot write that format.
    """
    from automl.view.figures.style import styled

    known = figure.canvas.get_supported_filetypes()
    if path.suffix.lstrip(".").lower() not in known:
        raise SpecError(
            f"{path}: cannot write {path.suffix or 'a file without an ending'!r} (formats: {', '.join(known)})"
        )
    with styled():
        figure.savefig(path, dpi=150)


def svg(figure: "Figure") -> str:
    """The figure as one `<svg>` element to stand inside HTML: no prologue, no metadata, no scripts."""
    from automl.view.figures.style import styled

    out = io.StringIO()
    with styled():
        figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None})
    text = out.getvalue()
    text = text[text.index("<svg") :]
    return re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
