"""`automl plot` and `automl report`: charts of a study, as files."""

import json as json_module
from pathlib import Path
from typing import Annotated

import typer

from automl.cli import options, values

Kind = Annotated[
    str,
    typer.Argument(
        metavar="KIND",
        help="history, front, curves, importance, parallel, slices, contour, rungs, timeline, cost, seeds or errors.",
    ),
]


def plot(
    kind: Kind,
    study: options.StudyName,
    out: options.Out = None,
    dir: options.Dir = options.STUDIES,
    json: options.Json = False,
) -> None:
    """Draw a chart of a study, as PNG, SVG or PDF.

    The file name extension of --out gives the format; the default is STUDY-KIND.png in this folder. Needs the extra
    `report`.
    """
    from automl.errors import NothingToDraw, SpecError
    from automl.study.study import Study
    from automl.view import figures

    opened = Study.open(values.study_path(study, dir))
    try:
        chart = figures.draw(kind, opened)
    except NothingToDraw as reason:
        raise SpecError(f"{opened.name}: there is no {kind} to draw: {reason}") from None
    file = out or Path(f"{opened.name}-{kind}.png")
    figures.save(chart, file)
    _tell(file, json)


def report(
    study: options.StudyName, out: options.Out = None, dir: options.Dir = options.STUDIES, json: options.Json = False
) -> None:
    """Write one HTML file with all results and charts of a study.

    It needs no network and no other file; the default is report.html in the study's folder. Needs the extra `report`.
    """
    from automl.core import files
    from automl.study.study import Study
    from automl.view.pages import report as pages

    path = values.study_path(study, dir)
    file = out or path / "report.html"
    content = pages.report(Study.open(path))
    if out is None:
        files.write(file, content.encode())  # a link of that name in a stranger's folder is replaced
    else:
        file.write_text(content, encoding="utf-8")
    _tell(file, json)


def _tell(file: Path, json: bool) -> None:
    typer.echo(json_module.dumps({"schema": 1, "file": str(file)}, ensure_ascii=False) if json else str(file))
