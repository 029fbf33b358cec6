"""`automl validate` and `automl schema`: the spec alone, without torch or the user's code."""

import json as json_module
from typing import Annotated

import typer

from automl.cli import options, progress, values
from automl.errors import AutoMLError

Strict = Annotated[bool, options.option("--strict", help="Treat warnings as errors.")]


def validate(
    spec: options.SpecFile, set_: options.Sets = None, strict: Strict = False, json: options.Json = False
) -> None:
    """Check a spec and report every mistake with its place.

    Neither torch nor your code is imported; nothing is trained.
    """
    from automl import specfile
    from automl.api import rehearsal
    from automl.executors import devices
    from automl.view.pages import plan

    try:
        with progress.saying_if_late(f"checking {spec}"):
            read = specfile.read(spec, overrides=values.overrides(set_), gpus=devices.count)
            rehearsal.rehearse(read)
    except AutoMLError as error:
        if not json:
            raise
        typer.echo(json_module.dumps({"schema": 1, "ok": False, "errors": str(error).splitlines(), "warnings": []}))
        raise typer.Exit(error.exit_code) from None
    warnings = list(read.warnings)
    if json:
        facts = {"schema": 1, "ok": not (strict and warnings), "errors": [], "warnings": warnings}
        typer.echo(json_module.dumps({**facts, **plan.document(read)}, ensure_ascii=False, allow_nan=False))
    else:
        for warning in warnings:
            typer.echo(f"warning: {warning}", err=True)
        typer.echo(f"{spec}: ok\n{plan.text(read)}")
    if strict and warnings:
        raise typer.Exit(2)


def schema(
    command: Annotated[
        list[str] | None, typer.Argument(metavar="[COMMAND]", help="A command, e.g. top, or: cluster slurm.")
    ] = None,
) -> None:
    """Print the JSON Schema of space.yaml, or of a JSON output.

    Editors complete and check a specification by it; programs check what they read. A command's schema has its errors.
    """
    from automl import specfile

    if command:
        from automl.cli.outputs import schemas

        made = schemas.schema(" ".join(command))
    else:
        made = specfile.schema()
    typer.echo(json_module.dumps(made, indent=2))
