"""`automl repair`: save what can be read of a damaged ledger into a new one."""

import json as json_module
from dataclasses import asdict
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
    json: options.Json = False,
) -> None:
    """Save what can be read of a study's damaged ledger.

    The damaged file is kept beside the new one.
    """
    from automl.study.ledger.repair import repair as salvage

    saved = salvage(values.study_path(study, dir), out)
    if json:
        facts = {"schema": 1, **asdict(saved), "file": str(saved.file)}
        return typer.echo(json_module.dumps(facts, ensure_ascii=False))
    return typer.echo(str(saved))
