"""The command line: `automl search space.yaml`. Commands parse their options, call the library and print the result.

Exit codes: 0 finished with a winner; 1 finished without a winner, or `--fail-under` was missed; 2 a wrong option, spec,
name or data; 3 a ledger or bundle is damaged, locked or unknown; 4 all trials failed; 5 the machine lacks something;
6 `judge`: not decided; 130 Ctrl-C; 143 SIGTERM. Results go to stdout, progress and errors to stderr. With `--json`
stdout has one JSON document, also where the command fails: `{"schema": 1, "ok": false, "error": {"code": "spec_error",
"message": ..., "exit_code": 2}}`; codes are stable (`code_of`).
"""

import json
import os
import re
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import typer

from automl import errors
from automl.cli.app import app
from automl.errors import AutoMLError, EnvironmentProblem

__all__ = ["app", "main"]

UsageError: Any = typer.BadParameter.__mro__[1]
"""The base of what typer raises for wrong options and arguments; it exports no name for it."""

POSITION = re.compile(r"^[^\n]*?:\d+:\d+: ")


def main(arguments: Sequence[str] | None = None, *, environ: Mapping[str, str] = os.environ) -> None:
    """Run one command and exit with its code.

    An error of ours is printed as one message; with `--debug` (or $AUTOML_DEBUG) it is raised.

    Args:
        arguments: of the command line; None: those of the process.
        environ: environment variables.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    own = words[: words.index("--")] if "--" in words else words
    debug = "--debug" in own or bool(environ.get("AUTOML_DEBUG"))
    words = [w for k, w in enumerate(words) if w != "--debug" or k >= len(own)]
    as_json = "--json" in own
    try:
        sys.exit(app(args=words, prog_name="automl", standalone_mode=not as_json) or 0)
    except Exception as error:
        if debug:
            raise
        text, code = describe_error(error)
        print(text, file=sys.stderr)
        if as_json:
            print(json.dumps(error_document(error, code), ensure_ascii=False))
        sys.exit(code)


def error_document(error: Exception, exit_code: int) -> dict[str, Any]:
    """What `--json` prints of an error."""
    message = _printable(errors.text_of(error))
    return {"schema": 1, "ok": False, "error": {"code": code_of(error), "message": message, "exit_code": exit_code}}


def code_of(error: Exception) -> str:
    """A stable name of the kind of an error: `spec_error`, `ledger_error`, ..., `interrupted`, `usage`, `unexpected`.

    Those of `automl.errors` have the names of their classes; `InvalidSpec`, a `SpecError`, is a `spec_error` too.
    """
    if isinstance(error, UsageError):
        return "usage"
    if isinstance(error, OSError):
        return "environment_problem"
    name = next((c.__name__ for c in type(error).__mro__ if c.__module__ == errors.__name__), "Unexpected")
    if name == "AutoMLError":
        name = type(error).__name__
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()


def describe_error(error: Exception) -> tuple[str, int]:
    """What the user reads about an error, and the exit code. Complaints about a file begin with their position."""
    if isinstance(error, UsageError):
        text, code = error.format_message(), error.exit_code
    elif isinstance(error, AutoMLError):
        text, code = str(error), error.exit_code
    elif isinstance(error, OSError):
        text, code = str(error), EnvironmentProblem.exit_code
    else:
        text = f"unexpected {type(error).__name__}: {error}\nthis is a bug in automl; --debug shows where it happened"
        code = 1
    text = _printable(text)
    return text if POSITION.match(text) else f"automl: {text}", code


def _printable(text: str) -> str:
    return "".join(c for c in text if c in "\n\t" or c.isprintable())
