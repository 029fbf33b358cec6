"""`automl repair`: what can be read of a damaged ledger, saved into a new one."""

from pathlib import Path
from typing import Annotated

import typer

from automl.cli import options


def repair(
    study: options.StudyName,
    out: Annotated[
        Path | None, options.option("--out", help="A new folder for the saved ledger (default: in place).")
    ] = None,
    dir: options.Dir = options.STUDIES,
) -> None:
    """Save what can be read of a study's damaged ledger.

    The damaged file is kept.
    """
    from automl.study.repair import repair as salvage

    typer.echo(str(salvage(options.study_path(study, dir), out)))
