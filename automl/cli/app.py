"""The application and its commands, in the order `automl --help` lists them."""

from typing import Annotated

import typer

from automl.cli import options
from automl.cli.commands import (
    compress,
    data,
    fit,
    models,
    mup,
    pictures,
    plugins,
    results,
    search,
    serve,
    spec,
    tools,
)
from automl.cli.commands.agents import judge, mcp
from automl.cli.commands.saved import update
from automl.cli.commands.studies import background, cluster, edit, importing, repair, watch

app = typer.Typer(
    help="Search architecture, regularization and optimizer hyperparameters of PyTorch models.",
    epilog="Start with: automl search digits. Exit codes: 0 a winner, 1 no winner, 2 wrong input, 3 ledger or bundle, "
    "4 all trials failed, 5 machine, 6 not decided, 130 Ctrl-C, 143 SIGTERM. Options can also be set in the "
    "environment as AUTOML_COMMAND_OPTION, e.g. AUTOML_SEARCH_TRIALS.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"], "auto_envvar_prefix": "AUTOML"},
)


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(version("automl-search"))
        raise typer.Exit


@app.callback()
def common(
    version: Annotated[
        bool, options.option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
    debug: Annotated[
        bool, options.option("--debug", help="Show the traceback of an error; may also follow the command.")
    ] = False,
) -> None:
    """Options of all commands. `main` removes `--debug` before it reaches this function."""


app.command()(search.search)
app.command()(search.resume)
app.command()(edit.edit)
app.command(name="import")(importing.import_)
app.command()(fit.fit)
app.command()(background.start)
app.command()(background.status)
app.command()(background.stop)
app.command()(results.top)
app.command(hidden=True, name="leaderboard")(results.top)
app.command()(results.show)
app.command()(watch.watch)
app.command()(tools.compare)
app.command()(judge.judge)
app.command()(pictures.plot)
app.command()(pictures.report)
app.command()(compress.compress)
app.command()(models.export)
app.command()(models.predict)
app.command()(serve.serve)
app.command()(update.update)
app.command()(update.versions)
app.command()(mcp.mcp)
app.command()(tools.init)
app.command()(spec.validate)
app.command(hidden=True, name="check")(spec.validate)
app.command()(spec.schema)
app.command()(data.data)
app.command()(mup.mup_check)
app.command()(plugins.strategies)
app.command()(plugins.spaces)
app.command()(tools.doctor)
app.add_typer(cluster.app, name="cluster")
app.command()(repair.repair)
