"""The command line: `automl search space.yaml`. Each module is a group of commands; bodies parse, call and print.

Exit codes: 0 finished with a winner; 1 finished without one (or `--fail-under` missed); 2 a wrong option, spec or
name; 3 a ledger or bundle is damaged, locked or foreign; 4 nothing but failures; 5 the machine lacks something;
130 Ctrl-C; 143 SIGTERM. Results go to stdout, progress and errors to stderr.
"""

import os
import re
import sys
from collections.abc import Sequence

from automl.cli.app import app
from automl.errors import AutoMLError, EnvironmentProblem

__all__ = ["app", "main"]

POSITION = re.compile(r"^[^\n]*?:\d+:\d+: ")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command and exit with its code; errors of ours are told in one message, with `--debug` in full."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    own = words[: words.index("--")] if "--" in words else words
    debug = "--debug" in own or bool(os.environ.get("AUTOML_DEBUG"))
    words = [w for k, w in enumerate(words) if w != "--debug" or k >= len(own)]
    try:
        app(args=words, prog_name="automl")
    except Exception as error:
        if debug:
            raise
        message, code = told(error)
        print(message, file=sys.stderr)
        sys.exit(code)


def told(error: Exception) -> tuple[str, int]:
    """What the user reads of an error, and the exit code. Complaints about a file begin with their position."""
    if isinstance(error, AutoMLError):
        message, code = str(error), error.exit_code
    elif isinstance(error, OSError):
        message, code = str(error), EnvironmentProblem.exit_code
    else:
        message = f"unexpected {type(error).__name__}: {error}\nthis is a bug; --debug shows where it happened"
        code = 1
    message = "".join(c for c in message if c in "\n\t" or c.isprintable())
    return message if POSITION.match(message) else f"automl: {message}", code
