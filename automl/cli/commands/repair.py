"""`automl repair`: save what can be read of a damaged ledger into a new one."""

from pathlib import Path
from typing import Annotated

import typer

from automl.cli import options, values


def repair(
    study: options.StudyName,
    out: Annotated[
        Path | None, options.option("--out", help="A new folder for the saved ledger (default: in place).")
    ] = None,
    dir: options.Dir = options.STUDIES,
) -> None:
    """Save what can be read of a study's damaged ledger.

    The damaged file is kept beside the new one.
    """
    from automl.study.repair import repair as salvage

    typer.echo(str(salvage(values.study_path(study, dir), out)))
