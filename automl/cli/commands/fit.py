"""`automl fit`: the best model of a table, without a specification."""

import time as time_module
from pathlib import Path
from typing import Annotated

import typer

from automl.cli import options, progress, values

Table = Annotated[
    Path, typer.Argument(metavar="TABLE", exists=True, dir_okay=False, help="A CSV, TSV or Parquet file with a header.")
]
Target = Annotated[list[str], options.option("--target", help="The column to predict; again for further ones.")]
MetricName = Annotated[
    str | None,
    options.option("--metric", help="The metric of the ranking (default: val_accuracy, val_rmse)."),
]
DEFAULT_TIME = "1m"


def fit(
    table: Table,
    target: Target,
    time: options.Time = None,
    trials: options.Trials = None,
    metric: MetricName = None,
    seed: options.Seed = None,
    workers: options.Workers = None,
    dir: options.Dir = options.STUDIES,
    name: options.Name = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
    ascii: options.Ascii = False,
) -> None:
    """Search for the best model of a table, and save it.

    It takes a minute unless --time or --trials says otherwise. The search is an ordinary study; its specification is
    written beside it, for those who want more control.
    """
    begun_s = time_module.monotonic()  # what is imported and read is part of the time
    progress.say(f"automl fit {table}: reading it and importing PyTorch", quiet=quiet)
    from automl.estimators.fitting import search_data
    from automl.view.pages.final import document_text
    from automl.view.screens import choose

    seconds = values.seconds(time if time is not None or trials is not None else DEFAULT_TIME)
    screen = choose.screen(quiet=quiet, block=not json, ascii=ascii)
    done, _ = search_data(
        table, target, dir=dir, name=name, time_s=seconds, trials=trials, metric=metric, seed=seed or 0,
        workers=workers, screen=screen, begun_s=begun_s,
    )  # fmt: skip
    if json:
        typer.echo(document_text(done.study))
    elif not quiet:
        typer.echo(
            f"specification: {done.folder}.yaml; predict new rows: automl predict {done.folder.name} NEW.csv", err=True
        )
