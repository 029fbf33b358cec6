"""`automl compress`: the winner made smaller and faster."""

import json as json_module
from functools import partial
from typing import Annotated

import typer

from automl.cli import options, values

AtMost = Annotated[
    list[str] | None,
    options.option(
        "--at-most",
        metavar="LIMITS",
        help="Limits, e.g. bytes=1MB,latency_ms=2: bytes, parameters, latency_ms, latency64_ms (64 rows).",
    ),
]
Lose = Annotated[
    str | None,
    options.option(
        "--lose", metavar="X", help="How much of the score may be lost: 0.005, or 1% of it (default: 0.005)."
    ),
]
Ways = Annotated[
    list[str] | None,
    options.option("--way", metavar="WAY", help="Try only: fewer, prune, rank, student, onnx, int8 (repeatable)."),
]
Epochs = Annotated[int | None, options.option("--epochs", min=1, help="Epochs of training after layers were cut.")]


def compress(
    study: options.StudyName,
    at_most: AtMost = None,
    lose: Lose = None,
    way: Ways = None,
    epochs: Epochs = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
    trust: options.Trust = False,
    dir: options.Dir = options.STUDIES,
) -> None:
    """Make a study's winner smaller and faster.

    Every variant is measured on this machine and compared with the winner on the same validation rows. The chosen one
    is evaluated once on the test set and saved in STUDY/compressed/best: predict, export --compressed and serve use it.
    Each finished variant is kept, so an interrupted run goes on, and other limits need no new training.
    """
    from automl.api.compressing import compress as compressed

    path = values.study_path(study, dir)
    say = (lambda text: None) if quiet else partial(typer.echo, err=True)
    done = compressed(path, at_most=",".join(at_most or []), lose=lose, ways=way, epochs=epochs, trust=trust, say=say)
    if json:
        typer.echo(json_module.dumps(done.to_json(), ensure_ascii=False))
    else:
        typer.echo("\n".join([done.table(), "", *done.verdict()]))
    if done.chosen is None:
        raise typer.Exit(1)
