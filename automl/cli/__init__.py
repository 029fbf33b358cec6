"""The command line: `automl search space.yaml`. Commands parse their options, call the library and print the result.

Exit codes: 0 finished with a winner; 1 finished without a winner, or `--fail-under` was missed; 2 a wrong option, spec,
name or data; 3 a ledger or bundle is damaged, locked or unknown; 4 all trials failed; 5 the machine lacks something;
130 Ctrl-C; 143 SIGTERM. Results go to stdout, progress and errors to stderr.
"""

import os
import re
import sys
from collections.abc import Mapping, Sequence

from automl.cli.app import app
from automl.errors import AutoMLError, EnvironmentProblem

__all__ = ["app", "main"]

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
    try:
        app(args=words, prog_name="automl")
    except Exception as error:
        if debug:
            raise
        text, code = describe_error(error)
        print(text, file=sys.stderr)
        sys.exit(code)


def describe_error(error: Exception) -> tuple[str, int]:
    """What the user reads about an error, and the exit code. Complaints about a file begin with their position."""
    if isinstance(error, AutoMLError):
        text, code = str(error), error.exit_code
    elif isinstance(error, OSError):
        text, code = str(error), EnvironmentProblem.exit_code
    else:
        text = f"unexpected {type(error).__name__}: {error}\nthis is a bug in automl; --debug shows where it happened"
        code = 1
    text = "".join(c for c in text if c in "\n\t" or c.isprintable())
    return text if POSITION.match(text) else f"automl: {text}", code
