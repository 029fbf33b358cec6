"""`automl mcp`: the commands as tools of an agent."""

from pathlib import Path
from typing import Annotated

import typer

from automl.cli import options, values

Write = Annotated[bool, options.option("--write", help="Also tools that start, stop and edit searches, and judge.")]
Code = Annotated[bool, options.option("--code", help="Allow specs that name code: train, command, module:function.")]
Runs = Annotated[int, options.option("--runs", min=0, help="Runs that all searches and judgements may take together.")]
Time = Annotated[str, options.option("--time", metavar="DURATION", help="Time that all searches may take together.")]


def mcp(
    write: Write = False,
    code: Code = False,
    runs: Runs = 200,
    time: Time = "1h",
    dir: options.Dir = options.STUDIES,
) -> None:
    """Serve the commands to an agent, as MCP tools over stdio.

    Reads only, unless --write. What is granted to searches is counted in DIR/agent_allowance.json, over all sessions;
    to grant it again, delete that file. Files outside this folder are refused. Needs the extra `mcp`.
    """
    from automl.agents.allowance import Allowance
    from automl.agents.server import Tools, server

    seconds = values.seconds(time)
    if seconds is None:
        raise typer.BadParameter("give a duration such as 1h", param_hint="--time")
    tools = Tools(Path.cwd(), dir, Allowance(dir, runs, seconds), code=code)
    server(tools, write=write).run("stdio")
