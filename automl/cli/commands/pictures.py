"""`automl plot` and `automl report`: pictures of a study, as files."""

from pathlib import Path
from typing import Annotated

import typer

from automl.cli import options

Out = Annotated[Path | None, options.option("--out", "-o", help="The file to write.")]


def plot(
    kind: Annotated[
        str,
        typer.Argument(
            metavar="KIND",
            help="history, curves, importance, parallel, slices, contour, rungs, timeline, cost, seeds or errors.",
        ),
    ],
    study: options.StudyName,
    out: Out = None,
    dir: options.Dir = options.STUDIES,
) -> None:
    """Draw a picture of a study, as PNG, SVG or PDF.

    The ending of --out says the format; the default is STUDY-KIND.png here. Needs the extra `report`.
    """
    from automl.errors import NothingToDraw, SpecError
    from automl.study.study import Study
    from automl.view import figures

    opened = Study.open(options.study_path(study, dir))
    try:
        made = figures.draw(kind, opened)
    except NothingToDraw as reason:
        raise SpecError(f"{opened.name}: no {kind} to draw: {reason}") from None
    file = out or Path(f"{opened.name}-{kind}.png")
    figures.save(made, file)
    typer.echo(str(file))


def report(study: options.StudyName, out: Out = None, dir: options.Dir = options.STUDIES) -> None:
    """Write one HTML file with all there is to see of a study.

    It needs no network and no other file; the default is report.html in the study's folder. Needs the extra `report`.
    """
    from automl.study.study import Study
    from automl.view.pages.report import report as made

    path = options.study_path(study, dir)
    file = out or path / "report.html"
    file.write_text(made(Study.open(path)), encoding="utf-8")
    typer.echo(str(file))
