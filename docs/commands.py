"""Writes docs/cli.md, the reference of all commands: `python docs/commands.py`. A test keeps it current."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

from automl import errors
from automl.cli import code_of
from automl.cli.app import app

FILE = Path(__file__).resolve().parent / "cli.md"
HEAD = """\
# Commands

Results go to stdout, progress and errors to stderr; `--json` prints exactly one document with `"schema": 1`. STUDY is a
study's name under `--dir` (default `studies`, or `$AUTOML_DIR`), or the path of its folder. Every option can be set in
the environment: `AUTOML_SEARCH_TRIALS=5` is `automl search --trials 5`. `--debug`, before or after a command, shows
the traceback of an error. `automl --version` prints the version; `automl --install-completion` teaches the shell what
`automl --show-completion` shows.

| exit code | meaning |
|---|---|
| 0 | finished, with a winner |
| 1 | no winner, `--fail-under` missed, `mup-check` found a fault, `judge`: not better; or an unexpected error |
| 2 | a wrong option, specification, name or data |
| 3 | a ledger or bundle is damaged, locked, or of another version |
| 4 | every trial failed, so the search ended |
| 5 | the machine lacks something: disk, permission, a device, an optional package |
| 6 | `judge`: the seeds do not decide whether the candidate is better |
| 130 | stopped by Ctrl-C; `automl resume` goes on |
| 143 | stopped by SIGTERM; `automl resume` goes on |

With `--json` a command prints one JSON document to stdout, also where it fails:
`{"schema": 1, "ok": false, "error": {"code": "spec_error", "message": "...", "exit_code": 2}}`. `validate` lists all
mistakes instead: `{"schema": 1, "ok": false, "errors": [...], "warnings": []}`. The codes are stable:

CODES

`automl schema COMMAND` prints the JSON Schema (draft 2020-12) of all that a command may print, errors included: `automl
schema top`, `automl schema cluster slurm`. Names in it stay as long as `"schema"` is 1; further ones may be added.

<!-- written by docs/commands.py -->
"""


def codes() -> str:
    """The table of error codes, from the errors themselves."""
    rows = [("usage", 2, "A wrong option or argument of the command line.")]
    for kind in vars(errors).values():
        if isinstance(kind, type) and issubclass(kind, errors.AutoMLError) and kind is not errors.AutoMLError:
            rows.append((code_of(kind("")), kind.exit_code, (kind.__doc__ or "").partition("\n")[0]))
    rows.append(("interrupted", 130, "Ctrl-C (130) or SIGTERM (143); `automl resume` goes on."))
    rows.append(("unexpected", 1, "Nobody expected this error: a bug in automl."))
    lines = [f"| `{code}` | {exit_code} | {text} |" for code, exit_code, text in rows]
    return "\n".join(["| code | exit code | meaning |", "|---|---|---|", *lines])


def reference() -> str:
    """The whole text."""
    return (
        HEAD.replace("CODES", codes())
        + "\n".join(part for part in _commands(typer.main.get_command(app), "automl")).rstrip()
        + "\n"
    )


def _commands(command: Any, name: str) -> Iterator[str]:
    for inner_name, inner in getattr(command, "commands", {}).items():
        full = f"{name} {inner_name}"
        if getattr(inner, "commands", None):
            yield from _commands(inner, full)
        elif not inner.hidden:
            yield _command(inner, full)


def _command(command: Any, name: str) -> str:
    context = command.make_context(name, [], resilient_parsing=True)
    usage = " ".join(command.collect_usage_pieces(context))
    paragraphs = [" ".join(p.split()) for p in (command.help or "").split("\n\n")]
    rows = [_row(p, context) for p in command.params if p.name != "help"]
    table = ["| | |", "|---|---|", *rows] if rows else []
    return "\n".join([f"\n## {name}", "", f"`{name} {usage}`", "", "\n\n".join(paragraphs), "", *table])


def _row(parameter: Any, context: Any) -> str:
    record = parameter.get_help_record(context)
    names = record[0] if record else parameter.name
    text = " ".join((parameter.help or "").split())
    return f"| `{names}` | {text} |".replace("N|+N", r"N\|+N")


if __name__ == "__main__":
    FILE.write_text(reference(), encoding="utf-8")
    sys.stdout.write(f"{FILE.name}: {len(reference().splitlines())} lines\n")
