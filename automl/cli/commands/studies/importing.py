"""`automl import`: a study of another program becomes one of ours."""

import json as json_module
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from automl.cli import options

File = Annotated[
    Path, typer.Argument(metavar="FILE", help="Optuna's database or journal, W&B's or Ax's export, or a CSV table.")
]
Space = Annotated[
    str, options.option("--space", metavar="SPEC", help="The specification with the space and the metric.")
]
Which = Annotated[str | None, options.option("--study", help="Which study, if an Optuna storage has several.")]


def import_(
    file: File,
    space: Space,
    study: Which = None,
    name: options.Name = None,
    dir: options.Dir = options.STUDIES,
    json: options.Json = False,
) -> None:
    """Make a study from another program's trials.

    Known are Optuna's SQLite database and journal, CSV tables with a column for each parameter and the metric (of
    Optuna, Ax, W&B or by hand), W&B's runs as JSON, and Ax's JSON snapshot. The new study is for `warm:`,
    `automl top` and the pictures; its trials cannot be trained further.
    """
    from automl import specfile
    from automl.api.options import reserved
    from automl.core.files import as_name
    from automl.integrations.importing.study import import_rows, rows_of

    read = specfile.read(space)
    rows = rows_of(file, read.metric, study)
    folder = reserved(dir, as_name(name or file.stem))
    try:
        made = import_rows(rows, read.space, read.metric, folder, file.name)
    except BaseException:
        if not any(folder.iterdir()):
            folder.rmdir()
        raise
    facts = {"schema": 1, **asdict(made), "path": str(made.path)}
    typer.echo(json_module.dumps(facts, ensure_ascii=False) if json else str(made))
