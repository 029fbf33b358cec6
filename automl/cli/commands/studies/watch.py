"""`automl watch`: look at a search that runs elsewhere, in the terminal or in a browser."""

import getpass
import json as json_module
import time
from contextlib import closing, suppress
from pathlib import Path
from typing import Annotated

import typer

from automl.cli import options, values

LOOK_S = 0.5

Web = Annotated[bool, options.option("--web", help="Serve a page for browsers on this machine and print its address.")]
Port = Annotated[int, options.option("--port", min=0, max=65535, help="The page's port; 0: a free one.")]


def watch(
    study: options.StudyName,
    web: Web = False,
    port: Port = 0,
    json: options.Json = False,
    ascii: options.Ascii = False,
    dir: options.Dir = options.STUDIES,
) -> None:
    """Show a search that runs in another process.

    In the terminal: the screen of a search, without its workers, until it ends. With --web: a page that updates
    while the search runs, on this machine only, with a secret in its address; its buttons ask for what automl edit
    asks for.
    """
    if port and not web:
        raise typer.BadParameter("is the port of the page; add --web", param_hint="--port")
    path = values.study_path(study, dir)
    with suppress(KeyboardInterrupt):
        return _serve(path, port, json=json) if web else _show(path, ascii=ascii)


def user() -> str:
    """Who asks for changes: the name of the user."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return "someone"


def _serve(path: Path, port: int, *, json: bool) -> None:
    from automl.view.web.answers import Answers
    from automl.view.web.feed import Feed
    from automl.view.web.server import Server

    with Server(Answers(Feed(path, user())), port) as server:
        address = server.address
        facts = {"schema": 1, "study": path.name, "address": address, "port": server.server_address[1]}
        typer.echo(json_module.dumps(facts, ensure_ascii=False) if json else address)
        typer.echo("whoever has this address can see and change the search; Ctrl-C ends the page", err=True)
        server.serve_forever()


def _show(path: Path, *, ascii: bool) -> None:
    from automl.study import paths
    from automl.study.ledger.lock import is_driven
    from automl.study.live.following import Followed
    from automl.view.pages.status import state
    from automl.view.screens import choose

    followed, screen = Followed(path), choose.screen(ascii=ascii)
    known = {t.number for t in followed.history.trials if t.state.ended}
    screen.begin(followed)
    try:
        while driven := is_driven(path / paths.LOCK):
            ended = [t for t in followed.look() if t.state.ended and t.number not in known]
            for record in sorted(ended, key=lambda record: record.order):
                known.add(record.number)
                screen.ended(followed, record)
            screen.tick(followed, ())
            time.sleep(LOOK_S)
    finally:
        with closing(followed):
            followed.look()
            screen.finish(followed, "finished" if state(followed, driven=driven) == "ended" else "not ended yet")
