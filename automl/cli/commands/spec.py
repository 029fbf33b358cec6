"""`automl validate` and `automl schema`: the spec alone, without torch or the user's code."""

import json as json_module
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from automl.cli import options
from automl.errors import SpecError

if TYPE_CHECKING:
    from automl.specfile import Spec


def validate(
    spec: Annotated[str, typer.Argument(metavar="SPEC", help="A space.yaml, or the name of a ready-made space.")],
    set_: options.Sets = None,
    strict: Annotated[bool, options.option("--strict", help="Warnings are errors.")] = False,
    json: options.Json = False,
) -> None:
    """Check a spec and tell all that is wrong, and where.

    Neither torch nor your code is imported; nothing is trained.
    """
    from automl import specfile as specs

    try:
        read = specs.read(spec, overrides=options.overrides(set_))
    except SpecError as error:
        if not json:
            raise
        typer.echo(json_module.dumps({"schema": 1, "ok": False, "errors": str(error).splitlines(), "warnings": []}))
        raise typer.Exit(2) from None
    warnings = list(read.warnings)
    if json:
        facts = {"schema": 1, "ok": not (strict and warnings), "errors": [], "warnings": warnings, **summary(read)}
        typer.echo(json_module.dumps(facts, ensure_ascii=False, allow_nan=False))
    else:
        for warning in warnings:
            typer.echo(f"warning: {warning}", err=True)
        typer.echo(f"{spec}: ok\n{_text(read)}")
    if strict and warnings:
        raise typer.Exit(2)


def schema() -> None:
    """Print the JSON Schema of space.yaml, for editors."""
    from automl import specfile as specs

    typer.echo(json_module.dumps(specs.schema(), indent=2))


def plan(spec: str, changes: Mapping[str, Any], *, json: bool) -> None:
    """What `search --dry-run` prints: the resolved plan, the size of the space, and how one batch went."""
    from automl import specfile as specs
    from automl.cli.commands.dry_run import one_batch

    read = specs.read(spec, overrides=changes)
    for warning in read.warnings:
        typer.echo(f"warning: {warning}", err=True)
    tried = one_batch(read)
    if json:
        facts = {"schema": 1, **summary(read), "batch": tried and tried.to_json()}
        return typer.echo(json_module.dumps(facts, ensure_ascii=False, allow_nan=False))
    typer.echo(_text(read))
    if tried is None:
        return typer.echo("batch     none: your own training code is not called by a dry run")
    train, val, test = tried.rows
    typer.echo(f"rows      {train:,} to train, {val:,} to validate, {test:,} kept for the test")
    return typer.echo(
        f"batch     {tried.batch} rows through {tried.parameters:,} weights in {tried.seconds * 1000:.0f} ms: it trains"
    )


def summary(read: "Spec") -> dict[str, Any]:
    """The resolved spec in a few facts, for programs."""
    size = math.prod(p.size for p in read.space.params.values())
    return {
        "study": read.name,
        "metric": {"name": read.metric.name, "direction": read.metric.direction},
        "parameters": list(read.space.names),
        "configs": size if math.isfinite(size) else None,
        "strategy": dict(read.strategy),
        "stopper": dict(read.stopper),
        "budget": {"trials": read.plan.trials, "epochs": read.plan.steps, "seconds": read.plan.time_s},
        "epochs": read.epochs,
        "seed": read.seed,
    }


def _text(read: "Spec") -> str:
    from automl.leaderboard import words

    facts = summary(read)
    task = read.model or read.train or " ".join(read.command or ())
    task += f" on {read.data}" if read.data else ""
    limits = [words.plural(read.plan.trials, "trial")] if read.plan.trials else []
    limits += [words.plural(read.plan.steps, "epoch")] if read.plan.steps else []
    limits += [words.duration(read.plan.time_s)] if read.plan.time_s else []
    many = "infinitely many configs" if facts["configs"] is None else words.plural(int(facts["configs"]), "config")
    aim = "highest" if read.metric.direction == "maximize" else "lowest"
    lines = [
        f"study     {words.clean(read.name)}, seed {read.seed}",
        f"task      {words.clean(task)}"
        + (f", {words.plural(read.epochs, 'epoch')} a full trial" if read.epochs else ""),
        f"metric    {words.clean(read.metric.name)}, {aim} wins",
        f"budget    {' or '.join(limits)}, whichever ends first" if len(limits) > 1 else f"budget    {limits[0]}",
        f"strategy  {_plugin(read.strategy)}, stopper {_plugin(read.stopper)}",
        f"space     {words.plural(read.space.dim, 'parameter')}, {many}",
    ]
    return "\n".join(lines + [f"          {words.clean(line)}" for line in str(read.space).splitlines()])


def _plugin(described: Mapping[str, Any]) -> str:
    options = ", ".join(f"{k} {v}" for k, v in described.items() if k != "name")
    return str(described.get("name", "")) + (f" ({options})" if options else "")
